"""Quality of several experiments against MACs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gancomp.config.settings import Config
from gancomp.paper.curves import look
from gancomp.pipeline.stages import COMPARED
from gancomp.report.compare.entries import NAMES, Entry
from gancomp.report.metrics import BY_KEY, Metric
from gancomp.report.style import GREY, MARKERS, PAGE


def quality(config: Config, entries: Sequence[Entry], metric: str) -> Figure:
    """Scores against exact MACs: one row per set of pictures, one colour per experiment, one marker per kind of
    generator; pale marks are single seeds, bars the standard deviation over seeds."""
    groups: dict[tuple[str, object], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.data, []).append(entry)
    shown = [BY_KEY[key] for key in (metric, "kid" if metric == "fid" else "fid")]
    drawn = Figure(figsize=(PAGE, 0.9 + 2.5 * len(groups) + 0.09 * len(entries)), layout="constrained")
    axes = drawn.subplots(len(groups), len(shown), squeeze=False)
    colours = {entry.name: look(index)[0] for index, entry in enumerate(entries)}
    for row, group in enumerate(groups.values()):
        dataset = config.experiments[group[0].runs[0]].dataset
        for panel, one in zip(axes[row], shown, strict=True):
            _draw(panel, group, one, colours)
            panel.set_title(dataset)
            panel.set_xlabel("MACs a picture, exact count (M)")
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, colour in colours.items()]
    handles += [
        Line2D([], [], color=GREY, marker=MARKERS[stage], linestyle="", label=NAMES[stage].lower())
        for stage in COMPARED
        if any(entry.measured(stage) for entry in entries)
    ]
    drawn.legend(handles=handles, loc="outside upper center", ncols=4)
    return drawn


def _draw(axes: Axes, entries: Sequence[Entry], metric: Metric, colours: Mapping[str, str]) -> None:
    macs: list[float] = []
    for entry in entries:
        for stage in COMPARED:
            found = entry.measured(stage)
            value = found.value(metric.key) if found else None
            if found is None or value is None:
                continue
            x = [record.macs / 1e6 for record in found.evaluations]
            scores = [metric.of(record) for record in found.evaluations]
            y = [math.nan if score is None else metric.scale * score for score in scores]
            macs += x
            looks: dict[str, Any] = {"color": colours[entry.name], "marker": MARKERS[stage], "markeredgecolor": "white"}
            if value.seeds > 1:
                axes.plot(x, y, linestyle="", alpha=0.3, markersize=5, **looks)
            bar = math.nan if value.sd is None else value.sd * metric.scale
            at = statistics.fmean(x)
            size = 11 if stage == "finetune" else 6.5
            axes.errorbar(at, value.mean * metric.scale, bar, capsize=2, linewidth=1, markersize=size, **looks)
    if macs and max(macs) > 4 * min(macs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.1)
    axes.set_ylabel(f"{metric.head} {metric.arrow}")
