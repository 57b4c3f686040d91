"""FID∞: against pytorch-fid's distance and NumPy's line, what it takes away, and what each picture adds to it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytorch_fid.fid_score import calculate_frechet_distance

from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.infinity import LEAST, SIZES, frechet_infinity, infinity_shares, subsets


def features(count: int, seed: int, shift: float = 0.0, dimensions: int = 6) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, dimensions)) + shift).astype(np.float32)


def moments(some: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return some.mean(axis=0, dtype=np.float64), np.cov(some.astype(np.float64), rowvar=False)


@pytest.mark.parametrize(("count", "dimensions"), [(100, 6), (40, 60)])
def test_is_the_end_of_the_line_through_the_distances_of_subsets(count: int, dimensions: int) -> None:
    own, real = features(count, 1, 0.3, dimensions), features(80, 2, dimensions=dimensions)
    drawn = subsets(count)
    assert [len(subset) for subset in drawn] == np.linspace(count / 10, count, SIZES).round().tolist()
    assert all(len(set(subset)) == len(subset) for subset in drawn)
    distances = [calculate_frechet_distance(*moments(own[subset]), *moments(real)) for subset in drawn]
    slope, expected = np.polyfit([1 / len(subset) for subset in drawn], distances, 1)
    assert slope > 0
    assert frechet_infinity(own, Statistics.from_features(real)) == pytest.approx(expected, rel=1e-4)


def test_takes_the_bias_of_many_pictures_away() -> None:
    """Of 400 pictures in 6 dimensions against the true distribution, whose distance is 0."""
    real = Statistics.from_features(features(200_000, 9))
    pairs = []
    for seed in range(8):
        own = features(400, seed)
        found = frechet_infinity(own, real)
        assert found is not None
        pairs.append((frechet_distance(own, real), found))
    plain, infinity = np.mean(pairs, axis=0)
    assert plain > 0.02
    assert abs(infinity) < plain / 3


def test_too_few_pictures_have_none() -> None:
    real = Statistics.from_features(features(50, 2))
    assert frechet_infinity(features(LEAST - 1, 1), real) is None
    assert frechet_infinity(features(LEAST, 1), real) is not None


def test_shares_are_what_a_picture_adds() -> None:
    """Their mean is the score; a picture that pulls away from the real ones adds more."""
    real, own = Statistics.from_features(features(300, 2)), features(120, 1)
    own[7] += 5
    shares = infinity_shares(own, real)
    assert shares.mean() == pytest.approx(frechet_infinity(own, real), rel=1e-6)
    assert shares.argmax() == 7
