"""The growing log of a training: one row of losses every so many steps, continued through every resume."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, stack

from gancomp import ranks
from gancomp.errors import GancompError
from gancomp.pipeline.files import atomic
from gancomp.train.state import Progressed

LOG_ROWS = 400
LOG_COLUMNS = ("step", "images", "lr")
LOG_TIMES = ("images_per_second", "elapsed_seconds")


class LossLog:
    """`log.csv` in *folder*, with about LOG_ROWS rows for a training of *total* steps of *batch* pictures.

    Rows after the step that *progressed* resumes from are dropped: those steps run again. Of several ranks the first
    one writes.
    """

    def __init__(self, folder: Path, stage: str, names: tuple[str, ...], total: int, batch: int, done: int) -> None:
        self.stage, self.names, self.total, self.batch = stage, names, total, batch
        self.state = folder / "state.pt"
        self.columns = (*LOG_COLUMNS, *names, *LOG_TIMES)
        self.every = max(1, total // LOG_ROWS)
        self.path = folder / "log.csv" if ranks.is_first() else Path(os.devnull)
        if ranks.is_first():
            _cut_log(self.path, self.columns, done)

    def add(self, losses: Mapping[str, Tensor], progressed: Progressed, lr: float, rate: float) -> str:
        """Append a row where one is due, and return its losses as progress shows them, or "".

        Raises GancompError when a loss is no longer finite, or the disk is full.
        """
        if progressed.step % self.every and progressed.step != self.total:
            return ""
        found = ranks.averaged(stack([losses[name].detach().float() for name in self.names]))
        values = dict(zip(self.names, found.tolist(), strict=True))
        check_finite(values, progressed.step, self.stage, self.state)
        row: dict[str, Any] = {
            "step": progressed.step,
            "images": progressed.step * self.batch,
            "lr": f"{lr:.3e}",
            **{name: f"{value:.6g}" for name, value in values.items()},
            "images_per_second": f"{rate:.2f}",
            "elapsed_seconds": f"{progressed.elapsed:.1f}",
        }
        try:
            with self.path.open("a", newline="", encoding="utf-8") as stream:
                csv.DictWriter(stream, self.columns, lineterminator="\n").writerow(row)
        except OSError as error:
            raise GancompError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def check_finite(values: Mapping[str, float], step: int, stage: str, state: Path) -> None:
    """Raises GancompError, naming what is kept and what to change, when one of *values* is not finite."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        kept = f"the last good state is {state}" if state.exists() else "no state had been saved yet"
        raise GancompError(
            f"{stage}: {', '.join(bad)} is no longer finite at step {step}; {kept}. "
            f"Lower {stage}.lr, or set precision: 32, and run the command again"
        )


def _cut_log(path: Path, columns: tuple[str, ...], step: int) -> None:
    """Keep the rows up to *step*: what came after it was lost with the process and will be done again."""
    rows = []
    if path.exists() and step:
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            # A row that was cut off within its step number would pass for an earlier one: count its columns.
            whole = [row for row in csv.DictReader(stream) if None not in row.values() and row.keys() == {*columns}]
            rows = [row for row in whole if row["step"].isdigit() and int(row["step"]) <= step]
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
