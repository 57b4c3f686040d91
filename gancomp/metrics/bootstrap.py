"""How sure a score is: the same scores over pictures drawn again, with replacement, from those that were scored.

A draw is a row of weights: how often each of n pictures is in it. Scores that share their draws are compared in pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from gancomp import rng
from gancomp.metrics.frechet import FEW, Features, Statistics
from gancomp.metrics.gaussian import SCALE, gaussian_matrix
from gancomp.metrics.kernel import kernel_matrix

Weights = NDArray[np.float64]
Values = NDArray[np.float64]

#: Share of draws within an interval.
CONFIDENCE = 0.95


def draws(count: int, resamples: int, seed: int) -> Weights:
    """Weights (resamples, count) of as many draws of *count* pictures out of as many: the same for every subnet.

    A draw of one picture alone, which has neither variance nor pairs, is drawn again. ValueError where *count* < 2.
    """
    if count < 2:
        raise ValueError(f"a draw needs 2 pictures, not {count}")
    generator, each = rng.generator(seed, "bootstrap"), np.full(count, 1 / count)
    drawn = generator.multinomial(count, each, size=resamples)
    while (alone := drawn.max(axis=1) == count).any():
        drawn[alone] = generator.multinomial(count, each, size=int(alone.sum()))
    return drawn.astype(np.float64)


def mean_replicates(values: NDArray[np.floating[Any]], weights: Weights) -> Values:
    """The mean of *values* (n,) in each draw."""
    replicates: Values = weights @ np.asarray(values, np.float64) / weights.sum(axis=1)
    return replicates


def frechet_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The Fréchet distance of each draw of *features* (n, d) to *reference*; of more than `FEW` to first order."""
    replicates = exact_frechet_replicates if len(features) <= FEW else linear_frechet_replicates
    return replicates(features, reference, weights)


def exact_frechet_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The Fréchet distance of each draw, by eigenvalues of its own.

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


def linear_frechet_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The Fréchet distance of each draw to first order in its weights: one decomposition for all draws."""
    return mean_replicates(frechet_shares(features, reference), weights)


def frechet_shares(features: Features, reference: Statistics) -> Values:
    """What each picture of *features* (n, d) adds to their Fréchet distance, to first order (n,); the mean is that.

    With X centred, R the reference's root and A = XRᵀ, picture i moves tr √(Σ₁Σ₂) by the diagonal (AAᵀ)^½ᵢᵢ. Centred
    on the distance itself: what draws hold twice does not raise it, and adds none of the noise that it adds to draws.
    """
    own = Statistics.from_features(features)
    count, centred = own.count, np.asarray(features, np.float64) - own.mu
    across = centred @ reference.root.T
    if across.shape[0] <= across.shape[1]:
        squares, vectors = scipy.linalg.eigh(across @ across.T, overwrite_a=True, check_finite=False)
        roots = np.sqrt(np.maximum(squares, 0))  # rounding may leave some below zero
        diagonal = np.square(vectors) @ roots
    else:
        squares, vectors = scipy.linalg.eigh(across.T @ across, overwrite_a=True, check_finite=False)
        kept = squares > squares[-1] * np.finfo(np.float64).eps * count
        diagonal = np.square(across @ vectors[:, kept]) @ (1 / np.sqrt(squares[kept]))
    lengths, towards = np.square(centred).sum(axis=1), own.mu - reference.mu
    shared = np.sqrt(count - 1) * diagonal
    distance = float(towards @ towards) + reference.trace + float((lengths - 2 * shared).sum()) / (count - 1)
    moves: Values = 2 * centred @ towards + (lengths - shared) * (count / (count - 1))
    shares: Values = distance + moves - moves.mean()
    return shares


def kernel_shares(features: Features, reference: Statistics) -> Values:
    """What each picture of *features* (n, d) adds to their kernel distance, to first order (n,); the mean is that."""
    within = kernel_matrix(features, features)
    np.fill_diagonal(within, 0)
    own: Values = within.sum(axis=1) / (len(features) - 1)
    across: Values = kernel_matrix(features, reference.features).mean(axis=1)
    shares: Values = 2 * own - own.mean() + reference.kernel_term - 2 * across
    return shares


def kernel_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The kernel distance of each draw of *features* (n, d) to *reference*; a picture is not paired with its copies."""
    within = kernel_matrix(features, features)
    np.fill_diagonal(within, 0)
    across = kernel_matrix(features, reference.features).mean(axis=1)
    pairs = np.square(weights.sum(axis=1)) - np.square(weights).sum(axis=1)
    own = np.einsum("bi,ij,bj->b", weights, within, weights, optimize=True) / pairs
    replicates: Values = own + reference.kernel_term - 2 * (weights @ across) / weights.sum(axis=1)
    return replicates


def gaussian_shares(features: Features, reference: Statistics) -> Values:
    """What each picture of *features* (n, d) adds to their `gaussian_distance`, to first order (n,)."""
    own: Values = gaussian_matrix(features, features).mean(axis=1)
    across: Values = gaussian_matrix(features, reference.features).mean(axis=1)
    shares: Values = SCALE * (2 * own - own.mean() + reference.gaussian_term - 2 * across)
    return shares


def gaussian_replicates(features: Features, reference: Statistics, weights: Weights) -> Values:
    """The `gaussian_distance` of each draw of *features* (n, d) to *reference*."""
    within = gaussian_matrix(features, features)
    across = gaussian_matrix(features, reference.features).mean(axis=1)
    drawn = weights / weights.sum(axis=1, keepdims=True)
    own = np.einsum("bi,ij,bj->b", drawn, within, drawn, optimize=True)
    replicates: Values = SCALE * (own + reference.gaussian_term - 2 * drawn @ across)
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
