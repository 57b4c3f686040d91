"""The paper's curves (Figures 5 to 8) over model sizes, from what the study ran: first a CSV, then a plot of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gancomp.artifacts import write_csv
from gancomp.config import Config
from gancomp.paper.measured import measure
from gancomp.paper.places import CURVES
from gancomp.report.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION
from gancomp.report.metrics import BY_KEY, METRICS

COLUMNS = (
    *("panel", "series", "reference", "experiment", "stage", "metric", "params", "macs", "macs_paper"),
    *("value", "sd", "seeds", "seed_list", "data_hash", "code_version"),
)
#: Inches: one column of a paper.
COLUMN = 3.3
LOOKS = ((VERMILION, "o"), (BLUE, "s"), (GREEN, "D"), (ORANGE, "^"), (BLACK, "v"))
#: Fewer sizes are points, not a curve.
SIZES_OF_A_CURVE = 3


def write_points(config: Config, name: str, path: Path) -> None:
    """The points of a figure that were run, as CSV: the experiment's metric, and every other that was measured."""
    rows = []
    for panel in CURVES[name].panels.values():
        for series, places in panel.items():
            for place in places:
                found = measure(config, place)
                if found is None or not found.evaluations or found.cost is None:
                    continue
                declared = config.experiments[found.experiment]
                records = found.evaluations
                for metric in sorted(found.values, key=lambda key: key != declared.metric):
                    value = found.values[metric]
                    rows.append(
                        {
                            "panel": declared.title.partition(",")[0] or declared.dataset,
                            "series": series,
                            "reference": place,
                            "experiment": found.experiment,
                            "stage": found.stage,
                            "metric": metric,
                            **found.cost.model_dump(include={"params", "macs", "macs_paper"}),
                            "value": f"{value.mean:.9g}",
                            "sd": "" if value.sd is None else f"{value.sd:.9g}",
                            "seeds": value.seeds,
                            "seed_list": " ".join(str(record.seed) for record in records),
                            "data_hash": records[0].data_hash,
                            "code_version": " ".join(dict.fromkeys(record.code_version for record in records)),
                        }
                    )
    write_csv(path, COLUMNS, rows)


def draw(name: str, path: Path) -> Figure | None:
    """The figure *name* from the CSV that `write_points` wrote; None where it holds no point."""
    with path.open(newline="", encoding="utf-8") as stream:
        points = list(csv.DictReader(stream))
    if not points:
        return None
    panels = list(dict.fromkeys(point["panel"] for point in points))
    shown = [metric for metric in ("miou", "fid", "kid") if any(point["metric"] == metric for point in points)][:2]
    figure = Figure(figsize=(COLUMN * len(panels), 2.3 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(panels), squeeze=False)
    for row, metric in enumerate(shown):
        for column, panel in enumerate(panels):
            own = [point for point in points if (point["panel"], point["metric"]) == (panel, metric)]
            _draw_panel(axes[row][column], own, metric)
            axes[0][column].set_title(panel)
    axes[0][0].legend()
    figure.supxlabel("MACs for a picture, 10⁶ (exact)", fontsize=8)
    seeds = sorted({int(point["seeds"]) for point in points})
    told = "one seed" if seeds == [1] else "bars: standard deviation over seeds, where several"
    figure.suptitle(f"{CURVES[name].title}\n({told})", fontsize=8)
    return figure


def _draw_panel(axes: Axes, points: Sequence[Mapping[str, Any]], key: str) -> None:
    metric = BY_KEY[key]
    assert metric in METRICS
    for (colour, marker), series in zip(LOOKS, dict.fromkeys(point["series"] for point in points), strict=False):
        own = sorted((point for point in points if point["series"] == series), key=lambda point: int(point["macs"]))
        x = [int(point["macs"]) / 1e6 for point in own]
        y = [float(point["value"]) * metric.scale for point in own]
        bars = [float(point["sd"] or 0) * metric.scale for point in own]
        line = "-" if len(own) >= SIZES_OF_A_CURVE else ""
        axes.errorbar(x, y, bars, marker=marker, color=colour, linestyle=line, label=series, capsize=2, ms=4, lw=1)
    axes.set_ylabel(f"{metric.head} {metric.arrow}")
