"""At SIGTERM (a preemption) or near its time limit, a training stops between two steps without losing any;
repeated attempts without progress end with an error."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json, write_json

#: The exit status of a process that SIGTERM ended, as shells report it.
EXIT_STATUS = 128 + signal.SIGTERM
#: Seconds reserved for the last save, in addition to three times the longest save.
RESERVE_SECONDS = 10.0
#: Attempts in a row that may end without saving anything.
FRUITLESS_ATTEMPTS = 3


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM was received; within the block it does not end the process. False outside the main thread."""
    asked = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


class Allotted:
    """The time until *until* (`time.monotonic()`; None: no limit), and the durations of steps and saves."""

    def __init__(self, until: float | None) -> None:
        self._until = math.inf if until is None else until
        self._longest_step = self._longest_save = 0.0
        self._last = time.monotonic()

    def stepped(self) -> None:
        now = time.monotonic()
        self._longest_step, self._last = max(self._longest_step, now - self._last), now

    def saved(self) -> None:
        now = time.monotonic()
        self._longest_save, self._last = max(self._longest_save, now - self._last), now

    def is_over(self) -> bool:
        """Whether another step and a save might not finish in time."""
        reserve = RESERVE_SECONDS + self._longest_step + 3 * self._longest_save
        return time.monotonic() + reserve > self._until


def count_attempt(folder: Path, stage: str) -> None:
    """Record in *folder*, which has the resume state, that another attempt with limited time begins.

    Raises GancompError if FRUITLESS_ATTEMPTS in a row have not changed the state, so that resubmitted jobs do
    not loop forever.
    """
    state, notes = folder / "state.pt", folder / "attempts.json"
    found = f"{state.stat().st_mtime_ns}" if state.exists() else "none"
    before = read_json(notes) if notes.exists() else {}
    fruitless = before.get("fruitless", 0) + 1 if before.get("state") == found else 0
    if fruitless >= FRUITLESS_ATTEMPTS:
        raise GancompError(
            f"{stage}: {fruitless} attempts in a row ended without one step saved; their logs may say why. Give the "
            f"job more time or memory (`runtime`, `mem_mb`), delete {notes}, and run it again"
        )
    write_json(notes, {"state": found, "fruitless": fruitless})
