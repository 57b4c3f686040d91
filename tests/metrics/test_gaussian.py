"""The distance with a Gaussian kernel, its shares and draws: against sums written out pair by pair."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from gancomp.metrics import gaussian
from gancomp.metrics.bootstrap import draws, gaussian_replicates, gaussian_shares
from gancomp.metrics.frechet import Statistics
from gancomp.metrics.gaussian import gaussian_distance


def units(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Vectors of length 1, as CLIP's are."""
    made = np.random.default_rng(seed).normal(size=(count, 6)) + shift
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


REAL = Statistics.from_features(units(9, seed=1))


def written_out(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """The published formula in Python's floats: the mean over all pairs, 1,000 times."""

    def mean(a: list[np.ndarray], b: list[np.ndarray]) -> float:
        squares = [sum((float(p) - float(q)) ** 2 for p, q in zip(*pair, strict=True)) for pair in product(a, b)]
        return math.fsum(math.exp(-square / (2 * 10**2)) for square in squares) / len(squares)

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


@pytest.mark.parametrize("block", [2, 1024])
@pytest.mark.parametrize(("count", "shift"), [(7, 0.0), (9, 1.0), (1, 3.0)])
def test_against_the_formula(block: int, count: int, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "BLOCK", block)
    own = units(count, seed=2, shift=shift)
    real = Statistics.from_features(REAL.features)
    assert gaussian_distance(own, real) == pytest.approx(written_out([*own], [*REAL.features]), rel=1e-9)


def test_equal_sets_are_not_apart() -> None:
    assert gaussian_distance(REAL.features, REAL) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("features", [np.ones((3, 5)), np.ones((0, 6)), np.ones(6)])
def test_other_features_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected features \(n, 6\)"):
        gaussian_distance(features, REAL)


def test_a_draw_is_the_distance_of_the_pictures_in_it() -> None:
    own, weights = units(6, seed=3, shift=0.5), draws(6, 5, seed=1)
    for w, found in zip(weights, gaussian_replicates(own, REAL, weights), strict=True):
        assert found == pytest.approx(gaussian_distance(np.repeat(own, w.astype(int), axis=0), REAL), rel=1e-9)


def test_shares_are_how_the_distance_moves() -> None:
    """Their mean is the distance, and their differences its derivatives by a picture's weight."""
    own, step = units(6, seed=3, shift=0.5), 1e-5
    shares = gaussian_shares(own, REAL)
    assert shares.mean() == pytest.approx(gaussian_distance(own, REAL), rel=1e-9)
    moved = 1 + step * np.eye(6)
    slopes = (gaussian_replicates(own, REAL, moved) - gaussian_distance(own, REAL)) / (step / 6)
    np.testing.assert_allclose(shares - shares.mean(), slopes, rtol=1e-3, atol=1e-4)
