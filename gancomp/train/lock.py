"""A lock so that only one process trains a stage, even if a workflow died and left its job running."""

from __future__ import annotations

import fcntl
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from gancomp.errors import GancompError

POLL_SECONDS = 2.0


def wait_for_turn(path: Path, stage: str, until: float | None = None) -> tuple[IO[str], bool]:
    """Lock *path* for this process as long as the returned stream is open; also returns whether another held it first.

    A record lock, which network file systems support and which is released when the process dies. Raises GancompError
    if it is not free before the time *until* (`time.monotonic()`).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    waited = False
    while True:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # the one or the other, by the system
            if not waited:
                stream.seek(0)
                print(
                    f"{stage}: {stream.read().strip() or 'another process'} is at it; waiting for it to end", flush=True
                )
            waited = True
            if time.monotonic() + 2 * POLL_SECONDS > (math.inf if until is None else until):
                raise GancompError(
                    f"{stage}: another process still trains it (lock: {path}); run it again later"
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            with suppress(OSError):  # a full disk: the lock holds without a name in it
                stream.truncate(0)
                print(f"process {os.getpid()} on {os.uname().nodename}", file=stream, flush=True)
            return stream, waited
