"""The paper's figures from the study's runs; a figure without runs is a placeholder."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper import agreement, curves
from gancomp.paper.diagram import draw_method
from gancomp.paper.grids import draw_grids
from gancomp.paper.places import CURVES, GRIDS
from gancomp.paper.tables import study_folder
from gancomp.pipeline.files import write_csv
from gancomp.report.style import BLUE, DPI, GREY, VERMILION, save, style


def write_figure(config: Config, name: str) -> None:
    """Write `{name}.svg` and `.png` in the study's folder, with `{name}.csv` if it shows numbers.

    Without runs, writes a placeholder "not run", because the workflow expects the files.
    """
    stem = study_folder(config) / name
    if name in NUMBERED:
        _write_points(config, name, stem.with_suffix(".csv"))
        redraw(name, stem.with_suffix(".csv"))
        return
    figure: Figure | None
    dpi: float = DPI
    with style():
        if name in GRIDS:
            figure, dpi = draw_grids(config, name)
        else:
            figure = draw_method(config)
        save(figure or _not_run(name), stem, dpi)


def _write_points(config: Config, name: str, path: Path) -> None:
    if name == "figure2":
        from gancomp.paper.classifiers import costs  # torch

        rows = costs()
        write_csv(path, tuple(rows[0]), rows)
    elif name == "agreement":
        agreement.write_points(config, path)
    else:
        curves.write_points(config, name, path)


def redraw(name: str, path: Path) -> None:
    """Draw a figure from its CSV alone, and save it beside it. Raises GancompError if the figure has no CSV."""
    if name not in NUMBERED:
        raise GancompError(f"{name}: is not drawn from a CSV; choose one of {', '.join(NUMBERED)}")
    with style():
        save(NUMBERED[name](path) or _not_run(name), path.with_suffix(""))


def _not_run(name: str) -> Figure:
    figure = Figure(figsize=(curves.COLUMN, 0.5))
    words = f"{name.capitalize().replace('Figure', 'Figure ')}: not run in this study"
    figure.text(0.5, 0.5, words, ha="center", va="center", color=GREY)
    return figure


def draw_costs(path: Path) -> Figure:
    """Figure 2 from its CSV: MACs and parameters of classifiers and generators, by MACs."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: int(row["macs"]))
    figure = Figure(figsize=(curves.COLUMN, 0.8 + 0.21 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    names = [textwrap.fill(f"{row['network']}, {_size(row['size'])}", 24) for row in rows]
    for panel, key, scale, told in (
        (axes[0], "macs", 1e9, "MACs (G)"),
        (axes[1], "params", 1e6, "Parameters (M)"),
    ):
        for kind, colour, marker in (("classifier", BLUE, "o"), ("generator", VERMILION, "s")):
            own = [(int(row[key]) / scale, place) for place, row in enumerate(rows) if row["kind"] == kind]
            panel.plot(
                *zip(*own, strict=True), linestyle="", marker=marker, color=colour, markersize=5, label=f"{kind}s"
            )
        panel.set(xscale="log", xlabel=told)
        panel.xaxis.set_major_locator(LogLocator())
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.margins(0.08)
    axes[0].set_yticks(range(len(rows)), names, fontsize=6.5)
    figure.supxlabel("for one picture of the given size, exact count", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _size(printed: str) -> str:
    """`224x224` → `224²`, `256x512` → `256×512`."""
    height, _, width = printed.partition("x")
    return f"{height}²" if height == width else f"{height}×{width}"


#: Figures of numbers, with the functions that draw them from their CSV.
NUMBERED: dict[str, Callable[[Path], Figure | None]] = {
    **dict.fromkeys(CURVES, curves.draw),
    **{"figure2": draw_costs, "agreement": agreement.draw},
}
