"""How many times faster than the plain way this program is, on the same inputs and with the same results."""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import psutil
import torch
import typer
from matplotlib.figure import Figure

from benchmarks.compared import OURS, PLAIN, Comparison, comparisons
from benchmarks.drawn import Bench
from benchmarks.limits import Machine
from benchmarks.throughput import Clock, take_turns
from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json, write_csv, write_json, write_text
from gancomp.pipeline.provenance import provenance
from gancomp.report.style import BLACK, BLUE, PAGE, VERMILION, save, style

#: The wall's, or the processor time of this process: where others share the machine, on one thread.
ClockName = Literal["wall", "processor"]
CLOCKS: Mapping[ClockName, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
COLUMNS = (
    *("measured", "variant", "unit", "median", "lowest", "highest", "times", "times_low", "times_high", "rounds"),
    *("limit", "of_limit", "differs", "busy", "code_version"),
)


def compare(
    comparison: Comparison, machine: Machine, seconds: float, rounds: int, clock: Clock = time.perf_counter
) -> list[dict[str, str]]:
    """A row for each variant. Ratios are of turns that followed each other; *busy* is the share of the processor, in
    percent, that others used just before or after."""
    busy = psutil.cpu_percent(1)
    turns = take_turns(comparison.group, seconds, rounds, clock)
    busy = max(busy, psutil.cpu_percent(1))
    least, differs = comparison.least(machine), comparison.differs()
    rows = []
    for variant in comparison.group.variants:
        rates = [turn[variant] for turn in turns]
        ratios = [turn[variant] / turn[PLAIN] for turn in turns]
        numbers = {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
        numbers |= {"times": statistics.median(ratios), "times_low": min(ratios), "times_high": max(ratios)}
        bound = least.get(variant)
        row = {name: f"{number:.4g}" for name, number in numbers.items()}
        row |= {"measured": comparison.group.measured, "variant": variant, "unit": comparison.group.unit}
        row |= {"limit": bound.limit if bound else ""}
        row |= {"of_limit": f"{bound.seconds * numbers['median']:.3g}" if bound else ""}
        row |= {"differs": f"{differs[variant]:.2g}", "rounds": str(rounds), "busy": f"{busy:.0f}"}
        rows.append(row | {"code_version": str(provenance()["code_version"])})
    return rows


def run(
    bench: Bench, only: Sequence[str], seconds: float, rounds: int, folder: Path, clock: ClockName = "wall"
) -> None:
    """Measure what is not in `speed.csv` of *folder* yet, and draw its table and plot anew."""
    about, machine = describe(folder / "machine.json", clock)
    table = folder / "speed.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines())) if table.is_file() else []
    everything = comparisons(bench)
    order = list(everything)
    for name, prepare in everything.items():
        wanted = not only or any(part in name for part in only)
        if not wanted or any(row["measured"] == name for row in rows):
            continue
        try:
            measured = compare(prepare(), machine, seconds, rounds, CLOCKS[clock])
        except GancompError as error:
            typer.echo(f"{name} is left out: {error}", err=True)
            continue
        rows = sorted(rows + measured, key=lambda row: order.index(row["measured"]))
        write_csv(table, COLUMNS, rows)
        for row in measured:
            typer.echo(f"{name}, {row['variant']}: {row['median']} {row['unit']} ({row['times']}×)")
    if rows:
        write_text(folder / "speed.md", page(rows, about, machine))
        with style():
            save(plot(rows), folder / "speed")


def describe(path: Path, clock: ClockName) -> tuple[dict[str, Any], Machine]:
    """The machine, and its limits: measured once, and kept in *path*. GancompError if they are another machine's."""
    now = {name: value for name, value in provenance().items() if name != "code_version"}
    now |= {"threads": torch.get_num_threads(), "clock": clock}
    if not path.is_file():
        write_json(path, {"about": now, "limits": asdict(Machine.measure(CLOCKS[clock]))})
    kept = read_json(path)
    if kept["about"] != now:
        raise GancompError(f"{path}: measured on another machine, or with another torch; choose another --output")
    return now, Machine(**kept["limits"])


def page(rows: Sequence[Mapping[str, str]], about: Mapping[str, Any], machine: Machine) -> str:
    """The table as Markdown, one line for each measurement."""
    head = ("Measured", "Unit", "Plain", "Ours, fp32", "Ours, bf16", "Limit", "Of it: plain, fp32, bf16", "Differs")
    lines = [head, (":--", ":--", *["--:"] * 3, ":--", "--:", "--:")]
    for name in dict.fromkeys(row["measured"] for row in rows):
        own = {row["variant"]: row for row in rows if row["measured"] == name}
        ours = [own.get(variant) for variant in OURS]
        last = own[list(own)[-1]]
        shares = [f"{100 * float(row['of_limit']):.0f}%" for row in own.values() if row["of_limit"]]
        apart = ", ".join(row["differs"] for row in ours if row)
        first = own[PLAIN]
        cells = [_times(row) if row else "" for row in ours]
        lines.append((name, first["unit"], first["median"], *cells, last["limit"], ", ".join(shares), apart))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    limits = (
        f"{machine.flops_fp32 / 1e9:.0f} GFLOP/s in fp32 and {machine.flops_bf16 / 1e9:.0f} in bf16 (product of large "
        f"matrices), {machine.bytes / 1e9:.1f} GB/s (copy of a large array)"
    )
    words = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in about.items())
    return (
        f"# Ours against the plain way\n\n{table}\n\nEach of ours: its rate, and the median, lowest and highest "
        f"ratio to the plain way. Limits measured: {limits}. {words}.\n"
    )


def _times(row: Mapping[str, str]) -> str:
    return f"{row['median']} (**{row['times']}×**, {row['times_low']}–{row['times_high']})"


def plot(rows: Sequence[Mapping[str, str]]) -> Figure:
    """The ratio of each of ours to the plain way, with its spread, on a logarithmic axis."""
    names = list(dict.fromkeys(row["measured"] for row in rows))
    figure = Figure(figsize=(PAGE, 0.6 + 0.24 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for (variant, colour, marker), shift in zip(
        (("ours, 32", BLUE, "o"), ("ours, bf16", VERMILION, "s")), (-0.14, 0.14), strict=True
    ):
        own = [row for row in rows if row["variant"] == variant]
        times, low, high = (np.array([float(row[key]) for row in own]) for key in ("times", "times_low", "times_high"))
        places = [names.index(row["measured"]) + shift for row in own]
        label = variant.replace("32", "fp32")
        axes.errorbar(times, places, xerr=(times - low, high - times), fmt=marker, color=colour, ms=4, label=label)
    axes.axvline(1, color=BLACK, lw=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("times faster than the plain way (median and range of the turns)")
    axes.legend(loc="center right")
    return figure


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="part of a measurement's name, repeatable; all if unset")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="of measurement, for each variant")] = 6.0,
    rounds: Annotated[int, typer.Option(min=1, help="turns that a variant's seconds are split into")] = 3,
    clock: Annotated[ClockName, typer.Option(help="processor: where others share the machine")] = "wall",
    output: Annotated[Path, typer.Option(help="where table and plot go; what is there is not measured again")] = Path(
        "docs/results/speed"
    ),
) -> None:
    """Compare with the plain way; run it alone."""
    with tempfile.TemporaryDirectory() as folder:
        run(Bench(Path(folder)), only or (), seconds, rounds, output, clock)


if __name__ == "__main__":
    typer.run(main)
