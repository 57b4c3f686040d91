"""What a whole run takes, and what Snakemake adds to it: planning, nothing to do, each job, and a stage's start."""

from __future__ import annotations

import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gancomp.pipeline.files import write_csv, write_text
from gancomp.pipeline.provenance import provenance

ROOT = Path(__file__).parent.parent
#: Downloads, which are verified when they are used, spare the network.
DOWNLOADS = ROOT / "data" / "downloads"
COLUMNS = ("measured", "unit", "median", "lowest", "highest", "runs")
#: What a stage imports before it does anything.
STARTS = {"a training": "train.stages", "a search": "search.scores", "a merge": "search.select"}


def snakemake(folder: Path, *arguments: str) -> float:
    """Seconds that a call in *folder* takes."""
    env = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return seconds([sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments], folder, env)


def seconds(command: Sequence[str], folder: Path, env: dict[str, str] | None = None) -> float:
    """Seconds that *command* takes in *folder*; CalledProcessError if it fails."""
    began = time.monotonic()
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return time.monotonic() - began


def jobs_of(folder: Path) -> list[float]:
    """Seconds of each job that ran in *folder*."""
    found = []
    for path in folder.rglob("*.tsv"):
        with path.open(encoding="utf-8") as stream:
            found += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t") if "s" in row]
    return found


def row(measured: str, unit: str, times: Sequence[float]) -> dict[str, str]:
    """*times*, in *unit*, as a row of the table."""
    numbers = {"median": statistics.median(times), "lowest": min(times), "highest": max(times)}
    return {"measured": measured, "unit": unit, "runs": str(len(times))} | {
        name: f"{number:.2f}" for name, number in numbers.items()
    }


def measure(given: Sequence[str], runs: int) -> list[dict[str, str]]:
    """Rows of a run of Snakemake's arguments *given*, and of *runs* repetitions of all that is short."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("config", "profiles"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "config.yaml", folder)
        if DOWNLOADS.is_dir():
            shutil.copytree(DOWNLOADS, folder / "data" / "downloads")
        planned = [snakemake(folder, "--dry-run", "--quiet=all", *given) for _ in range(runs)]
        # One job at a time, so that what the jobs did not take was Snakemake's.
        whole = snakemake(folder, "--cores", "1", *given)
        jobs = jobs_of(folder)
        idle = [snakemake(folder, "--cores", "1", *given) for _ in range(runs)]
    rows = [
        row("dry run of everything", "s", planned),
        row("whole run, one core", "s", [whole]),
        row("its jobs together", "s", [sum(jobs)]),
        row(f"beside each of {len(jobs)} jobs", "s", [(whole - sum(jobs)) / len(jobs)]),
        row("nothing to do", "s", idle),
    ]
    for stage, module in STARTS.items():
        importing = [sys.executable, "-c", f"import gancomp.cli.main, gancomp.{module}"]
        rows.append(row(f"start of {stage}", "s", [seconds(importing, ROOT) for _ in range(runs)]))
    return rows


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="Snakemake's, after --; the tiny run if unset")] = None,
    runs: Annotated[int, typer.Option(min=1, help="of all that is short")] = 5,
    output: Annotated[Path, typer.Option(help="where the table goes")] = Path("docs/results/speed"),
) -> None:
    """Measure a whole run and what Snakemake adds; run it alone."""
    rows = measure(arguments or ["--configfile", "config/tiny.yaml"], runs)
    write_csv(output / "workflow.csv", COLUMNS, rows)
    lines = [["Measured", "Median", "Lowest", "Highest", "Runs"], [":--", *["--:"] * 4]]
    lines += [[f"{one['measured']} [{one['unit']}]", *(one[name] for name in COLUMNS[2:])] for one in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    about = ", ".join(f"{name}: {value}" for name, value in provenance().items())
    write_text(output / "workflow.md", f"# A whole run, and what Snakemake adds\n\n{table}\n\n{about}\n")


if __name__ == "__main__":
    typer.run(main)
