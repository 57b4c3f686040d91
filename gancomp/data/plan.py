"""What a builder hands over: which pictures there are, in which split, and how to draw one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gancomp.data.classes import LabelClass
from gancomp.data.settings import DatasetBase, EmojiDataset, Split
from gancomp.spec import ValueRange

Picture = NDArray[np.uint8]
"""8-bit: (height, width, channels), or (n, height, width, channels); 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""
Side = Literal["A", "B"]


@dataclass(frozen=True)
class Plan:
    """The pictures of a data set before any is drawn.

    `splits` maps each file to write (`train/NAME.png` or `val/NAME.png`) to its split. `draw` gives the sides of such
    a file, each uint8 (height, width, 3), or 4 where it has alpha: (A, B), or the one side of a file that
    `alone` names (unpaired splits; `train/A-NAME.png`, `train/B-NAME.png`). Of label maps, the input side is drawn by
    the `Palette` that `classes` comes from. `truth`, where a judge needs label maps larger than the pictures, gives
    those of a file: uint8 (H, W) of numbers as scored, 255 ignored. Sides that have `ranges` are drawn as
    `gancomp.data.values` stores them.
    """

    splits: Mapping[str, Split]
    draw: Callable[[str], tuple[Picture, ...]]
    attribution: str
    alone: Mapping[str, Side] = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    truth: Callable[[str], Picture] | None = None
    ranges: Mapping[Side, ValueRange] = field(default_factory=dict)


def file_of(split: Split, name: str, side: Side | None = None) -> str:
    """Where the picture *name* is written: `val/NAME.png`, `train/NAME.png`, or `train/A-NAME.png` of one side."""
    return f"{'val' if split == 'val' else 'train'}/{f'{side}-' if side else ''}{name}.png"


def hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends on *text* alone: the same on every machine and in every order."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13


def split_of(name: str, val_fraction: float, search_fraction: float) -> Split:
    """The split of a picture by the hash of its name, so that adding pictures moves no other.

    *val_fraction* of all names are for validation; of the rest, by an independent hash, *search_fraction* are for
    the search (train-2).
    """
    if hash_fraction(name) < val_fraction:
        return "val"
    return "train-2" if hash_fraction(f"train-2 {name}") < search_fraction else "train-1"


def split_names(
    names: Iterable[str], dataset: DatasetBase, val_fraction: float, group: Callable[[str], str] = str
) -> dict[str, Split]:
    """The split of each name as `split_of` has it; with `search_count`, train-2 is just so many of the training names.

    Those are the ones that come first by the hash that `search_fraction` cuts: fraction and count choose alike. Names
    of one *group* share a split, but for the last group that `search_count` cuts.
    """
    splits = {name: split_of(group(name), val_fraction, dataset.search_fraction) for name in names}
    if dataset.search_count is not None:
        training = [name for name, split in splits.items() if split != "val"]
        training.sort(key=lambda name: (hash_fraction(f"train-2 {group(name)}"), name))
        splits |= dict.fromkeys(training[: dataset.search_count], "train-2")
        splits |= dict.fromkeys(training[dataset.search_count :], "train-1")
    return splits


def plan_emoji(
    names: Iterable[str],
    dataset: EmojiDataset,
    draw: Callable[[str], tuple[Picture, ...]],
    attribution: str,
    group: Callable[[str], str] = str,
) -> Plan:
    """The plan of those of *names* that `limit` leaves, split by *group*; *draw* gives both sides of a name."""
    # The hash that orders the names is not the one that splits them: the first by it would all be for validation.
    chosen = sorted(names, key=lambda name: (hash_fraction(f"limit {name}"), name))[: dataset.limit]
    splits = split_names(sorted(chosen), dataset, dataset.val_fraction, group)
    name_of = {file_of(split, name): name for name, split in splits.items()}
    return Plan({file: splits[name] for file, name in name_of.items()}, lambda file: draw(name_of[file]), attribution)
