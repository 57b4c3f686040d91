"""The sliced Wasserstein distance: against the best assignment, a distance, and what each picture adds to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gancomp.metrics.frechet import Statistics
from gancomp.metrics.sliced import DIRECTIONS, directions, sliced_distance, sliced_shares


def features(count: int, seed: int, shift: float = 0.0, dimensions: int = 5) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, dimensions)) + shift).astype(np.float32)


def by_assignment(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Both repeated to as many, and matched along each direction at the least cost."""
    n, m = len(x), len(y)
    whole = np.lcm(n, m)
    x, y = np.repeat(x, whole // n, axis=0), np.repeat(y, whole // m, axis=0)
    squares = []
    for unit in directions(x.shape[1]).T:
        costs = np.square((x @ unit)[:, None] - (y @ unit)[None, :])
        squares.append(costs[linear_sum_assignment(costs)].mean())
    return float(np.sqrt(np.mean(squares)))


def test_directions_are_units_and_always_the_same() -> None:
    units = directions(7)
    assert units.shape == (7, DIRECTIONS)
    np.testing.assert_allclose(np.linalg.norm(units, axis=0), 1)
    assert np.array_equal(units, directions(7))


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 6), (6, 4), (5, 7), (1, 3), (3, 1)])
def test_is_that_of_the_best_assignment(n: int, m: int) -> None:
    x, y = features(n, 1, 0.4), features(m, 2)
    reference = Statistics(y)
    assert sliced_distance(x, reference) == pytest.approx(by_assignment(x, y), rel=1e-9)


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 1000))
def test_is_a_distance(n: int, m: int, seed: int) -> None:
    x, y = features(n, seed), features(m, seed + 1, 0.5)
    there, back = sliced_distance(x, Statistics(y)), sliced_distance(y, Statistics(x))
    assert there > 0
    assert there == pytest.approx(back, rel=1e-9)
    assert sliced_distance(np.concatenate([x, x]), Statistics(x)) == pytest.approx(0, abs=1e-9)


def test_a_shift_is_its_length_over_the_root_of_the_dimensions() -> None:
    x = features(50, 1)
    moved = x + np.float32([3, 0, 0, 0, 0])
    assert sliced_distance(moved, Statistics(x)) == pytest.approx(3 / np.sqrt(5), rel=0.1)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 60), (24, 50)])
def test_shares_are_the_slope_in_a_pictures_weight(n: int, m: int) -> None:
    """A picture more or less of one kind, in a hundred copies of all, moves the distance by its share."""
    x, reference = features(n, 1, 0.6), Statistics(features(m, 2))
    shares, distance, copies = sliced_shares(x, reference), sliced_distance(x, reference), 100
    assert shares.mean() == pytest.approx(distance, rel=1e-9)
    many = np.repeat(x, copies, axis=0)
    for picture in (0, n // 2, n - 1):
        heavier, lighter = np.concatenate([many, x[picture : picture + 1]]), np.delete(many, picture * copies, axis=0)
        slope = (sliced_distance(heavier, reference) - sliced_distance(lighter, reference)) / 2 * len(many)
        assert slope == pytest.approx(shares[picture] - distance, abs=0.06 * np.ptp(shares))


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected features \(n, 5\)"):
        sliced_distance(features(4, 1, dimensions=6), Statistics(features(4, 1)))
