"""The Fréchet distance between two sets of features (FID, where they are Inception's)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from gancomp.metrics.gaussian import gaussian_within
from gancomp.metrics.kernel import kernel_within
from gancomp.metrics.neighbours import Balls
from gancomp.metrics.sliced import ranked_along

Features = NDArray[np.floating[Any]]
Matrix = NDArray[np.float64]

#: Pictures up to which singular values cost too little to be had otherwise.
FEW = 512


@dataclass(frozen=True, eq=False)
class Statistics:
    """A set of features (m, d) with what distances to it share, computed once on first use, in float64."""

    features: NDArray[np.float32]

    @classmethod
    def from_features(cls, features: Features) -> Statistics:
        """Raises ValueError unless *features* are (m, d), finite, with m at least 2: a covariance needs two."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"expected features (m, d) of at least 2 pictures, not {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("the features hold values that are not finite")
        return cls(np.asarray(features, np.float32))

    @property
    def count(self) -> int:
        return len(self.features)

    @cached_property
    def mu(self) -> Matrix:
        """The mean, (d,)."""
        mean: Matrix = self.features.mean(axis=0, dtype=np.float64)
        return mean

    @cached_property
    def sigma(self) -> Matrix:
        """The unbiased covariance, (d, d)."""
        return self.root.T @ self.root

    @cached_property
    def trace(self) -> float:
        """tr Σ, the sum of the variances."""
        return float(np.square(self.root).sum())

    @cached_property
    def root(self) -> Matrix:
        """A matrix R of min(m, d) rows with RᵀR = Σ: the centred features themselves where they are few."""
        centred: Matrix = (self.features - self.mu) / np.sqrt(self.count - 1)
        if self.count <= centred.shape[1]:
            return centred
        triangle: Matrix = scipy.linalg.qr(centred, mode="r", overwrite_a=True, check_finite=False)[0]
        return triangle[: centred.shape[1]]

    @cached_property
    def balls(self) -> Balls | None:
        """What nearest neighbours are sought among."""
        return Balls.around(self.features)

    @cached_property
    def along(self) -> Matrix:
        """The features along each direction of the sliced Wasserstein distance, from the least on."""
        return ranked_along(self.features)

    @cached_property
    def kernel_term(self) -> float:
        """The kernel distance's term of this set alone."""
        return kernel_within(self.features)

    @cached_property
    def gaussian_term(self) -> float:
        """The same of the distance with a Gaussian kernel."""
        return gaussian_within(self.features)


def frechet_distance(features: Features, reference: Statistics) -> float:
    """‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂) between *features* (n, d) and *reference*; 0 for equal sets.

    With Σ = RᵀR, tr √(Σ₁Σ₂) is the sum of the singular values of R₁R₂ᵀ, a matrix of min(n, d) × min(m, d): a few
    hundred pictures never need a d × d matrix (10 ms for 256 against 277, where `sqrtm` of Σ₁Σ₂ takes 15 s).
    Raises ValueError when dimensions differ, a value is not finite, or n < 2.
    """
    own = Statistics.from_features(features)
    if own.features.shape[1] != reference.features.shape[1]:
        raise ValueError(f"features of {own.features.shape[1]} and {reference.features.shape[1]} dimensions")
    difference = own.mu - reference.mu
    shared = nuclear_norm(own.root @ reference.root.T)
    # Rounding may leave a hair below zero where the sets are equal.
    return max(0.0, float(difference @ difference) + own.trace + reference.trace - 2 * shared)


def nuclear_norm(matrix: Matrix) -> float:
    """The sum of the singular values of *matrix*.

    Of a large one they are the roots of the eigenvalues of its Gram matrix, at a fifth of the time; that moves the
    distance of two unlike sets by less than 1e-9 of it, and of two equal ones to about 1e-6.
    """
    if min(matrix.shape) <= FEW:
        return float(scipy.linalg.svdvals(matrix, overwrite_a=True, check_finite=False).sum())
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    eigenvalues = scipy.linalg.eigvalsh(wide @ wide.T, overwrite_a=True, check_finite=False)
    return float(np.sqrt(np.maximum(eigenvalues, 0)).sum())  # rounding may leave some below zero
