"""Quality against MACs: the searched subnets, the Pareto front and the compared generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gancomp.report.metrics import BY_KEY, Metric
from gancomp.report.records import REAL
from gancomp.report.rows import quantity
from gancomp.report.scoreboard import Scoreboard, label
from gancomp.report.searched import Selection, SubnetRow
from gancomp.report.style import BLACK, BLUE, COLOURS, GREEN, GREY, MARKERS, PAGE, PURPLE, VERMILION


def tradeoff(subnets: Sequence[SubnetRow], selection: Selection, board: Scoreboard) -> Figure:
    """Quality against exact MACs: the search on train-2 (left), the compared generators on validation (right); the
    experiment's metric above, FID or KID below.

    Left and right are scored against different reference pictures, so they do not share an axis.
    """
    figure = Figure(figsize=(PAGE, 5.6), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    unit = _macs_unit([subnet.macs for subnet in subnets])
    unit_all = _macs_unit([evaluation.macs for evaluation in board.evaluations.values()])
    chosen_by = BY_KEY[selection.metric]
    beside = BY_KEY["kid" if chosen_by.key == "fid" else "fid"]
    for row, metric in enumerate((chosen_by, beside)):
        _draw_search(axes[row, 0], subnets, selection, metric, unit)
        _draw_real(axes[row, 0], board, "train-2", metric)
        _draw_validation(axes[row, 1], board, metric, unit_all)
        axes[row, 0].set_ylabel(f"{metric.head} {metric.arrow} on train-2  ({metric.direction} is better)")
        axes[row, 1].set_ylabel(f"{metric.head} {metric.arrow} on validation")
    axes[0, 0].set_title(f"Search: {len(subnets):,} subnets, {selection.images:,} pictures of train-2")
    axes[0, 1].set_title(f"Outcome: {board.reference.images:,} pictures of validation")
    axes[1, 0].set_xlabel(f"MACs a picture, exact count ({unit[1]})")
    axes[1, 1].set_xlabel(f"MACs a picture, exact count ({unit_all[1]})")
    for column in (0, 1):
        handles, names = axes[0, column].get_legend_handles_labels()
        axes[1, column].legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    figure.align_ylabels()
    return figure


def _macs_unit(macs: Sequence[int]) -> tuple[float, str]:
    """Scale and name of the unit of MACs: giga or mega, by the smallest value."""
    return (1e9, "G") if min(macs) >= 0.1e9 and max(macs) >= 1e9 else (1e6, "M")


def _draw_search(
    axes: Axes, subnets: Sequence[SubnetRow], selection: Selection, metric: Metric, unit: tuple[float, str]
) -> None:
    def points(rows: Sequence[SubnetRow]) -> tuple[list[float], list[float]]:
        values = [(row.macs, metric.of(row)) for row in rows]
        known = [(macs, value) for macs, value in values if value is not None]
        return [macs / unit[0] for macs, _ in known], [value * metric.scale for _, value in known]

    front = sorted((subnet for subnet in subnets if subnet.index in set(selection.pareto)), key=lambda row: row.macs)
    size = 14 if len(subnets) < 500 else 5
    axes.scatter(
        *points(subnets), s=size, color=GREY, alpha=0.55, linewidths=0, label="subnet", rasterized=len(subnets) > 2000
    )
    # The front is that of the experiment's metric; in the other metric's panel its subnets are only marked.
    axes.plot(
        *points(front),
        color=BLUE,
        linewidth=1.2 if metric.key == selection.metric else 0,
        marker="o",
        markersize=3.5,
        label=f"Pareto front ({BY_KEY[selection.metric].name})",
    )
    ends = [[getattr(row, f"{metric.key}_{end}", None) for end in ("low", "high")] for row in front]
    spans = [
        (row.macs / unit[0], low * metric.scale, high * metric.scale)
        for row, (low, high) in zip(front, ends, strict=True)
        if low is not None and high is not None
    ]
    if spans:
        macs, lows, highs = zip(*spans, strict=True)
        axes.vlines(macs, lows, highs, color=BLUE, linewidth=0.8, alpha=0.5, label="95% interval")
    axes.plot(
        *points([selection.winner]),
        color=VERMILION,
        marker="*",
        markersize=11,
        linestyle="none",
        markeredgecolor="white",
        markeredgewidth=0.5,
        label="winner",
    )
    axes.axvline(
        selection.budget_macs / unit[0],
        color=BLACK,
        linewidth=0.9,
        linestyle=(0, (4, 2)),
        label=f"budget, {quantity(selection.budget_macs)}",
    )


def _draw_real(axes: Axes, board: Scoreboard, split: Literal["val", "train-2"], metric: Metric) -> None:
    """Draw the band *real against real*, the scores of real pictures against other real ones, if known.

    A band far from the other values would compress their scale: it is printed at the edge instead.
    """
    band = board.reference.bands.get(split, {}).get(metric.key)
    if band is None:
        return
    low, high = (value * metric.scale for value in band)
    bottom, top = axes.get_ylim()
    if low <= 2 * top - bottom and high >= 2 * bottom - top:
        label = f"{REAL}, 95%" if split == "train-2" else None
        axes.axhspan(low, high, color=GREEN, alpha=0.16, linewidth=0, zorder=0.5, label=label)
        return
    place, arrow = (0.02, "↓") if high < bottom else (0.98, "↑")
    words = f"{arrow} {REAL}: {metric.text(band[0])} to {metric.text(band[1])}"
    edge = "bottom" if high < bottom else "top"
    axes.text(0.02, place, words, transform=axes.transAxes, ha="left", va=edge, color=GREEN, fontsize=7)


def _draw_validation(axes: Axes, board: Scoreboard, metric: Metric, unit: tuple[float, str]) -> None:
    macs = [evaluation.macs / unit[0] for evaluation in board.evaluations.values()]
    for stage, evaluation in board.evaluations.items():
        if (value := metric.of(evaluation)) is None:
            continue
        axes.plot(
            evaluation.macs / unit[0],
            value * metric.scale,
            color=COLOURS[stage],
            marker=MARKERS[stage],
            markersize=12 if stage == "finetune" else 6.5,
            markeredgecolor="white",
            linestyle="none",
            zorder=4 if stage == "finetune" else 3,
            label=label(evaluation),
        )
    for name, colour, dashes in ((board.reference.baseline, PURPLE, (0, (5, 2))), (REAL, GREEN, (0, (1, 1.2)))):
        if (value := metric.of(board.reference.rows[name])) is not None:
            axes.axhline(value * metric.scale, color=colour, linewidth=1.3, linestyle=dashes, label=name)
    _draw_real(axes, board, "val", metric)
    low, high = min(macs), max(macs)
    if high > 4 * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(low / 1.5, high * 1.5)
    axes.margins(y=0.1)
