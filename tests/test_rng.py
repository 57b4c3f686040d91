"""The draw of a step is a function of seed, purpose and step."""

from __future__ import annotations

import itertools

import pytest
import torch

from gancomp.rng import generator, sample, seed_torch

DRAWN = (547422376, 2170293148, 3818806316, 2222232966)
TORCH_DRAWN = [0.23128664423315426, 0.6882218584960113]


def drawn(seed: int, purpose: str, step: int = 0) -> tuple[int, ...]:
    return tuple(generator(seed, purpose, step).integers(2**32, size=4).tolist())


def test_the_same_place_draws_the_same() -> None:
    assert drawn(3, "supernet", 7) == drawn(3, "supernet", 7)


def test_every_place_draws_its_own() -> None:
    places = list(itertools.product((0, 1, 2**31 - 1), ("teacher", "student"), (0, 1, 2)))
    assert len({drawn(*place) for place in places}) == len(places)


def test_draws_stay_as_they_are_from_version_to_version() -> None:
    """A changed stream would end interrupted runs in other weights than uninterrupted ones."""
    assert drawn(0, "teacher", 1) == DRAWN
    seed_torch(0, "teacher.generator")
    assert torch.rand(2, dtype=torch.float64).tolist() == pytest.approx(TORCH_DRAWN, rel=1e-12)


def test_seeds_of_torch_follow_seed_and_purpose() -> None:
    def first(seed: int, purpose: str) -> float:
        seed_torch(seed, purpose)
        return torch.rand(1).item()

    assert first(0, "a") == first(0, "a")
    assert len({first(0, "a"), first(0, "b"), first(1, "a")}) == 3


def test_samples_are_by_lot_and_the_smaller_within_the_larger() -> None:
    several = [tuple(sample(seed, "a", 50, 10)) for seed in range(20)]
    assert len(set(several)) == 20
    assert {index for some in several for index in some} > set(range(40, 50))
    assert tuple(sample(3, "a", 50, 4)) == several[3][:4]
    assert sorted(sample(0, "a", 5, 99)) == [0, 1, 2, 3, 4]
