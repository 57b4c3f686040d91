"""The sliced Wasserstein distance between two sets of features: the mean over directions of the distance along each.

Of order 2 (Rabin et al., 2012; Bonneel et al., 2015), over directions that are drawn once for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gancomp import rng

if TYPE_CHECKING:
    from gancomp.metrics.frechet import Statistics

Features = NDArray[np.floating[Any]]
Values = NDArray[np.float64]

DIRECTIONS = 512


def directions(dimensions: int) -> NDArray[np.float64]:
    """Unit vectors (dimensions, `DIRECTIONS`), the same for every generator."""
    drawn = rng.generator(0, "directions of the sliced Wasserstein distance").normal(size=(dimensions, DIRECTIONS))
    units: NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=0)
    return units


def ranked_along(features: Features) -> Values:
    """*features* (m, d) along each direction, from the least on: (`DIRECTIONS`, m)."""
    along: Values = np.sort((np.asarray(features, np.float64) @ directions(features.shape[1])).T, axis=1)
    return along


def sliced_distance(x: Features, reference: Statistics) -> float:
    """The square root of the mean squared 2-Wasserstein distance along `directions` of features (n, d) and *reference*.

    Raises ValueError where dimensions differ or there are no features.
    """
    return float(np.sqrt(np.mean([squared for squared, _ in _along(x, reference)])))


def sliced_shares(x: Features, reference: Statistics) -> Values:
    """What each picture of *x* (n, d) adds to its sliced distance, to first order (n,); the mean is that.

    Along a direction a picture's weight moves the squared distance by its Kantorovich potential.
    """
    total, moves = 0.0, np.zeros(len(x))
    for squared, potential in _along(x, reference):
        total += squared / DIRECTIONS
        moves += (potential - potential.mean()) / DIRECTIONS
    distance = float(np.sqrt(total))
    shares: Values = distance + (moves / (2 * distance) if distance else 0 * moves)
    return shares


def _along(x: Features, reference: Statistics) -> Iterator[tuple[float, Values]]:
    """Along each direction the squared distance, and the potential of every member of *x* (n,)."""
    if x.ndim != 2 or x.shape[1:] != reference.features.shape[1:] or not len(x):
        raise ValueError(f"expected features (n, {reference.features.shape[1]}) of some pictures, not {x.shape}")
    n, m = len(x), reference.count
    # Both distributions are steps: between these levels, counted in shares of 1 / nm, neither takes another.
    levels = np.union1d(np.arange(n) * m, np.arange(m) * n)
    of_x, of_y, share = levels // m, levels // n, np.diff(levels, append=n * m) / (n * m)
    # What of the reference lies at the level between two neighbours of x; where that is a step of it too, its middle.
    between = np.arange(1, n) * m
    below, above = (between - 1) // n, between // n
    along = (np.asarray(x, np.float64) @ directions(x.shape[1])).T
    for own, other in zip(along, reference.along, strict=True):
        order = np.argsort(own, kind="stable")
        ranked = own[order]
        squared = float(share @ np.square(ranked[of_x] - other[of_y]))
        steps = np.diff(np.square(ranked)) - (other[below] + other[above]) * np.diff(ranked)
        potential = np.empty(n)
        potential[order] = np.concatenate([[0.0], np.cumsum(steps)])
        yield squared, potential
