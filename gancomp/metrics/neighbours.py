"""How real pictures are, and how much of the real they reach: by nearest neighbours among features.

Precision and recall of Kynkäänniemi et al. (2019), density and coverage of Naeem et al. (2020). Every picture has a
ball around its features that reaches to its k-th neighbour of its own kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating[Any]]
Values = NDArray[np.float64]

NEIGHBOURS = 5
#: Of more real pictures so many are taken, evenly: the balls of all cost their number squared.
MOST_REAL = 10_000
BLOCK = 1024


def squared_distances(x: Features, y: Features) -> Values:
    """Between every member of *x* (n, d) and of *y* (m, d): (n, m), in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None, :] - 2 * x @ y.T
    distances: Values = np.maximum(squares, 0)  # rounding may leave some below zero
    return distances


def squared_radii(features: Features, neighbours: int = NEIGHBOURS) -> Values:
    """To the k-th nearest other member of *features* (n, d), n > k: (n,)."""
    radii = [
        # The nearest of all is the member itself.
        np.partition(squared_distances(features[start : start + BLOCK], features), neighbours, axis=1)[:, neighbours]
        for start in range(0, len(features), BLOCK)
    ]
    return np.concatenate(radii)


@dataclass(frozen=True, eq=False)
class Balls:
    """Real features (m, d) and their squared radii (m,)."""

    features: Features
    radii: Values

    @classmethod
    def around(cls, features: Features) -> Balls | None:
        """None where there are too few for a k-th neighbour."""
        if len(features) > MOST_REAL:
            features = features[np.linspace(0, len(features) - 1, MOST_REAL).round().astype(int)]
        return cls(features, squared_radii(features)) if len(features) > NEIGHBOURS else None


@dataclass(frozen=True)
class Neighbourhood:
    """The four scores, and what they are means of."""

    #: Whether each picture lies within each real ball (n, m).
    within: NDArray[np.bool_]
    #: The share of real pictures that lie within a ball of a made one.
    recall: float

    @property
    def precise(self) -> Values:
        """Whether each picture lies within any real ball (n,): their mean is the precision."""
        return np.asarray(self.within.any(axis=1), np.float64)

    @property
    def dense(self) -> Values:
        """Within how many real balls each picture lies, over k (n,): their mean is the density, which may exceed 1."""
        counts: Values = self.within.sum(axis=1) / NEIGHBOURS
        return counts

    @property
    def scores(self) -> dict[str, float]:
        return {
            "precision": float(self.precise.mean()),
            "recall": self.recall,
            "density": float(self.dense.mean()),
            "coverage": float(self.within.any(axis=0).mean()),
        }

    def coverages(self, weights: Values) -> Values:
        """The coverage of each draw of the pictures, by weights (draws, n)."""
        covered = (weights > 0).astype(np.float64) @ self.within > 0
        return np.asarray(covered.mean(axis=1), np.float64)


def neighbourhood(features: Features, real: Balls | None) -> Neighbourhood | None:
    """Pictures of *features* (n, d) among *real* ones; None where either are too few for a k-th neighbour."""
    if real is None or len(features) <= NEIGHBOURS:
        return None
    apart = squared_distances(features, real.features)
    reached = apart < squared_radii(features)[:, None]
    return Neighbourhood(apart < real.radii, float(reached.any(axis=0).mean()))
