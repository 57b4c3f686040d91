"""The paired permutation test against all swaps, and what each picture adds to FID and KID."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gancomp.metrics.bootstrap import frechet_shares, kernel_shares
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.permutation import LEVEL, p_value


@pytest.mark.parametrize("shift", [0.0, 0.4, 1.0])
def test_as_over_all_swaps(shift: float) -> None:
    draw = np.random.default_rng(1)
    mine, theirs = draw.normal(size=12), draw.normal(size=12) + shift
    differences = mine - theirs
    every = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=12)]
    expected = np.mean([value >= abs(differences.sum()) - 1e-9 for value in every])
    assert p_value(mine, theirs) == pytest.approx(expected, abs=0.02)
    assert p_value(theirs, mine) == p_value(mine, theirs)


def test_the_same_pictures_cannot_be_told_apart_and_a_constant_gap_can() -> None:
    values = np.random.default_rng(0).normal(size=60)
    assert p_value(values, values) == 1
    assert p_value(values, values + 0.01) < 0.001, "each picture is a hair better: pairs show it"


def test_it_is_seldom_wrong_where_there_is_no_difference() -> None:
    draw = np.random.default_rng(0)
    wrong = [p_value(*draw.normal(size=(2, 20)), seed=seed) < LEVEL for seed in range(100)]
    assert np.mean(wrong) < 0.12


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="two times as many values"):
        p_value(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="two times as many values"):
        p_value(np.zeros(0), np.zeros(0))


def test_shares_are_means_and_say_which_pictures_are_unlike_the_real() -> None:
    draw = np.random.default_rng(0)
    reference = Statistics.from_features(draw.normal(size=(80, 6)).astype(np.float32))
    features = draw.normal(size=(60, 6)).astype(np.float32)
    features[:5] += 4
    for shares, distance in (
        (frechet_shares(features, reference), frechet_distance(features, reference)),
        (kernel_shares(features, reference), kernel_distance(features, reference)),
    ):
        assert shares.shape == (60,)
        assert shares.mean() == pytest.approx(distance, rel=1e-6)
        assert set(np.argsort(shares)[-5:]) == set(range(5))
