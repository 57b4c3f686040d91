"""Progress of long work: steps, rate and ETA, as a bar on a terminal and as lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

LINE_EVERY_SECONDS = 15.0
BAR_EVERY_SECONDS = 0.2


class Progress:
    """`with Progress("teacher", total, unit="images") as progress: progress.advance(16, "d_loss 0.51")`.

    The rate is that of this run only, so that the ETA is also right after a resume.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0, *, shown: bool = True) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self._first, self._start = done, time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = self._start if self._terminal else self._start - LINE_EVERY_SECONDS + 5.0
        self._width = 0
        self._silent = not shown

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.total:
            self._show("done")
        if self._terminal and not self._silent:
            sys.stderr.write("\n")

    @property
    def rate(self) -> float:
        """Units per second in this run."""
        return (self.done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def advance(self, amount: int, detail: str = "") -> None:
        """Add *amount*; updates the display at most a few times per second."""
        self.done += amount
        now = time.monotonic()
        if now - self._shown >= (BAR_EVERY_SECONDS if self._terminal else LINE_EVERY_SECONDS):
            self._shown = now
            self._show(detail)

    def _show(self, detail: str) -> None:
        if self._silent:
            return
        left = (self.total - self.done) / self.rate if self.rate else 0.0
        line = (
            f"{self.title}: {self.done:,} / {self.total:,} {self.unit} ({self.done / max(self.total, 1):.0%}), "
            f"{self.rate:.1f} {self.unit}/s, {clock(left)} left{'; ' + detail if detail else ''}"
        )
        try:
            if self._terminal:
                sys.stderr.write("\r" + line.ljust(self._width))
                self._width = len(line)
            else:
                sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except BrokenPipeError:  # the reader of stderr, such as `tee`, has ended; keep working
            self._silent = True


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 3:07, with hours if needed: 1:03:07."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
