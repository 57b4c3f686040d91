"""The interface between a data source and the builder: pictures, their splits, and how to render one."""

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
    """The pictures of a data set before any is rendered.

    `splits` maps each file to write (`train/NAME.png` or `val/NAME.png`) to its split. `draw` returns the sides of such
    a file, each uint8 (height, width, 3), or 4 with alpha: (A, B), or the only side of a file in
    `alone` (unpaired splits; `train/A-NAME.png`, `train/B-NAME.png`). The input side of label maps is encoded by
    the `Palette` that `classes` comes from. `truth`, if mIoU needs label maps larger than the pictures, returns
    those of a file: uint8 (H, W) of indices in metrics, 255 ignored. Sides with `ranges` are in the format of
    `gancomp.data.values`.
    """

    splits: Mapping[str, Split]
    draw: Callable[[str], tuple[Picture, ...]]
    attribution: str
    alone: Mapping[str, Side] = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    truth: Callable[[str], Picture] | None = None
    ranges: Mapping[Side, ValueRange] = field(default_factory=dict)


def file_of(split: Split, name: str, side: Side | None = None) -> str:
    """The file of the picture *name*: `val/NAME.png`, `train/NAME.png`, or `train/A-NAME.png` for a single side."""
    return f"{'val' if split == 'val' else 'train'}/{f'{side}-' if side else ''}{name}.png"


def hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends only on *text*: the same on every machine and in every order."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13


def split_of(name: str, val_fraction: float, search_fraction: float) -> Split:
    """The split of a picture by the hash of its name, so that adding pictures does not move others.

    *val_fraction* of all names are for validation; *search_fraction* of the rest, by an independent hash, are for
    the search (train-2).
    """
    if hash_fraction(name) < val_fraction:
        return "val"
    return "train-2" if hash_fraction(f"train-2 {name}") < search_fraction else "train-1"


def split_names(
    names: Iterable[str], dataset: DatasetBase, val_fraction: float, group: Callable[[str], str] = str
) -> dict[str, Split]:
    """The split of each name by `split_of`; with `search_count`, train-2 is exactly that many of the training names.

    They are the first by the hash that `search_fraction` uses, so fraction and count select alike. Names
    of one *group* share a split, except for the last group, which `search_count` may cut.
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
    """The plan of at most `limit` of *names*, split by *group*; *draw* returns both sides of a name."""
    # Names are not ordered by the hash that splits them, by which the first ones would all be for validation.
    chosen = sorted(names, key=lambda name: (hash_fraction(f"limit {name}"), name))[: dataset.limit]
    splits = split_names(sorted(chosen), dataset, dataset.val_fraction, group)
    name_of = {file_of(split, name): name for name, split in splits.items()}
    return Plan({file: splits[name] for file, name in name_of.items()}, lambda file: draw(name_of[file]), attribution)
