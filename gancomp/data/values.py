"""Numeric pictures: 16-bit, signed and floating-point files, whose values from low to high map to [-1, 1].

Prepared pictures store 16 bits in an ordinary 8-bit picture: the upper byte in red and green, the lower one in blue.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancomp.data.images import read_numbers, resize_numbers
from gancomp.data.plan import Picture
from gancomp.data.settings import DeclaredRange
from gancomp.errors import GancompError
from gancomp.spec import NumberType, ValueRange

DEEPEST = 65_535


def stored(numbers: NDArray[np.float64], values: ValueRange, size: tuple[int, int]) -> Picture:
    """A picture of *numbers* (h, w) at *size* (height, width), in the stored format.

    Numbers outside *values* are clipped before resizing.
    """
    shares = resize_numbers(scaled(numbers, values), size).clip(0, 1)
    return pack(np.rint(shares * DEEPEST).astype(np.uint16))


def scaled(numbers: NDArray[np.float64], values: ValueRange) -> NDArray[np.float32]:
    """*numbers* as fractions of the range, 0 to 1."""
    shares: NDArray[np.float32] = ((numbers - values.low) / (values.high - values.low)).clip(0, 1).astype(np.float32)
    return shares


def restored(shares: NDArray[np.floating], values: ValueRange) -> NDArray[np.generic]:
    """The inverse of `scaled`, in the type of the files; values outside 0 to 1, or that type, are clipped."""
    numbers = values.low + shares.astype(np.float64).clip(0, 1) * (values.high - values.low)
    if values.type == "float32":
        return numbers.astype(np.float32)
    limits = np.iinfo(values.type)
    return np.rint(numbers).clip(limits.min, limits.max).astype(values.type)


def pack(deep: NDArray[np.uint16]) -> Picture:
    """uint16 (…, height, width) → uint8 (…, height, width, 3)."""
    upper, lower = (deep >> 8).astype(np.uint8), (deep & 255).astype(np.uint8)
    return np.stack([upper, upper, lower], axis=-1)


def unpack(stored: Picture) -> NDArray[np.uint16]:
    """uint8 (…, height, width, 3 or 4) → uint16 (…, height, width, 1); the inverse of `pack`."""
    deep: NDArray[np.uint16] = stored[..., :1].astype(np.uint16) * np.uint16(256) + stored[..., 2:3]
    return deep


def value_range(
    declared: DeclaredRange, paths: Sequence[Path], part: Callable[[int], slice] = lambda width: slice(width)
) -> ValueRange:
    """The range *declared* for the pictures in *paths*; with `auto` the minimum and maximum of their values.

    *part* gives the columns of the picture in a file of some width. Raises GancompError if all values are equal.
    """
    if declared != "auto":
        return ValueRange(low=declared[0], high=declared[1], type=read_numbers(paths[0])[1])

    def extremes(path: Path) -> tuple[float, float, NumberType]:
        numbers, kind = read_numbers(path)
        own = numbers[:, part(numbers.shape[1])]
        return float(own.min()), float(own.max()), kind

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        found = list(pool.map(extremes, paths))
    low, high = min(one[0] for one in found), max(one[1] for one in found)
    if not (low < high and np.isfinite([low, high]).all()):
        raise GancompError(f"{paths[0].parent}: its values are {low:g} to {high:g}; give their range: [LOW, HIGH]")
    return ValueRange(low=low, high=high, type=found[0][2])
