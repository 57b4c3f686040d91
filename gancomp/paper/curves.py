"""The paper's curves (Figures 5 to 8) over model sizes, from the study's runs: first a CSV, then its plot."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gancomp.config.settings import Config
from gancomp.config.study import REFERENCE, study_of
from gancomp.errors import GancompError
from gancomp.paper.measured import Measured, measure
from gancomp.paper.places import CURVES
from gancomp.pipeline.files import write_csv
from gancomp.report.metrics import BY_KEY
from gancomp.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

COLUMNS = (
    *("panel", "series", "reference", "experiment", "stage", "metric", "params", "macs", "macs_paper"),
    *("value", "sd", "seeds", "seed_list", "data_hash", "code_version"),
)
#: The paper's names of a study's roles.
ROLES: Mapping[str, str] = {
    "horse2zebra": "horse→zebra",
    "edges2shoes": "edges→shoes",
    "maps": "map→aerial photo",
    "cityscapes": "cityscapes",
    "gaugan": "GauGAN, cityscapes",
}
#: Width of a paper's column in inches.
COLUMN = 3.3
#: Approximate letters of 8 points per column.
LETTERS = 52
LOOKS = (
    *((VERMILION, "o"), (BLUE, "s"), (GREEN, "D"), (ORANGE, "^"), (BLACK, "v")),
    *((SKY, "P"), (PURPLE, "X"), (GREY, "*")),
)
#: Fewer sizes are drawn as points without a line.
SIZES_OF_A_CURVE = 3
#: Metrics of generated pictures, shown below the experiment's own metric.
BESIDE = ("fid", "kid")

Point = Mapping[str, str]


def place_title(config: Config, reference: str) -> str:
    """The title of the experiment at *reference*, with the paper's: `Outline → emoji (paper: edges→shoes)`.

    Raises GancompError if the study has no such role.
    """
    match, declared = REFERENCE.fullmatch(reference), study_of(config).experiments
    role = next((role for role in match["roles"].split("|") if role in declared), None) if match else None
    if role is None:
        raise GancompError(f"{reference!r}: study.experiments has no such role")
    experiment = config.experiments[declared[role]]
    return f"{experiment.title.partition(',')[0] or experiment.dataset} (paper: {ROLES.get(role, role)})"


def write_points(config: Config, name: str, path: Path) -> None:
    """Write the points of a figure that were run as CSV: the experiment's metric, and all others measured."""
    rows: list[dict[str, Any]] = []
    for panel in CURVES[name].panels.values():
        for series, places in panel.items():
            for place in places:
                if found := measure(config, place):
                    about = {"panel": place_title(config, place), "series": series, "reference": place}
                    rows += points_of(config, found, about)
    write_csv(path, COLUMNS, rows)


def points_of(config: Config, found: Measured, about: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The CSV rows of one place; *about* has the columns panel, series and reference."""
    declared, records = config.experiments[found.experiment], found.evaluations
    if not records or found.cost is None:
        return
    for metric in sorted(found.values, key=lambda key: key != declared.metric):
        value = found.values[metric]
        yield {
            **about,
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


def read_points(path: Path) -> list[Point]:
    """The rows of a figure's CSV. Raises GancompError if it is missing or lacks a column."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            points: list[Point] = list(reader)
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}; draw its figure again") from None
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise GancompError(f"{path}: lacks the columns {', '.join(missing)}; delete it and draw its figure again")
    return points


def draw(path: Path) -> Figure | None:
    """The figure of a CSV from `write_points`; None if it has no points.

    One column of panels per data set: its own metric above, FID or KID below.
    """
    points = read_points(path)
    if not points:
        return None
    panels = list(dict.fromkeys(point["panel"] for point in points))
    looks = {series: look(index) for index, series in enumerate(dict.fromkeys(point["series"] for point in points))}
    metrics = {panel: _metrics(points, panel) for panel in panels}
    rows = max(map(len, metrics.values()))
    columns = _legend_columns(list(looks), len(panels))
    names = max(2, math.ceil(len(looks) / columns))  # rows of the legend; there is always room for two
    figure = Figure(figsize=(COLUMN * len(panels), 0.9 + 1.9 * rows + 0.17 * (names - 2)), layout="constrained")
    axes = figure.subplots(rows, len(panels), squeeze=False, sharex="col")
    scale, unit = _unit(points)
    handles: dict[str, Any] = {}
    for column, panel in enumerate(panels):
        axes[0][column].set_title("\n".join(textwrap.wrap(panel, LETTERS - 10)))
        for row in range(rows):
            if row >= len(metrics[panel]):
                axes[row][column].set_axis_off()
                continue
            own = [point for point in points if (point["panel"], point["metric"]) == (panel, metrics[panel][row])]
            handles |= _draw_panel(axes[row][column], own, looks, scale)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=columns,
    )
    notes = textwrap.wrap(_note(points), LETTERS * len(panels))
    figure.supxlabel("\n".join([f"MACs a picture, exact count ({unit})", *notes]), fontsize=8)
    return figure


def look(index: int) -> tuple[str, str]:
    """Colour and marker of a series: colours repeat with other markers."""
    rounds, at = divmod(index, len(LOOKS))
    return LOOKS[at][0], LOOKS[(at + rounds) % len(LOOKS)][1]


def _legend_columns(labels: Sequence[str], panels: int) -> int:
    """The number of legend columns that fit above the panels, at most three."""
    for columns in (3, 2):
        rows = math.ceil(len(labels) / columns)
        widest = [max(map(len, labels[at : at + rows])) for at in range(0, len(labels), rows)]
        if sum(widest) + 6 * len(widest) <= (LETTERS + 4) * panels:
            return min(columns, len(labels))
    return 1


def _metrics(points: Sequence[Point], panel: str) -> list[str]:
    """The experiment's metric, which comes first in the CSV, and one metric of generated pictures."""
    measured = list(dict.fromkeys(point["metric"] for point in points if point["panel"] == panel))
    return [measured[0], *[key for key in BESIDE if key in measured[1:]][:1]]


def _draw_panel(
    axes: Axes, points: Sequence[Point], looks: Mapping[str, tuple[str, str]], scale: float
) -> dict[str, Any]:
    """Draw all series of one metric; returns their legend handles."""
    metric = BY_KEY[points[0]["metric"]]
    handles: dict[str, Any] = {}
    for series in dict.fromkeys(point["series"] for point in points):
        own = sorted((point for point in points if point["series"] == series), key=lambda point: int(point["macs"]))
        colour, marker = looks[series]
        x = [int(point["macs"]) / scale for point in own]
        y = [float(point["value"]) * metric.scale for point in own]
        bars = [float(point["sd"] or math.nan) * metric.scale for point in own]
        line = "-" if _sizes(own) >= SIZES_OF_A_CURVE else ""
        handles[series] = axes.errorbar(
            x, y, bars, marker=marker, color=colour, linestyle=line, capsize=2, markersize=4, linewidth=1
        )
    macs = [int(point["macs"]) / scale for point in points]
    if max(macs) > 4 * min(macs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.08)
    axes.set_ylabel(f"{metric.head} {metric.arrow}")
    return handles


def _unit(points: Sequence[Point]) -> tuple[float, str]:
    """Scale and name of the unit of MACs: giga or mega, by the smallest value."""
    macs = [int(point["macs"]) for point in points]
    return (1e9, "G") if min(macs) >= 0.1e9 and max(macs) >= 1e9 else (1e6, "M")


def _sizes(points: Sequence[Point]) -> int:
    return len({point["macs"] for point in points})


def _note(points: Sequence[Point]) -> str:
    """The number of seeds per point, and the series with too few sizes for a curve."""
    seeds = sorted({int(point["seeds"]) for point in points})
    several = " or ".join(str(count) for count in seeds if count > 1)
    if not several:
        told = "One seed."
    else:
        told = f"Bars: ± standard deviation over {several} seeds" + ("; no bar: one seed." if 1 in seeds else ".")
    few = [
        series
        for series in dict.fromkeys(point["series"] for point in points)
        if any(
            0
            < _sizes([point for point in points if (point["panel"], point["series"]) == (panel, series)])
            < SIZES_OF_A_CURVE
            for panel in dict.fromkeys(point["panel"] for point in points)
        )
    ]
    if not few:
        return told
    which = "No lines" if len(few) == len({point["series"] for point in points}) else f"No line ({', '.join(few)})"
    return f"{told} {which}: a curve needs three sizes."
