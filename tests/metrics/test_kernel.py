"""The kernel distance: equal to its definition written out, deterministic, unbiased."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancomp.metrics import kernel
from gancomp.metrics.frechet import Statistics
from gancomp.metrics.kernel import kernel_distance


def sample(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, dimensions)) + shift).astype(np.float32)


def written_out(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(z: np.ndarray) -> float:
        return float(np.mean([k(a, b) for a, b in itertools.permutations(z, 2)]))

    return within(x) + within(y) - 2 * float(np.mean([k(a, b) for a, b in itertools.product(x, y)]))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 2**31))
def test_equals_the_definition(n: int, m: int, dimensions: int, seed: int) -> None:
    x, y = sample(n, dimensions, seed), sample(m, dimensions, seed + 1, shift=0.3)
    expected = pytest.approx(written_out(x, y), rel=1e-9, abs=1e-12)
    assert kernel_distance(x, y) == expected
    assert kernel_distance(x, Statistics.from_features(y)) == expected
    assert kernel_distance(y, x) == expected


def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(50, 8, seed=1), sample(40, 8, seed=2)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-9)


def test_is_unbiased() -> None:
    def draws(shift: float) -> list[float]:
        return [kernel_distance(sample(12, 4, seed), sample(15, 4, seed + 10_000, shift)) for seed in range(400)]

    same, other = draws(0.0), draws(0.1)
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0 < np.mean(other)
    assert np.mean(other) > 5 * np.std(other) / np.sqrt(len(other))


@pytest.mark.parametrize(("x", "y"), [((1, 4), (5, 4)), ((5, 4), (1, 4)), ((5, 4), (5, 3))])
def test_sets_that_have_no_distance_are_refused(x: tuple[int, int], y: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="features"):
        kernel_distance(np.ones(x), np.ones(y))
