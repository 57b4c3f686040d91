"""Validation pictures side by side: input, target, and each generator's output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gancomp.errors import GancompError
from gancomp.report.reading import require
from gancomp.report.rows import quantity, times
from gancomp.report.scoreboard import Folders, Scoreboard, reduction
from gancomp.report.style import PAGE

Pixels = NDArray[np.uint8]


#: A picture's maximum width on the page in inches, and minimum width in pixels.
TILE_INCHES, TILE_PIXELS = 1.1, 192
ROWS_A_BLOCK, MOST_ROWS = 6, 12
#: Width over height from which pictures fill a page without a second block.
WIDE = 1.5


def picture_columns(folders: Folders, board: Scoreboard) -> dict[str, Pixels]:
    """The strips of the grid's columns as (n, h, w, 3), each read from a vertical strip of n pictures.

    The column of targets exists only if they are the truth of these inputs.
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
    """The outputs of every generator (columns) for pictures (rows), and the resolution in dpi without resampling."""
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

    Beyond six rows, pictures that are not wide continue in a second block to the right, which fits a page better.
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
                # A grey frame shows the edge of a white picture (neighbours share a line);
                # nearest neighbour keeps pixels square.
                sheet[top - line : top + tall + line, left - line : left + wide + line] = 0xD0
                sheet[top : top + tall, left : left + wide] = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet, centres


def _heads(columns: Mapping[str, Pixels], board: Scoreboard) -> list[str]:
    """The head of each column: its generator, exact MACs and × fewer than the original."""
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
