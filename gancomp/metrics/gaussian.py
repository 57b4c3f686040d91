"""Maximum mean discrepancy with a Gaussian kernel (CMMD, where the features are CLIP's; Jayasumana et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gancomp.metrics.frechet import Statistics

Features = NDArray[np.floating[Any]]

#: The kernel's width, and what the published scores are multiplied by.
SIGMA, SCALE = 10.0, 1000.0
#: Rows of the kernel matrix held at a time.
BLOCK = 1024


def gaussian_distance(x: Features, reference: Statistics) -> float:
    """`SCALE` times the squared MMD of features (n, d) and *reference*, k(a, b) = exp(-‖a − b‖² / 2σ²), in float64.

    The biased estimate, as published: each member is paired with itself, too, so it is never below 0, and few pictures
    raise it. Raises ValueError where dimensions differ or there are no pictures.
    """
    if x.ndim != 2 or x.shape[1:] != reference.features.shape[1:] or not len(x):
        raise ValueError(f"expected features (n, {reference.features.shape[1]}) of some pictures, not {x.shape}")
    across = sum(float(block.sum()) for block in _kernel(x, reference.features)) / (len(x) * reference.count)
    # Rounding may leave a hair below zero where the sets are equal.
    return max(0.0, SCALE * (gaussian_within(x) + reference.gaussian_term - 2 * across))


def gaussian_within(features: Features) -> float:
    """The mean of k over all pairs of members of one set (m, d), each with itself among them."""
    return sum(float(block.sum()) for block in _kernel(features, features)) / len(features) ** 2


def gaussian_matrix(x: Features, y: Features) -> NDArray[np.float64]:
    """k(x, y) of every pair, (n, m)."""
    return np.concatenate(list(_kernel(x, y)))


def _kernel(x: Features, y: Features) -> Iterator[NDArray[np.float64]]:
    """k(x, y) in blocks of rows, so that memory grows with one set only."""
    wide = y.astype(np.float64).T
    lengths = np.square(wide).sum(axis=0)
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK].astype(np.float64)
        squares = np.square(rows).sum(axis=1)[:, None] + lengths - 2 * rows @ wide
        yield np.exp(-np.maximum(squares, 0) / (2 * SIGMA**2))
