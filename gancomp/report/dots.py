"""Scores of several generators, one below the other: a dot for each seed, and their mean and standard deviation."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from gancomp.paper.measured import Measured
from gancomp.report.metrics import BY_KEY
from gancomp.report.style import BLACK, GREY, PAGE, VERMILION

#: Letters of a generator's name in a line.
LETTERS = 32
#: Inches of a generator's row.
ROW = 0.3


def draw(
    title: str, reference: Measured, groups: Sequence[Sequence[tuple[str, Measured]]], metrics: Sequence[str]
) -> Figure:
    """The named generators of each group from top to bottom, groups apart, a panel for each of *metrics*; a dashed
    line is the mean of *reference*."""
    rows: list[tuple[float, str, Measured]] = []
    for apart, group in enumerate(groups):
        rows += [(len(rows) + index + apart * 0.5, name, found) for index, (name, found) in enumerate(group)]
    figure = Figure(figsize=(PAGE, 0.9 + ROW * (rows[-1][0] + 1)), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for panel, key in zip(axes, metrics, strict=True):
        metric = BY_KEY[key]
        if held := reference.value(key):
            panel.axvline(held.mean * metric.scale, color=GREY, linestyle="--", linewidth=1)
        for y, _, found in rows:
            values = [value * metric.scale for one in found.evaluations if (value := getattr(one, key)) is not None]
            if not values:
                continue
            spread = statistics.stdev(values) if len(values) > 1 else None
            panel.plot(values, [y] * len(values), "o", color=GREY, markersize=3)
            panel.errorbar(
                statistics.fmean(values),
                y,
                xerr=spread,
                fmt="D",
                color=BLACK if found is reference else VERMILION,
                markersize=4,
                capsize=2,
                linewidth=1,
            )
        panel.set_xlabel(f"{metric.head} {metric.arrow}")
        panel.grid(axis="y", visible=False)
    axes[0].set_yticks([y for y, *_ in rows], ["\n".join(textwrap.wrap(name, LETTERS)) for _, name, _ in rows])
    axes[0].set_ylim(rows[-1][0] + 0.6, -0.6)
    figure.suptitle(title, fontsize=8.5)
    figure.supxlabel(
        "Diamonds: mean ± standard deviation over seeds. Dots: each seed. Dashed: the original's mean.", fontsize=8
    )
    return figure
