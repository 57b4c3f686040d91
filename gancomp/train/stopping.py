"""Asked to stop (SIGTERM: a preemption), or near the end of its time, a training stops between two steps and loses
none; and attempts that get nowhere come to an end."""

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

#: What a shell reports of a process that SIGTERM ended.
EXIT_STATUS = 128 + signal.SIGTERM
#: Left of a job's time for its last save, beside three times what the longest save took.
RESERVE_SECONDS = 10.0
#: Attempts in a row that may end without having saved anything.
FRUITLESS_ATTEMPTS = 3


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come since; within, it ends nothing by itself. Outside the main thread it never is."""
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
    """The time until *until* (`time.monotonic()`; None: no end), of which steps and saves take their part."""

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
        """Whether another step and a save might not come to their end in time."""
        reserve = RESERVE_SECONDS + self._longest_step + 3 * self._longest_save
        return time.monotonic() + reserve > self._until


def count_attempt(folder: Path, stage: str) -> None:
    """Note in *folder*, which holds the resume state, that another attempt with limited time begins.

    Raises GancompError when FRUITLESS_ATTEMPTS in a row have left the state as it was: a job that is submitted again
    and again must not loop for ever.
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
