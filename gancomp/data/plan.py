"""What a builder hands over: which pictures there are, in which split, and how to draw one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gancomp.config import Split

Picture = NDArray[np.uint8]
"""8-bit RGB: (height, width, 3), or (n, height, width, 3)."""


@dataclass(frozen=True)
class Plan:
    """The pairs of a data set before any is drawn.

    `splits` maps each file to write (`train/NAME.png` or `val/NAME.png`) to its split; `draw` gives the two sides
    A and B of such a file, each (height, width, 3).
    """

    splits: Mapping[str, Split]
    draw: Callable[[str], tuple[Picture, Picture]]
    attribution: str


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
