"""The search space in tree order, and fair draws from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancomp.elastic.space import draw_widths, enumerate_widths, under_budget
from gancomp.measure.macs import Totals, profile
from gancomp.spec import GeneratorSpec

SPACE = [[4], [4, 3], [4, 2], [3], [4, 2], [4, 1], [4, 2], [3, 2]]
STUDENT = GeneratorSpec(widths=4, block="separable", size=16, blocks=3)


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True), min_size=1, max_size=4))
def test_every_combination_once_the_last_width_fastest(space: list[list[int]]) -> None:
    found = list(enumerate_widths(space))
    assert len(found) == len(set(found)) == np.prod([len(choices) for choices in space])
    places = [tuple(choices.index(width) for choices, width in zip(space, widths, strict=True)) for widths in found]
    assert places == sorted(places)


def test_a_subnet_is_kept_with_its_place_and_its_costs() -> None:
    everything = under_budget(SPACE, STUDENT, float("inf"))
    limit = everything[10].profile.macs
    kept = under_budget(SPACE, STUDENT, limit)
    assert 0 < len(kept) < len(everything)
    assert kept == [subnet for subnet in everything if subnet.profile.macs <= limit]
    assert everything[10] in kept  # a budget that is just met is met
    for subnet in kept:
        assert everything[subnet.index].widths == subnet.widths
        alone = profile(STUDENT.with_widths(subnet.widths))
        assert subnet.profile == Totals(alone.params, alone.macs, alone.macs_paper)


def test_nothing_under_an_impossible_budget() -> None:
    assert under_budget(SPACE, STUDENT, 1) == []


def test_draws_are_uniform_and_independent() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_widths(SPACE, rng) for _ in range(2000)])
    for position, choices in enumerate(SPACE):
        shares = [np.mean(drawn[:, position] == choice) for choice in choices]
        assert shares == pytest.approx([1 / len(choices)] * len(choices), abs=0.05)
    assert np.mean((drawn[:, 1] == 4) & (drawn[:, 2] == 4)) == pytest.approx(0.25, abs=0.05)
    assert {type(width) for width in draw_widths(SPACE, rng)} == {int}
