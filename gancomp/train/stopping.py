"""Asked to stop (SIGTERM: a time limit, a preemption), a training stops between two steps and loses none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: What a shell reports of a process that SIGTERM ended.
EXIT_STATUS = 128 + signal.SIGTERM


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
