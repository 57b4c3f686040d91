"""A generator's width groups as a table and as a figure. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gancomp.report.style import BLUE, GREY, PAGE, save, style

if TYPE_CHECKING:
    from gancomp.elastic.listing import Listed

COLUMNS = ("made first by", "channels", "width", "tensors", "MACs", "energy")


def groups_table(groups: Sequence[Listed]) -> str:
    """One line per group, the frozen ones below with their reasons."""
    rows = [
        (
            group.name,
            str(group.channels),
            group.width or ("fixed" if group.reason else "–"),
            str(group.tensors),
            f"{group.macs:.1%}",
            "–" if group.energy is None else f"{group.energy:.1%}",
        )
        for group in groups
    ]
    sizes = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    lines = []
    for row, reason in zip((COLUMNS, *rows), ("", *(group.reason for group in groups)), strict=True):
        _, channels, _, tensors, macs, energy = map(str.rjust, row, sizes)
        cells = [row[0].ljust(sizes[0]), channels, row[2].ljust(sizes[2]), tensors, macs, energy]
        lines.append("  ".join([*cells, reason]).rstrip())
    return "\n".join(
        [
            *lines,
            "MACs: the share of all exact multiply-accumulates in layers of the group (most layers have two groups).",
            "energy: the share of the stronger half of its filters in the sum of L1 norms; 50% if all are equal.",
        ]
    )


def draw_groups(groups: Sequence[Listed], stem: Path, title: str) -> None:
    """Draw channels, share of MACs and, if weights are known, energy of every group, as *stem* in SVG and PNG."""
    columns = {
        "Channels": [float(group.channels) for group in groups],
        "Exact MACs of its layers (%)": [100 * group.macs for group in groups],
    }
    if any(group.energy is not None for group in groups):
        columns["L1 norm in the stronger half (%)"] = [100 * (group.energy or 0) for group in groups]
    with style():
        figure = Figure(figsize=(PAGE, 1.1 + 0.17 * len(groups)), layout="constrained")
        axes = figure.subplots(1, len(columns), sharey=True)
        for ax, (label, values) in zip(axes, columns.items(), strict=True):
            ax.barh(range(len(groups)), values, color=[GREY if group.reason else BLUE for group in groups], height=0.7)
            ax.set_xlabel(label)
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(groups)), [group.name for group in groups])
        axes[0].invert_yaxis()
        handles = [Patch(color=BLUE, label="searched"), Patch(color=GREY, label="kept whole")]
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
        figure.suptitle(title, x=0.01, ha="left")
        save(figure, stem)
