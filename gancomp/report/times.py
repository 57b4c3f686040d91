"""Time and memory of every job of the workflow, from Snakemake's benchmark files. Imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_text

COLUMNS = ("of", "job", "seconds", "cpu_seconds", "peak_mb")
#: Columns of Snakemake's files; memory is the resident set of the job and its children, in MB.
MEASURED = {"seconds": "s", "cpu_seconds": "cpu_time", "peak_mb": "max_rss"}

Row = dict[str, str | float | None]


def benchmark_files() -> list[Path]:
    """The benchmark files under data/ and results/, sorted."""
    data = (paths.DATA / "logs").glob("*.tsv")
    return sorted([*data, *(file for logs in _log_folders(paths.RESULTS) for file in logs.rglob("*.tsv"))])


def _log_folders(root: Path) -> Iterator[Path]:
    """`{experiment}/logs`, and one folder deeper: `studies/{study}/logs`."""
    for pattern in ("*/logs", "*/*/logs"):
        yield from root.glob(pattern)


def write_times() -> Path:
    """Write `results/times.csv`, one row per job with MEASURED, and `results/times.md`, with sums; returns the latter.

    An interrupted training counts only from its last start, because Snakemake measures that. Raises GancompError
    if nothing has run, or a file is not a benchmark file.
    """
    rows = [_row(file) for file in benchmark_files()]
    if not rows:
        raise GancompError(f"{paths.RESULTS}, {paths.DATA}: no benchmark files in logs/; run snakemake first")
    write_csv(paths.RESULTS / "times.csv", COLUMNS, rows)
    write_text(table := paths.RESULTS / "times.md", markdown(rows))
    return table


def _row(file: Path) -> Row:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            (measured,) = csv.DictReader(stream, delimiter="\t")
        values = {name: _number(measured[column]) for name, column in MEASURED.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GancompError(f"{file}: not a benchmark file of Snakemake ({error}); delete it") from None
    root, job = str(file.with_suffix("")).rsplit("/logs/", 1)
    return {"of": Path(root).name, "job": job, **values}


def _number(text: str) -> float | None:
    """A number, or None if the job was too short to measure it."""
    return None if text in ("-", "NA") else float(text)


def markdown(rows: list[Row]) -> str:
    """The table: for each experiment its jobs from the longest, then their sum and the highest peak."""
    lines = ["| Of | Job | Seconds | CPU seconds | Peak memory, MB |", "| :-- | :-- | --: | --: | --: |"]
    for of in dict.fromkeys(row["of"] for row in rows):
        own = sorted((row for row in rows if row["of"] == of), key=lambda row: -_value(row, "seconds"))
        lines += [_line(str(of), str(row["job"]), [row[name] for name in MEASURED]) for row in own]
        sums = [sum(_value(row, name) for row in own) for name in ("seconds", "cpu_seconds")]
        lines.append(_line(f"**{of}**", "**together**", [*sums, max(_value(row, "peak_mb") for row in own)]))
    return "\n".join(lines) + "\n"


def _value(row: Row, name: str) -> float:
    value = row[name]
    return float(value) if value is not None else 0.0


def _line(of: str, job: str, numbers: list[str | float | None]) -> str:
    cells = ["–" if number is None else f"{float(number):,.0f}" for number in numbers]
    return f"| {' | '.join([of, job, *cells])} |"
