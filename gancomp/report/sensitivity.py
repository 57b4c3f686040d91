"""The table and the picture of what each convolution loses by eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from gancomp.pipeline.files import write_csv
from gancomp.report.style import BLUE, PAGE, VERMILION, save, style

#: The row of all convolutions at once.
ALL = "all"
COLUMNS = ("layer", "mean_8_bit_steps", "max_8_bit_steps")


@dataclass(frozen=True)
class Sensitivity:
    """How far pictures move when one *layer* computes in int8, or ALL do, in 8-bit steps."""

    layer: str
    mean: float
    max: float


def write_report(rows: Sequence[Sensitivity], folder: Path) -> None:
    """Write `sensitivity.csv` and `sensitivity.…` (SVG and PNG) into *folder*."""
    write_csv(
        folder / "sensitivity.csv",
        COLUMNS,
        [dict(zip(COLUMNS, (row.layer, f"{row.mean:.5f}", f"{row.max:.4f}"), strict=True)) for row in rows],
    )
    with style():
        save(draw(rows), folder / "sensitivity")


def draw(rows: Sequence[Sensitivity]) -> Figure:
    """Mean differences as bars from 0, a layer each, from the first to the last; all of them last."""
    figure = Figure(figsize=(PAGE, 0.19 * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots()
    colours = [VERMILION if row.layer == ALL else BLUE for row in rows]
    axes.barh(range(len(rows)), [row.mean for row in rows], 0.7, color=colours)
    for place, row in enumerate(rows):
        axes.text(row.mean, place, f" {row.mean:.2g}", ha="left", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [row.layer for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("mean difference of pictures with this layer alone in int8, 8-bit steps")
    return figure
