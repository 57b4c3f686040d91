"""Whether two generators can be told apart by what they make of the same pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancomp import rng

#: Random swaps of the two generators' pictures.
SWAPS = 9_999
#: Below this p two generators differ.
LEVEL = 0.05
BLOCK = 500


def p_value(mine: NDArray[np.floating[Any]], theirs: NDArray[np.floating[Any]], seed: int = 0) -> float:
    """Two-sided p of the paired permutation test of equal means: the values (n,) are of the same pictures.

    The share of `SWAPS` random swaps, each picture's two values by a coin, that set the means at least as far apart;
    what was found counts as one of them. ValueError where the numbers of values differ or are zero.
    """
    if mine.shape != theirs.shape or mine.ndim != 1 or not len(mine):
        raise ValueError(f"expected two times as many values, not {mine.shape} and {theirs.shape}")
    differences = mine.astype(np.float64) - theirs.astype(np.float64)
    # Sums that are equal but for rounding are equal.
    found = abs(differences.sum()) * (1 - 1e-9)
    coins, beyond = rng.generator(seed, "swaps"), 0
    for start in range(0, SWAPS, BLOCK):
        signs = coins.integers(0, 2, (min(BLOCK, SWAPS - start), len(differences)), dtype=np.int8) * 2 - 1
        beyond += int(np.count_nonzero(np.abs(signs @ differences) >= found))
    return (beyond + 1) / (SWAPS + 1)
