"""Precision, recall, density and coverage against their definitions, one pair of pictures at a time."""

from __future__ import annotations

import numpy as np
import pytest

from gancomp.metrics import neighbours
from gancomp.metrics.frechet import Statistics
from gancomp.metrics.neighbours import NEIGHBOURS, Balls, neighbourhood


def counted(fake: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """The four scores by loops."""

    def radius(of: np.ndarray, at: int) -> float:
        others = [float(np.linalg.norm(of[at] - other)) for place, other in enumerate(of) if place != at]
        return sorted(others)[NEIGHBOURS - 1]

    def apart(i: int, j: int) -> float:
        return float(np.linalg.norm(fake[i] - real[j]))

    fakes, reals = range(len(fake)), range(len(real))
    of_real, of_fake = [radius(real, j) for j in reals], [radius(fake, i) for i in fakes]
    within = [[apart(i, j) < of_real[j] for j in reals] for i in fakes]
    return {
        "precision": float(np.mean([any(row) for row in within])),
        "recall": float(np.mean([any(apart(i, j) < of_fake[i] for i in fakes) for j in reals])),
        "density": sum(map(sum, within)) / (NEIGHBOURS * len(fake)),
        "coverage": float(np.mean([any(within[i][j] for i in fakes) for j in reals])),
    }


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (1.0, 0.7), (0.3, 2.0)])
def test_as_counted_one_by_one(shift: float, spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    draw = np.random.default_rng(0)
    real = draw.normal(size=(31, 4)).astype(np.float32)
    fake = (shift + spread * draw.normal(size=(23, 4))).astype(np.float32)
    found = neighbourhood(fake, Balls.around(real))
    assert found
    assert found.scores == pytest.approx(counted(fake.astype(float), real.astype(float)))


def test_the_extremes() -> None:
    real = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    same, far = neighbourhood(real, Balls.around(real)), neighbourhood(real + 100, Balls.around(real))
    assert same
    assert far
    assert same.scores["density"] >= 1
    assert same.scores | {"density": 1} == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert set(far.scores.values()) == {0}
    one_place = neighbourhood(np.repeat(real[:1], 10, axis=0), Balls.around(real))
    assert one_place
    assert one_place.scores["precision"] == 1
    assert one_place.scores["recall"] == 0, "one picture over and over reaches nothing else"
    assert one_place.scores["coverage"] < 0.5


def test_the_coverage_of_draws() -> None:
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(40, 3)), draw.normal(size=(20, 3)) + 0.5
    whole = neighbourhood(fake, Balls.around(real))
    assert whole
    weights = draw.multinomial(20, np.full(20, 1 / 20), size=5).astype(float)
    expected = [whole.within[row > 0].any(axis=0).mean() for row in weights]
    assert whole.coverages(weights) == pytest.approx(expected)
    assert whole.coverages(np.ones((1, 20))) == pytest.approx([whole.scores["coverage"]])


def test_too_few_have_no_neighbours() -> None:
    few, many = np.zeros((NEIGHBOURS, 2)), np.random.default_rng(0).normal(size=(9, 2))
    assert Balls.around(few) is None
    assert neighbourhood(few, Balls.around(many)) is None
    assert Statistics.from_features(few).balls is None


def test_of_many_real_pictures_an_even_share_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REAL", 10)
    balls = Balls.around(np.arange(40.0)[:, None])
    assert balls
    assert balls.features.ravel().tolist() == [0, 4, 9, 13, 17, 22, 26, 30, 35, 39]
