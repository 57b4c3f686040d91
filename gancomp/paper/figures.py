"""The paper's figures from what the study ran; one of which nothing was run says so."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gancomp.artifacts import write_csv
from gancomp.config import Config
from gancomp.paper import agreement, curves
from gancomp.paper.measured import measure
from gancomp.paper.places import GRIDS
from gancomp.paper.tables import study_folder
from gancomp.pipeline import UPSTREAM, stages_of
from gancomp.report.figures import BLUE, DPI, PAGE, VERMILION, grid, picture_columns, save, style
from gancomp.report.records import read_scoreboard
from gancomp.report.stage import folders_of
from gancomp.study import study_of


def write_figure(config: Config, name: str) -> None:
    """`{name}.svg` and `.png` in the study's folder, with `{name}.csv` where it shows numbers."""
    stem = study_folder(config) / name
    figure: Figure | None
    dpi: float = DPI
    with style():
        if name == "figure2":
            from gancomp.paper.classifiers import costs

            rows = costs()
            write_csv(stem.with_suffix(".csv"), tuple(rows[0]), rows)
            figure = draw_costs(stem.with_suffix(".csv"))
        elif name == "figure3":
            figure = draw_method(config)
        elif name in GRIDS:
            figure, dpi = draw_grids(config, name)
        elif name == "agreement":
            agreement.write_points(config, stem.with_suffix(".csv"))
            figure = agreement.draw(stem.with_suffix(".csv"))
        else:
            curves.write_points(config, name, stem.with_suffix(".csv"))
            figure = curves.draw(name, stem.with_suffix(".csv"))
        save(figure or _not_run(name), stem, dpi)


def redraw(name: str, path: Path) -> None:
    """Draw a figure of numbers anew, beside its CSV and from that alone."""
    drawers: dict[str, Callable[[Path], Figure | None]] = {"figure2": draw_costs, "agreement": agreement.draw}
    with style():
        figure = drawers[name](path) if name in drawers else curves.draw(name, path)
        save(figure or _not_run(name), path.with_suffix(""))


def _not_run(name: str) -> Figure:
    figure = Figure(figsize=(curves.COLUMN, 1))
    figure.text(0.5, 0.5, f"{name}: not run in this study", ha="center", va="center")
    return figure


def draw_costs(path: Path) -> Figure:
    """Figure 2: MACs against parameters, both logarithmic, of classifiers and generators."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    figure = Figure(figsize=(PAGE / 2 + 0.6, 2.8), layout="constrained")
    axes = figure.subplots()
    for kind, colour, marker in (("classifier", BLUE, "o"), ("generator", VERMILION, "s")):
        own = [row for row in rows if row["kind"] == kind]
        x, y = ([float(row[key]) / scale for row in own] for key, scale in (("params", 1e6), ("macs", 1e9)))
        axes.plot(x, y, linestyle="", marker=marker, color=colour, label=f"{kind}s", ms=5)
        for row, left, up in zip(own, x, y, strict=True):
            axes.annotate(
                row["network"], (left, up), xytext=(0, 5), textcoords="offset points", fontsize=6, ha="center"
            )
    axes.set(xscale="log", yscale="log", xlabel="Parameters, 10⁶", ylabel="MACs for a picture, 10⁹ (exact)")
    axes.margins(0.18)
    axes.legend(loc="lower right")
    return figure


def draw_method(config: Config) -> Figure:
    """Figure 3: the method as the stages of the workflow, and what each reads of which."""
    stages = [stage for stage in UPSTREAM if stage not in ("statistics", "judge", "scratch")]
    study = study_of(config)
    if study.experiments:
        had = set(stages_of(config, next(iter(study.experiments.values()))))
        stages = [stage for stage in stages if stage in had]
    depth: dict[str, int] = {}
    for stage in stages:
        depth[stage] = 1 + max((depth[before] for before in UPSTREAM[stage] if before in depth), default=-1)
    rank: dict[str, int] = {}
    for stage in stages:
        rank[stage] = sum(depth[other] == depth[stage] for other in rank)
    figure = Figure(figsize=(PAGE, 1.9), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#EAF3FA", "edgecolor": BLUE, "linewidth": 0.8}
    for stage in stages:
        here = (depth[stage], -rank[stage])
        for before in UPSTREAM[stage]:
            if before in depth:
                arrow = {"arrowstyle": "-|>", "color": "#666666", "linewidth": 0.7, "shrinkA": 16, "shrinkB": 18}
                axes.annotate("", here, (depth[before], -rank[before]), arrowprops=arrow)
        axes.text(*here, stage, ha="center", va="center", bbox=box, fontsize=7.5)
    axes.set_xlim(-0.5, max(depth.values()) + 0.5)
    axes.set_ylim(-max(rank.values()) - 0.5, 0.5)
    return figure


def draw_grids(config: Config, name: str) -> tuple[Figure | None, float]:
    """The pictures of every role that was run, one block below the other, and the resolution to save them at."""
    sheets = []
    for role in GRIDS[name]:
        found = measure(config, f"{role}:finetune")
        if found is None or not found.evaluations:
            continue
        folders = folders_of(config, found.experiment)
        board = read_scoreboard(folders)
        figure, dpi = grid(picture_columns(folders, board), board)
        sheets.append(_pixels(figure, dpi))
    if not sheets:
        return None, DPI
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    whole = np.concatenate(padded)
    dpi = width / PAGE
    figure = Figure(figsize=(PAGE, whole.shape[0] / dpi))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(whole, interpolation="none", aspect="auto")
    axes.set_axis_off()
    return figure, dpi


def _pixels(figure: Figure, dpi: float) -> NDArray[np.uint8]:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    return np.asarray(Image.open(drawn).convert("RGB"))
