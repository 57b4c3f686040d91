"""Trade-off, losses and picture grid as SVG and PNG, drawn from what the stages wrote; equal input, equal bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gancomp.errors import GancompError
from gancomp.pipeline.files import atomic
from gancomp.report.metrics import BY_KEY, Metric
from gancomp.report.reading import read, read_log, require
from gancomp.report.records import REAL
from gancomp.report.rows import quantity, times
from gancomp.report.scoreboard import Folders, Scoreboard, label, read_scoreboard, reduction
from gancomp.report.searched import Selection, SubnetRow, read_search

# Okabe and Ito's palette: told apart by every kind of colour vision.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#999999",
)
COLOURS = {"original": BLACK, "narrow": ORANGE, "subnet": SKY, "finetune": VERMILION}
MARKERS = {"original": "s", "narrow": "D", "subnet": "o", "finetune": "*"}

#: The full width of a page, in inches; figures are drawn at it, so that a font of 8 points is one of 8 points.
PAGE = 7.2
DPI = 200
STYLE: Any = {
    "svg.hashsalt": "gancomp",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same letters
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

#: How the figures call the stages that train.
STAGES: Mapping[str, str] = {
    "original": "Original",
    "teacher": "Teacher",
    "distill": "Distillation",
    "supernet": "Once-for-all",
    "finetune": "Fine-tuning",
    "narrow": "Narrow",
}
LOSSES: Mapping[str, str] = {
    "g_recon": "Reconstruction",
    "g_cycle": "Cycle",
    "g_identity": "Identity",
    "g_perceptual": "Perceptual",
    "g_feature": "Features of D",
    "g_distill": "Distillation",
    "g_ka": "Kernel alignment",
    "g_channel": "Channels' means",
    "g_critic": "Seen by D",
    "g_ssim": "Structure (SSIM)",
    "g_gram": "Style (Gram)",
    "g_content": "Content",
    "g_tv": "Total variation",
    "wide_recon": "Wide teacher, L1",
    "deep_recon": "Deep teacher, L1",
    "wide_gan": "Wide teacher, GAN",
    "deep_gan": "Deep teacher, GAN",
    "g_gan": "Generator, GAN",
    "d_loss": "Discriminator",
}

Pixels = NDArray[np.uint8]


def write_figures(folders: Folders) -> None:
    """Write `figures/{tradeoff,losses,grid}.{svg,png}` of an experiment from what its stages wrote; there is no
    trade-off where nothing is compressed.

    Raises GancompError naming the file, and the stage to run, when one is missing or wrong; all are read before the
    first figure is written.
    """
    board = read_scoreboard(folders)
    search = None
    if folders.compressed:
        subnets = read_search(folders.file("scores", "search.csv"))
        search = subnets, read(folders.file("search", "selection.json"), Selection, "search")
    logs = {stage: read_log(folders.file(stage, "log.csv"), stage) for stage in folders.trained}
    columns = picture_columns(folders, board)
    with style():
        if search:
            save(tradeoff(*search, board), folders.output("figures", "tradeoff"))
        save(losses(logs), folders.output("figures", "losses"))
        figure, dpi = grid(columns, board)
        save(figure, folders.output("figures", "grid"), dpi)


@contextmanager
def style() -> Iterator[None]:
    """Our settings over matplotlib's own defaults, whatever the user's matplotlibrc says; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, stem: Path, dpi: float = DPI) -> None:
    """Both formats without date or software, so that equal figures are equal files."""
    FigureCanvasAgg(figure)
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    for suffix, entries in metadata.items():
        with atomic(stem.with_suffix(f".{suffix}")) as path:
            figure.savefig(path, format=suffix, dpi=dpi, metadata=entries)


# --- trade-off ---------------------------------------------------------------------------------


def tradeoff(subnets: Sequence[SubnetRow], selection: Selection, board: Scoreboard) -> Figure:
    """Quality against exact MACs: the search on train-2 (left), the compared generators on validation (right); above
    by the metric that chose the winner, below by FID or KID.

    The two are scored against different reference pictures, so they share no axis.
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
    """Giga or mega, by the magnitude of the smallest."""
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
    # The front is that of the metric that chose; in the panel of the other one the same subnets are only marked.
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
    """The band *real against real*: what real pictures score against other real ones, where that is known.

    What lies far off would flatten all else: it is told at the edge instead.
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


# --- losses ------------------------------------------------------------------------------------


def losses(logs: Mapping[str, tuple[list[float], dict[str, list[float]]]]) -> Figure:
    """Every loss (rows) of every training (columns) against images seen: raw faint, running mean on top.

    A log without rows is that of a generator which was imported instead.
    """
    present = {name for _, terms in logs.values() for name in terms}
    names = [name for name in LOSSES if name in present] + sorted(present - LOSSES.keys()) or [""]
    figure = Figure(figsize=(PAGE, 0.7 + 1.25 * len(names)), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03))
    axes = figure.subplots(len(names), len(logs), sharex="col", sharey="row", squeeze=False)
    for column, (stage, (images, terms)) in enumerate(logs.items()):
        axes[0, column].set_title(STAGES[stage])
        for row, name in enumerate(names):
            panel = axes[row, column]
            if images and name in terms:
                _draw_loss(panel, np.asarray(images) / 1e3, np.asarray(terms[name]))
            else:
                words = "not used" if images else "imported"
                panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", color=GREY)
            panel.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]) if images else NullLocator())
            panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(LOSSES.get(name, name))
        _frame_row(axes[row], [np.asarray(terms[name]) for _, terms in logs.values() if name in terms])
    figure.supxlabel(
        "thousand images seen    (losses before their weights λ; thin: as logged, thick: running mean)", fontsize=8
    )
    figure.align_ylabels()
    return figure


def _draw_loss(axes: Axes, images: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    marker = "o" if len(values) < 3 else ""
    axes.plot(images, values, color=SKY, linewidth=0.5, alpha=0.45, rasterized=True)  # thousands of points
    axes.plot(images, running_mean(values), color=BLUE, linewidth=1.3, marker=marker, markersize=3)


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred mean over a tenth of the run, of what lies within it near the ends; same length as *values*."""
    half = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    mean: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return mean


def _frame_row(row: Sequence[Axes], series: Sequence[NDArray[np.float64]]) -> None:
    """One scale for all trainings, which first steps and single spikes do not stretch."""
    values = [part for part in series if len(part)]
    if not values:
        return
    low = min(min(np.percentile(part, 1), running_mean(part).min()) for part in values)
    high = max(max(np.percentile(part, 98), running_mean(part)[len(part) // 50 :].max()) for part in values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    row[0].set_ylim(low - margin, high + margin)


# --- picture grid ------------------------------------------------------------------------------

#: A picture's width: at most so many inches on the page, at least so many pixels.
TILE_INCHES, TILE_PIXELS = 1.1, 192
ROWS_A_BLOCK, MOST_ROWS = 6, 12
#: Pictures so many times wider than tall fill a page without a second block.
WIDE = 1.5


def picture_columns(folders: Folders, board: Scoreboard) -> dict[str, Pixels]:
    """The strips of the grid's columns as (n, h, w, 3), each from its own vertical strip of n pictures.

    There is a column of targets only where they are the truth of these inputs.
    """
    height, width = board.evaluations["original"].spec.size
    shape = (len(board.reference.samples), height, width, 3)
    given = {"input": "inputs.png"} | ({"target": "targets.png"} if board.reference.paired else {})
    files = {name: (folders.file("reference", file), "reference") for name, file in given.items()}
    files |= {stage: (folders.file(stage, "samples.png"), stage) for stage in folders.compared}
    return {name: _read_strip(path, shape, stage) for name, (path, stage) in files.items()}


def _read_strip(path: Path, shape: tuple[int, int, int, int], stage: str) -> Pixels:
    try:
        with Image.open(require(path, stage)) as image:
            wanted = (shape[2], shape[0] * shape[1])
            if image.size != wanted:
                raise GancompError(
                    f"{path}: {image.size[0]}x{image.size[1]} pixels, expected {wanted[0]}x{wanted[1]} "
                    f"({shape[0]} pictures, one below the other); delete it and run the stage {stage!r} again"
                )
            return np.asarray(image.convert("RGB"), dtype=np.uint8).reshape(shape)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise GancompError(f"{path}: not a readable picture ({error}); delete it and run {stage!r} again") from None


def grid(columns: Mapping[str, Pixels], board: Scoreboard) -> tuple[Figure, float]:
    """Pictures (rows) as every generator draws them (columns), and the resolution at which a pixel is a pixel."""
    sheet, centres = contact_sheet(list(columns.values()))
    height, width, _ = sheet.shape
    tile = centres[1] - centres[0]
    dpi = max(tile / TILE_INCHES, width / PAGE)
    margin, head, foot = round(0.04 * dpi), round(0.6 * dpi), round(0.2 * dpi)
    full_width, full_height = width + 2 * margin, height + head + foot
    figure = Figure(figsize=(full_width / dpi, full_height / dpi))
    axes = figure.add_axes((margin / full_width, foot / full_height, width / full_width, height / full_height))
    axes.imshow(sheet, interpolation="none", aspect="auto")
    axes.set_axis_off()
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "linespacing": 1.15, "annotation_clip": False}
    blocks = len(centres) // len(columns)
    for centre, words in zip(centres, _heads(columns, board) * blocks, strict=True):
        axes.annotate(words, (centre, 0), xytext=(0, 3), ha="center", va="bottom", **text)
    caption = "Over a column: exact MACs a picture" + (
        ", and × fewer than the original." if len(board.evaluations) > 1 else "."
    )
    axes.annotate(caption, (0, height), xytext=(0, -3), ha="left", va="top", **text)
    return figure, dpi


def contact_sheet(strips: Sequence[Pixels]) -> tuple[Pixels, list[float]]:
    """The strips, each (n, h, w, 3), side by side as one picture, and the centre of each column in its pixels.

    Beyond six rows, pictures that are not wide continue in a second block to the right, which suits a page better.
    """
    count, height, width, _ = strips[0].shape
    count = min(count, MOST_ROWS)
    blocks = 1 if width >= WIDE * height else math.ceil(count / ROWS_A_BLOCK)
    rows = math.ceil(count / blocks)
    factor = math.ceil(TILE_PIXELS / width)
    tall, wide = height * factor, width * factor
    line, gutter = max(2, wide // 64), wide // 6
    block_width = len(strips) * (wide + line) + line
    sheet: Pixels = np.full(
        (rows * (tall + line) + line, blocks * (block_width + gutter) - gutter, 3), 255, dtype=np.uint8
    )
    centres = []
    for block in range(blocks):
        for column, strip in enumerate(strips):
            left = line + block * (block_width + gutter) + column * (wide + line)
            centres.append(left + wide / 2)
            for row, picture in enumerate(strip[block * rows : min((block + 1) * rows, count)]):
                top = line + row * (tall + line)
                # A grey frame shows where a white picture ends (tiles lie one line apart, so frames share it);
                # nearest neighbour keeps every pixel a square.
                sheet[top - line : top + tall + line, left - line : left + wide + line] = 0xD0
                sheet[top : top + tall, left : left + wide] = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet, centres


def _heads(columns: Mapping[str, Pixels], board: Scoreboard) -> list[str]:
    """What stands over each column: who made it, its exact MACs and how many times fewer they are."""
    names = {
        "original": "original",
        "narrow": "uniform\nnarrow",
        "subnet": "ours, w/o\nfine-tuning",
        "finetune": "ours",
    }
    original = board.evaluations["original"].macs
    heads = []
    for column in columns:
        if column not in names:
            heads.append(column)
            continue
        macs = board.evaluations[column].macs
        fewer = f"\n{times(reduction(original, macs))}" if len(board.evaluations) > 1 else ""
        heads.append(f"{names[column]}\n{quantity(macs)}{fewer}")
    return heads
