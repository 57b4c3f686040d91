"""Picture grids (Figures 1, 4, 9 to 13): outputs of the original, ours and the uniform narrow one. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from gancomp.config.settings import Config
from gancomp.paper.curves import place_title
from gancomp.paper.measured import measure
from gancomp.paper.places import GRIDS
from gancomp.report.grid import MOST_ROWS, Pixels, contact_sheet, picture_columns
from gancomp.report.metrics import BY_KEY
from gancomp.report.rows import quantity, times
from gancomp.report.scoreboard import Scoreboard, read_scoreboard, reduction
from gancomp.report.stage import folders_of
from gancomp.report.style import DPI, PAGE

#: Pictures per data set, in figures with several data sets.
PICTURES = {"figure1": 1, "figure4": 2}
#: Columns and their heads; pictures that do not exist are left out (no truth without pairs).
COLUMNS = {"input": "input", "target": "truth", "original": "original", "finetune": "ours", "narrow": "uniform narrow"}
#: Inches: above a block for its title and heads, below the last block for a line, at the sides.
HEAD, FOOT, MARGIN = 0.75, 0.24, 0.04
#: Inches for each line of heads beyond three.
LINE = 0.12


@dataclass(frozen=True)
class Block:
    """The pictures of one data set: title, sheet (h, w, 3), and for each column its centre in the sheet's pixels and
    its head."""

    title: str
    sheet: Pixels
    heads: tuple[tuple[float, str], ...]


def draw_grids(config: Config, name: str) -> tuple[Figure | None, float]:
    """The grid *name* with one block per role that was run, and its resolution in dpi; None if none was run.

    Pictures are the first of the validation set, not selected. Raises GancompError for a missing file of a run.
    """
    blocks = [
        _block(config, f"{role}:finetune", found.experiment, PICTURES.get(name, MOST_ROWS))
        for role in GRIDS[name]
        if (found := measure(config, f"{role}:finetune")) and found.evaluations
    ]
    if not blocks:
        return None, DPI
    return draw_blocks(blocks)


def _block(config: Config, reference: str, experiment: str, pictures: int) -> Block:
    folders = folders_of(config, experiment)
    board = read_scoreboard(folders)
    strips = {name: strip for name, strip in picture_columns(folders, board).items() if name in COLUMNS}
    shown = [name for name in COLUMNS if name in strips]
    sheet, centres = contact_sheet([strips[name][:pictures] for name in shown])
    heads = [head(board, column, config.experiments[experiment].metric) for column in shown]
    # A long sheet continues in a second block with the same columns.
    heads *= len(centres) // len(shown)
    return Block(place_title(config, reference), sheet, tuple(zip(centres, heads, strict=True)))


def head(board: Scoreboard, column: str, key: str) -> str:
    """The head of a column: its generator, exact MACs, × fewer than the original, and score in metric *key*."""
    record = board.evaluations.get(column)
    if record is None:
        return COLUMNS[column]
    metric, fewer = BY_KEY[key], times(reduction(board.evaluations["original"].macs, record.macs))
    value = metric.of(record)
    score = f"{metric.name} {metric.text(value)}" if value is not None else f"{metric.name} not run"
    cost = f"{quantity(record.macs)} MACs" if column == "original" else f"{quantity(record.macs)} ({fewer})"
    return f"{COLUMNS[column]}\n{cost}\n{score}"


def draw_blocks(blocks: Sequence[Block], page: float = PAGE) -> tuple[Figure, float]:
    """The blocks one below the other, *page* inches wide, and the resolution in dpi."""
    inner = page - 2 * MARGIN
    lines = max(words.count("\n") for block in blocks for _, words in block.heads)
    over = HEAD + LINE * max(0, lines - 2)
    # All sheets are scaled to the page's width.
    heights = [inner * block.sheet.shape[0] / block.sheet.shape[1] for block in blocks]
    full = sum(heights) + over * len(blocks) + FOOT
    pixel = max(block.sheet.shape[1] for block in blocks) / inner
    dpi = pixel * math.ceil(DPI / pixel)  # an integer multiple of the pixels, and legible text
    figure = Figure(figsize=(page, full))
    top = full
    for block, height in zip(blocks, heights, strict=True):
        top -= over
        axes = figure.add_axes((MARGIN / page, (top - height) / full, inner / page, height / full))
        axes.imshow(block.sheet, interpolation="none", aspect="auto")
        axes.set_axis_off()
        for centre, words in block.heads:
            axes.annotate(
                words,
                (centre, 0),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7 if len(block.heads) < 6 else 6,
                linespacing=1.15,
                annotation_clip=False,
            )
        figure.text(MARGIN / page, (top + HEAD - 0.1) / full, block.title, ha="left", va="top", fontsize=8.5)
        top -= height
    told = "MACs: exact count, one picture; in brackets × fewer than the original. Validation pictures, not selected."
    figure.text(MARGIN / page, 0.06 / full, told, ha="left", va="bottom", fontsize=7)
    return figure, dpi
