"""Read and validate records and logs."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json
from gancomp.report.records import Record

RecordType = TypeVar("RecordType", bound=Record)


def require(path: Path, stage: str) -> Path:
    """Return *path* if it is a file; else raises GancompError with the *stage* to run."""
    if not path.is_file():
        raise GancompError(f"{path}: missing; run the stage {stage!r} first (snakemake {path})")
    return path


def read(path: Path, kind: type[RecordType], stage: str) -> RecordType:
    """Read a JSON file as *kind*. Raises GancompError with file, key and *stage* if it is missing or invalid."""
    return validated(read_json(require(path, stage)), kind, str(path), stage)


def validated(data: Any, kind: type[RecordType], where: str, stage: str) -> RecordType:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise GancompError(
            f"{where}: {key + ': ' if key else ''}{message}; delete the file and run the stage {stage!r} again"
        ) from None


#: Columns of `log.csv` that are not losses.
NOT_LOSSES: frozenset[str] = frozenset(
    {"step", "epoch", "images", "lr", "images_per_second", "elapsed_seconds", "eta_seconds"}
)


def read_log(path: Path, stage: str) -> tuple[list[float], dict[str, list[float]]]:
    """Images seen and every loss of a training's `log.csv`. Raises GancompError for values that are not finite."""
    with require(path, stage).open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        columns: Sequence[str] = reader.fieldnames or ()
        rows = list(reader)
    if "images" not in columns:
        raise GancompError(f"{path}: no column 'images'; delete the file and run the stage {stage!r} again")
    names = ["images", *(name for name in columns if name not in NOT_LOSSES)]
    values: dict[str, list[float]] = {name: [] for name in names}
    for line, row in enumerate(rows, start=2):
        for name in names:
            values[name].append(_finite(row[name], f"{path}, line {line}: {name}", stage))
    return values.pop("images"), values


def _finite(text: str | None, where: str, stage: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise GancompError(f"{where}: {text!r} is not a finite number: the training diverged; run {stage!r} again")
    return value
