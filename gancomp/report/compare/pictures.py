"""Outputs of the generators of several experiments for the same validation pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from gancomp.config.settings import Config
from gancomp.paper.grids import Block
from gancomp.pipeline.places import folder
from gancomp.report.compare.entries import Entry
from gancomp.report.grid import contact_sheet, picture_columns
from gancomp.report.rows import quantity, times
from gancomp.report.scoreboard import Scoreboard, reduction
from gancomp.report.stage import folders_of
from gancomp.report.style import PAGE

#: The grid's generators and their heads; those without fine-tuning are in each report.
DRAWN = {"original": "original", "narrow": "uniform narrow", "finetune": "ours"}
#: Pictures of the grid, and the minimum width of a column in inches.
PICTURES, TILE = 6, 0.8


def blocks_of(config: Config, entries: Sequence[Entry]) -> Iterator[Block]:
    """The outputs of all generators for the first validation pictures: one block per set of pictures; a generator
    shared by several experiments, such as a base's original, once."""
    groups: dict[tuple[object, ...], list[tuple[str, Scoreboard]]] = {}
    for entry in entries:
        for run, board in zip(entry.runs, entry.boards, strict=True):
            size = board.evaluations["original"].spec.size
            groups.setdefault((entry.data[0], board.reference.samples, size), []).append((run, board))
    for members in groups.values():
        strips = {run: picture_columns(folders_of(config, run), board) for run, board in members}
        given: list[str] = [name for name in ("input", "target") if name in strips[members[0][0]]]
        shown = [strips[members[0][0]][name][:PICTURES] for name in given]
        heads = list(given)
        for stage, name in DRAWN.items():
            drawn: dict[Path, tuple[str, Scoreboard]] = {}
            for run, board in members:
                if stage in board.evaluations:
                    drawn.setdefault(folder(config, run, stage), (run, board))
            for path, (run, board) in drawn.items():
                shown.append(strips[run][stage][:PICTURES])
                heads.append(_head(path.parent.name, name, board, stage))
        sheet, centres = contact_sheet(shown)
        dataset = config.experiments[members[0][0]].dataset
        heads *= len(centres) // len(heads)
        yield Block(dataset, sheet, tuple(zip(centres, heads, strict=True)))


def _head(run: str, name: str, board: Scoreboard, stage: str) -> str:
    record, original = board.evaluations[stage], board.evaluations["original"]
    fewer = "" if stage == "original" else f"\n({times(reduction(original.macs, record.macs))})"
    broken = (
        "\n".join(textwrap.wrap(run.replace(".", " .").replace("-", "- "), 13)).replace(" .", ".").replace("- ", "-")
    )
    return f"{broken}\n{name}\n{quantity(record.macs)}{fewer}"


def width_of(blocks: Sequence[Block]) -> float:
    """The width in inches at which the heads of the widest block fit."""
    return max(PAGE, TILE * max(len(block.heads) for block in blocks))
