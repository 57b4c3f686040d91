"""The kernel distance between two sets of features (KID, where they are Inception's)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gancomp.metrics.frechet import Statistics

Features = NDArray[np.floating[Any]]

#: Rows of the kernel matrix held at a time.
BLOCK = 1024


def kernel_distance(x: Features, y: Features | Statistics) -> float:
    """Unbiased squared maximum mean discrepancy of features (n, d) and (m, d), k(a, b) = (aᵀb / d + 1)³, in float64.

    Over all pictures, not over random subsets, so it is deterministic. Its expectation is 0 for equal
    distributions, so it may be negative. Not multiplied by 10³. The term of a `Statistics` is computed once.
    Raises ValueError when dimensions differ or a set has fewer than 2 members.
    """
    features, term = (y, kernel_within(y)) if isinstance(y, np.ndarray) else (y.features, y.kernel_term)
    if x.shape[1:] != features.shape[1:]:
        raise ValueError(f"features of {x.shape[1:]} and {features.shape[1:]} dimensions")
    across = sum(float(block.sum()) for block in _kernel(x, features)) / (len(x) * len(features))
    return kernel_within(x) + term - 2 * across


def kernel_within(features: Features) -> float:
    """The mean of k over all pairs of different members of one set (m, d)."""
    count = len(features)
    if features.ndim != 2 or count < 2:
        raise ValueError(f"expected features (m, d) of at least 2 pictures, not {features.shape}")
    with_itself = np.square(features, dtype=np.float64).sum(axis=1)
    total = sum(float(block.sum()) for block in _kernel(features, features))
    diagonal = float(((with_itself / features.shape[1] + 1) ** 3).sum())
    return (total - diagonal) / (count * (count - 1))


def kernel_matrix(x: Features, y: Features) -> NDArray[np.float64]:
    """k(x, y) of every pair, (n, m)."""
    return np.concatenate(list(_kernel(x, y)))


def _kernel(x: Features, y: Features) -> Iterator[NDArray[np.float64]]:
    """k(x, y) in blocks of rows, so that memory grows with one set only."""
    wide = y.astype(np.float64).T
    for start in range(0, len(x), BLOCK):
        yield (x[start : start + BLOCK].astype(np.float64) @ wide / len(wide) + 1) ** 3
