"""Distance between pictures, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gancomp.data.datasets import Pixels


def l1(a: Pixels, b: Pixels) -> float:
    """Mean absolute difference of pictures of equal shape and depth, in units of the full range: 0 (equal) to 1.

    Raises ValueError when shapes or depths differ, there are no pictures, or they have neither 8 nor 16 bits.
    """
    return float(l1_each(a, b).mean())


def l1_each(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """`l1` of each pair of pictures (n, h, w, c), (n,)."""
    if a.dtype not in (np.uint8, np.uint16) or a.dtype != b.dtype or a.shape != b.shape or a.size == 0:
        raise ValueError(f"expected pictures of one shape and depth, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    # The larger less the smaller stays within the depth: no wider copy of all pictures is needed.
    differences: NDArray[np.float64] = (np.maximum(a, b) - np.minimum(a, b)).reshape(len(a), -1).mean(1, np.float64)
    return differences / np.iinfo(a.dtype).max
