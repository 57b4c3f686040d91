"""FID∞: what FID would be of ever more pictures (Chong and Forsyth, 2020), from the same features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gancomp import rng
from gancomp.metrics.bootstrap import frechet_shares
from gancomp.metrics.frechet import Features, Statistics, nuclear_norm

Values = NDArray[np.float64]

#: Sizes of the subsets, evenly from a tenth of the pictures to all, as published.
SIZES = 15
#: The smallest subset must have a covariance.
LEAST = 20


def subsets(count: int) -> list[NDArray[np.int64]]:
    """Indices below *count*, at least `LEAST`, by lot, of `SIZES` sizes: the same for every generator."""
    sizes = np.linspace(count / 10, count, SIZES).round().astype(int)
    drawn = rng.generator(0, "subsets of FID∞")
    return [np.sort(drawn.permutation(count)[:size]) for size in sizes]


def intercept(sizes: NDArray[np.floating | np.integer]) -> Values:
    """The weights (k,) by which distances of subsets of *sizes* (k,) add up to the value at 1/size = 0 of the straight
    line through them, by least squares."""
    lines = np.stack([np.ones(len(sizes)), 1 / np.asarray(sizes, np.float64)], axis=1)
    weights: Values = np.linalg.pinv(lines)[0]
    return weights


def frechet_infinity(features: Features, reference: Statistics) -> float | None:
    """The Fréchet distance of ever more pictures such as those of *features* (n, d); None for fewer than `LEAST`.

    *reference* is taken as it is: its own few pictures bias the outcome as they bias FID.
    """
    if len(features) < LEAST:
        return None
    own = np.asarray(features, np.float64)
    across = own @ reference.root.T
    drawn, distances = subsets(len(own)), []
    for subset in drawn:
        some, scale = own[subset], np.sqrt(len(subset) - 1)
        mean = some.mean(axis=0)
        trace = float(np.square((some - mean) / scale).sum())
        shared = nuclear_norm((across[subset] - across[subset].mean(axis=0)) / scale)
        towards = mean - reference.mu
        distances.append(float(towards @ towards) + trace + reference.trace - 2 * shared)
    return float(intercept(np.array([len(subset) for subset in drawn])) @ np.array(distances))


def infinity_shares(features: Features, reference: Statistics) -> Values:
    """What each picture of *features* (n, d), n at least `LEAST`, adds to `frechet_infinity`, to first order (n,); the
    mean is that. A picture counts in the subsets that hold it."""
    drawn = subsets(len(features))
    weights = intercept(np.array([len(subset) for subset in drawn]))
    shares = np.zeros(len(features))
    for subset, weight in zip(drawn, weights, strict=True):
        of_subset = frechet_shares(features[subset], reference)
        distance = of_subset.mean()
        shares += weight * distance
        shares[subset] += weight * (of_subset - distance) * (len(features) / len(subset))
    return shares
