"""How sure a score is: the same scores over pictures drawn again, with replacement, from those that were scored.

A draw is a row of weights: how often each of n pictures is in it. Scores that share their draws are compared in pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancomp import rng
from gancomp.metrics.frechet import Features, Statistics
from gancomp.metrics.kernel import kernel_matrix

Weights = NDArray[np.float64]
Values = NDArray[np.float64]

#: Share of draws within an interval.
CONFIDENCE = 0.95


def draws(count: int, resamples: int, seed: int) -> Weights:
    """Weights (resamples, count) of as many draws of *count* pictures out of as many: the same for every subnet."""
    drawn = rng.generator(seed, "bootstrap").multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn.astype(np.float64)


def mean_replicates(values: NDArray[np.floating[Any]], weights: Weights) -> Values:
    """The mean of *values* (n,) in each draw."""
    replicates: Values = weights @ np.asarray(values, np.float64) / weights.sum(axis=1)
    return replicates


def frechet_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The Fréchet distance of each draw of *features* (n, d) to *reference*.

    Everything that a draw needs is in n × n matrices of inner products, made once: centred by the draw's weights and
    scaled by their roots, the product of both covariances' roots has the same singular values.
    """
    own = np.asarray(features, np.float64)
    count = len(own)
    lengths = np.square(own).sum(axis=1)
    across = own @ reference.root.T
    gram = across @ across.T
    towards_mean = own @ reference.mu
    fixed = float(reference.mu @ reference.mu) + reference.trace
    inner = own @ own.T
    replicates = np.empty(len(weights))
    for place, w in enumerate(weights):
        share = w / count
        mean_length = float(share @ inner @ share)
        trace = (float(w @ lengths) - count * mean_length) / (count - 1)
        drawn = np.flatnonzero(w)
        row = gram[drawn] @ share
        centred = gram[np.ix_(drawn, drawn)] - row[:, None] - row[None, :] + float(share @ gram @ share)
        scale = np.sqrt(w[drawn] / (count - 1))
        eigenvalues = np.linalg.eigvalsh(scale[:, None] * centred * scale[None, :])
        shared = float(np.sqrt(np.maximum(eigenvalues, 0)).sum())
        replicates[place] = fixed + mean_length - 2 * float(share @ towards_mean) + trace - 2 * shared
    return replicates


def kernel_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The kernel distance of each draw of *features* (n, d) to *reference*; a picture is not paired with its copies."""
    within = kernel_matrix(features, features)
    np.fill_diagonal(within, 0)
    across = kernel_matrix(features, reference.features).mean(axis=1)
    pairs = np.square(weights.sum(axis=1)) - np.square(weights).sum(axis=1)
    own = np.einsum("bi,ij,bj->b", weights, within, weights, optimize=True) / pairs
    replicates: Values = own + reference.kernel_term - 2 * (weights @ across) / weights.sum(axis=1)
    return replicates


def interval(score: float, replicates: Values) -> tuple[float, float]:
    """The 95% interval of *score*: the spread of its replicates, moved to lie around it.

    Draws hold some pictures twice, which raises the Fréchet distance of every draw alike; what they tell is the
    spread.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates - replicates.mean(), [tail, 1 - tail])
    return score + float(low), score + float(high)


def may_be_equal(score: float, best: float, own: Values, of_best: Values) -> bool:
    """Whether *score* and the *best*, the lower one, cannot be told apart: 0 lies in the 95% interval of their
    difference over the same draws."""
    return interval(score - best, own - of_best)[0] <= 0
