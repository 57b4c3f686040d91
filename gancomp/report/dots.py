"""Scores of several generators, one below the other: a dot for each seed, and their mean and standard deviation."""

from __future__ import annotations

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
    title: str, original: Measured, groups: Sequence[Sequence[tuple[str, Measured]]], metrics: Sequence[str]
) -> Figure:
    """The named generators of each group from top to bottom, groups apart, a panel for each of *metrics* in its printed
    scale; a dashed line is the mean of *original*."""
    every = ((apart, name, found) for apart, group in enumerate(groups) for name, found in group)
    rows = [(row + apart * 0.5, name, found) for row, (apart, name, found) in enumerate(every)]
    figure = Figure(figsize=(PAGE, 0.9 + ROW * (rows[-1][0] + 1)), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for panel, key in zip(axes, metrics, strict=True):
        metric = BY_KEY[key]
        if held := original.value(key):
            panel.axvline(held.mean * metric.scale, color=GREY, linestyle="--", linewidth=1)
        for y, _, found in rows:
            if not (value := found.value(key)):
                continue
            seeds = [score * metric.scale for one in found.evaluations if (score := getattr(one, key)) is not None]
            panel.plot(seeds, [y] * len(seeds), "o", color=GREY, markersize=3)
            panel.errorbar(
                value.mean * metric.scale,
                y,
                xerr=None if value.sd is None else value.sd * metric.scale,
                fmt="D",
                color=BLACK if found is original else VERMILION,
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
