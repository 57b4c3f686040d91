"""How sure a score is: replicates against the scores of pictures that are really drawn, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gancomp.metrics.bootstrap import (
    draws,
    exact_frechet_replicates,
    frechet_replicates,
    interval,
    kernel_replicates,
    linear_frechet_replicates,
    may_be_equal,
    mean_replicates,
)
from gancomp.metrics.frechet import FEW, Statistics, frechet_distance


def features(count: int, shift: float = 0.0, seed: int = 0, dimensions: int = 12) -> NDArray[np.float32]:
    normal = np.random.default_rng(seed).normal(size=(count, dimensions)) + shift
    return normal.astype(np.float32)


REFERENCE = Statistics.from_features(features(40, seed=9))


def test_draws_are_of_as_many_pictures_and_the_same_for_everybody() -> None:
    weights = draws(17, 50, seed=3)
    assert weights.shape == (50, 17)
    assert (weights.sum(axis=1) == 17).all()
    assert np.array_equal(weights, draws(17, 50, seed=3))
    assert not np.array_equal(weights, draws(17, 50, seed=4))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_no_draw_is_of_one_picture_alone(count: int) -> None:
    """It has neither variance nor pairs, and its kernel distance was 0 / 0."""
    weights = draws(count, 300, seed=1)
    assert (weights.sum(axis=1) == count).all()
    assert weights.max() < count
    for replicates in (frechet_replicates, kernel_replicates):
        assert np.isfinite(replicates(features(count), REFERENCE, weights)).all()


def test_there_is_no_draw_of_one() -> None:
    with pytest.raises(ValueError, match="needs 2 pictures, not 1"):
        draws(1, 3, seed=0)


@pytest.mark.parametrize("count", [9, 60], ids=["fewer than dimensions", "more"])
def test_frechet_of_a_draw_is_that_of_the_pictures_drawn(count: int) -> None:
    own, weights = features(count, 0.3), draws(count, 5, seed=1)
    drawn = [np.repeat(own, w.astype(int), axis=0) for w in weights]
    expected = [frechet_distance(pictures, REFERENCE) for pictures in drawn]
    np.testing.assert_allclose(frechet_replicates(own, REFERENCE, weights), expected, rtol=1e-5)


def uneven(count: int, seed: int, shift: float = 0.0, dimensions: int = 32) -> NDArray[np.float32]:
    """Features whose variances fall as those of Inception's do, of pictures some of which lie further out."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(count, dimensions)) * np.exp(0.3 * rng.normal(size=(count, 1))) + shift
    return (normal / np.sqrt(np.arange(1, dimensions + 1))).astype(np.float32)


@pytest.mark.parametrize(("count", "of_reference"), [(30, 50), (50, 30), (100, 90)])
def test_to_first_order_is_the_slope_of_the_exact(count: int, of_reference: int) -> None:
    """Where weights hardly move, both say the same, whichever Gram matrix is the smaller."""
    reference, own = Statistics.from_features(uneven(of_reference, 1)), uneven(count, 2, 0.5)
    little = 1e-4
    nearly = 1 + little * (np.concatenate([np.ones((1, count)), draws(count, 6, seed=1)]) - 1)
    exact, linear = (each(own, reference, nearly) for each in (exact_frechet_replicates, linear_frechet_replicates))
    slopes, found = (exact[1:] - exact[0]) / little, (linear[1:] - linear[0]) / little
    np.testing.assert_allclose(found, slopes, rtol=0.01, atol=0.01 * np.abs(slopes).max())


def test_intervals_to_first_order_are_those_of_the_bootstrap() -> None:
    """Around the score itself, within a fifth as wide; of the difference of two that share draws within a tenth."""
    reference, weights = Statistics.from_features(uneven(120, 1)), draws(150, 200, seed=0)
    own = uneven(150, 2, 0.5)
    other = own + 0.3 * uneven(150, 3, 0.2)
    exact = [exact_frechet_replicates(some, reference, weights) for some in (own, other)]
    linear = [linear_frechet_replicates(some, reference, weights) for some in (own, other)]
    assert np.corrcoef(exact[0], linear[0])[0, 1] > 0.9
    assert linear[0].std() == pytest.approx(exact[0].std(), rel=0.2)
    assert linear[0].mean() == pytest.approx(frechet_distance(own, reference), abs=0.3 * linear[0].std())
    ends = [interval(1.0, replicates[0]) for replicates in (exact, linear)]
    assert ends[1] == pytest.approx(ends[0], abs=0.2 * (ends[0][1] - ends[0][0]))
    apart = [of_own - of_other for of_own, of_other in (exact, linear)]
    assert np.corrcoef(*apart)[0, 1] > 0.95
    assert apart[1].std() == pytest.approx(apart[0].std(), rel=0.1)


def test_many_pictures_are_drawn_to_first_order() -> None:
    reference = Statistics.from_features(features(40, seed=9))
    for count, expected in ((FEW, exact_frechet_replicates), (FEW + 1, linear_frechet_replicates)):
        own, weights = features(count, 0.3), draws(count, 2, seed=0)
        assert np.array_equal(frechet_replicates(own, reference, weights), expected(own, reference, weights))


def test_to_first_order_pictures_that_are_all_alike_move_nothing() -> None:
    alike = np.ones((60, 12), np.float32)
    found = linear_frechet_replicates(alike, REFERENCE, draws(60, 5, seed=0))
    np.testing.assert_allclose(found, frechet_distance(alike, REFERENCE), rtol=1e-6)


def test_kernel_of_a_draw_leaves_out_a_picture_beside_its_copy() -> None:
    own = features(6, 0.3)
    kernel = lambda a, b: (float(a.astype(float) @ b.astype(float)) / 12 + 1) ** 3  # noqa: E731
    for w, found in zip(draws(6, 4, seed=1), kernel_replicates(own, REFERENCE, draws(6, 4, seed=1)), strict=True):
        drawn = [index for index, times in enumerate(w.astype(int)) for _ in range(times)]
        within = [kernel(own[a], own[b]) for a in drawn for b in drawn if a != b]
        across = [kernel(own[a], other) for a in drawn for other in REFERENCE.features]
        assert found == pytest.approx(np.mean(within) + REFERENCE.kernel_term - 2 * np.mean(across), rel=1e-6)


def test_each_once_is_the_score_itself() -> None:
    own, once = features(30, 0.3), np.ones((1, 30))
    assert frechet_replicates(own, REFERENCE, once)[0] == pytest.approx(frechet_distance(own, REFERENCE))
    assert mean_replicates(np.arange(30.0), once)[0] == pytest.approx(14.5)


def test_interval_lies_around_the_score_whatever_the_draws_are_shifted_by() -> None:
    replicates = np.random.default_rng(0).normal(5, 1, 4000)
    low, high = interval(2.0, replicates)
    assert (low, high) == pytest.approx((2 - 1.96, 2 + 1.96), abs=0.1)
    assert interval(2.0, replicates + 100) == pytest.approx((low, high))


def test_intervals_of_a_mean_hold_it() -> None:
    """In 95 of 100 cases, within what 300 cases can tell."""
    held = 0
    for case in range(300):
        values = np.random.default_rng(case).normal(size=80)
        low, high = interval(values.mean(), mean_replicates(values, draws(80, 200, seed=case)))
        held += low <= 0 <= high
    assert 0.89 < held / 300 < 0.98


def test_what_differs_less_than_it_varies_may_be_equal() -> None:
    noise = np.random.default_rng(0).normal(size=500)
    other = np.random.default_rng(1).normal(size=500)
    assert may_be_equal(1.5, 1.0, noise, other)
    assert not may_be_equal(9.0, 1.0, noise, other)
    assert not may_be_equal(1.5, 1.0, noise, noise + 0.01 * other), "in pairs, what both share does not blur them"
