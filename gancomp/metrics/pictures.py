"""Distance between pictures, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def l1(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference of 8-bit pictures of equal shape, in units of the full range: 0 (equal) to 1.

    Raises ValueError when shapes differ, there are no pictures, or they are not 8-bit.
    """
    return float(l1_each(a, b).mean())


def l1_each(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`l1` of each pair of pictures (n, h, w, c), (n,)."""
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"expected uint8 pictures of one shape, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    # The larger less the smaller stays within 8 bits: no wider copy of all pictures is needed.
    differences: NDArray[np.float64] = (np.maximum(a, b) - np.minimum(a, b)).reshape(len(a), -1).mean(1, np.float64)
    return differences / 255
