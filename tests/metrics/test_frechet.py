"""The Fréchet distance: equal to pytorch-fid's in every shape, and a distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from gancomp.metrics.frechet import Statistics, frechet_distance


def sample(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, non-negative features with a falling spectrum, as Inception's are."""
    mixing = np.random.default_rng(99).standard_normal((dimensions, dimensions))
    mixing *= (np.arange(1, dimensions + 1) ** -0.7)[:, None]
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)) @ mixing + shift
    return np.maximum(drawn, 0).astype(np.float32)


def by_pytorch_fid(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    moments = (x.mean(axis=0), np.cov(x, rowvar=False), y.mean(axis=0), np.cov(y, rowvar=False))
    return float(calculate_frechet_distance(*moments))


@pytest.mark.parametrize(
    ("n", "m"), [(200, 300), (300, 200), (20, 200), (200, 20), (20, 30), (30, 20), (48, 48), (2, 2), (49, 47)]
)
def test_equals_pytorch_fid_for_few_and_many_pictures(n: int, m: int) -> None:
    x, y = sample(n, 48, seed=1), sample(m, 48, seed=2, shift=0.3)
    assert frechet_distance(x, Statistics.from_features(y)) == pytest.approx(by_pytorch_fid(x, y), rel=1e-4)


@pytest.mark.slow
def test_equals_pytorch_fid_at_the_features_true_dimension() -> None:
    x, y = sample(48, 2048, seed=1), sample(64, 2048, seed=2, shift=0.05)
    assert frechet_distance(x, Statistics.from_features(y)) == pytest.approx(by_pytorch_fid(x, y), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 24), st.integers(0, 2**31))
def test_is_a_distance(n: int, m: int, dimensions: int, seed: int) -> None:
    x, y = sample(n, dimensions, seed), sample(m, dimensions, seed + 1, shift=0.5)
    there = frechet_distance(x, Statistics.from_features(y))
    back = frechet_distance(y, Statistics.from_features(x))
    assert there >= 0
    assert there == pytest.approx(back, rel=1e-9, abs=1e-9)
    shuffled = np.random.default_rng(seed).permutation(x)
    assert frechet_distance(shuffled, Statistics.from_features(y)) == pytest.approx(there, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("count", [20, 200])
def test_equal_sets_are_at_no_distance(count: int) -> None:
    x = sample(count, 48, seed=3)
    assert frechet_distance(x, Statistics.from_features(x)) == pytest.approx(0, abs=1e-9)


def test_a_shift_of_the_mean_is_its_square() -> None:
    x = sample(100, 16, seed=4)
    assert frechet_distance(x + np.float32(0.5), Statistics.from_features(x)) == pytest.approx(16 * 0.25, rel=1e-4)


def test_constant_features_have_the_mean_and_trace_alone() -> None:
    x, y = np.full((10, 16), 2.0, np.float32), sample(50, 16, seed=5)
    expected = np.square(2 - y.astype(np.float64).mean(axis=0)).sum() + y.astype(np.float64).var(axis=0, ddof=1).sum()
    assert frechet_distance(x, Statistics.from_features(y)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [10, 100])
def test_statistics_are_mean_and_covariance(count: int) -> None:
    features = sample(count, 16, seed=6)
    statistics = Statistics.from_features(features)
    wide = features.astype(np.float64)
    assert statistics.count == count
    assert statistics.root.shape == (min(count, 16), 16)
    np.testing.assert_allclose(statistics.mu, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.sigma, np.cov(wide, rowvar=False), atol=1e-12)
    assert statistics.trace == pytest.approx(np.trace(np.cov(wide, rowvar=False)))


@pytest.mark.parametrize("features", [np.ones((1, 4)), np.ones(4), np.array([[1.0, np.nan], [0.0, 1.0]])])
def test_features_without_a_covariance_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="features"):
        Statistics.from_features(features)


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="dimensions"):
        frechet_distance(sample(5, 8, seed=1), Statistics.from_features(sample(5, 9, seed=1)))


def test_many_pictures_have_the_distance_of_singular_values(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    reference = Statistics.from_features(draw.gamma(0.5, 0.8, (90, 128)).astype(np.float32))
    for count in (60, 90, 200):
        features = draw.gamma(0.6, 0.8, (count, 128)).astype(np.float32)
        exact = frechet_distance(features, reference)
        with monkeypatch.context() as patch:
            patch.setattr("gancomp.metrics.frechet.FEW", 0)
            assert frechet_distance(features, reference) == pytest.approx(exact, rel=1e-9)
            assert frechet_distance(reference.features, reference) < 1e-5
