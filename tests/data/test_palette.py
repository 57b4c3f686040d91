"""Label maps as pictures are read back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gancomp.data.classes import CITYSCAPES, CLIMATE, LabelClass
from gancomp.data.palette import Palette, borders, distinct_colours, edges_in

channel = st.integers(0, 255)
classes = st.lists(
    st.builds(LabelClass, st.text(max_size=3), st.tuples(channel, channel, channel)), min_size=1, max_size=40
)
shapes = hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)


@settings(deadline=None, max_examples=60)
@given(classes, shapes, st.data())
def test_what_is_drawn_is_read_back(classes: list[LabelClass], shape: tuple[int, ...], data: st.DataObject) -> None:
    palette = Palette(classes)
    ids = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, len(classes) - 1)))
    edges = data.draw(hnp.arrays(bool, shape))
    picture = palette.draw(ids, edges)
    assert picture.dtype == np.uint8
    assert picture.shape == (*shape, 3)
    assert np.array_equal(palette.ids(picture), ids)
    assert np.array_equal(edges_in(picture), edges)


@settings(deadline=None, max_examples=60)
@given(classes)
def test_stored_classes_are_distinct_and_a_palette_of_their_own(classes: list[LabelClass]) -> None:
    stored = Palette(classes).classes
    assert [(one.name, one.scored_as) for one in stored] == [(one.name, one.scored_as) for one in classes]
    assert len({one.colour for one in stored}) == len(classes)
    assert all(one.colour[2] % 2 == 0 for one in stored)
    assert Palette(stored).classes == stored


@pytest.mark.parametrize("table", [CITYSCAPES, CLIMATE])
def test_colours_stay_as_they_are_known(table: tuple[LabelClass, ...]) -> None:
    seen = set()
    for given_class, stored in zip(table, Palette(table).classes, strict=True):
        if given_class.colour not in seen:
            assert np.abs(np.subtract(given_class.colour, stored.colour)).max() <= 1
        seen.add(given_class.colour)


def test_the_very_last_colour_gives_way_to_the_first() -> None:
    white = LabelClass("white", (255, 255, 255))
    assert [one.colour for one in Palette([white, white]).classes] == [(255, 255, 254), (0, 0, 0)]


def test_unknown_colours_and_impossible_numbers_of_classes_are_refused() -> None:
    palette = Palette(CLIMATE)
    with pytest.raises(ValueError, match=r"the colour \(1, 2, 3\) belongs to no class"):
        palette.ids(np.array([[CLIMATE[0].colour, (1, 2, 3)]], dtype=np.uint8))
    with pytest.raises(IndexError):
        palette.draw(np.array([[9]]), np.array([[False]]))
    for number in (0, 256):
        with pytest.raises(ValueError, match=f"{number} classes"):
            Palette([LabelClass("x", (0, 0, 0))] * number)


def test_borders_are_both_sides_of_a_change() -> None:
    values = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 70_000, 1], [1, 1, 1, 1]])
    expected = np.array([[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]], dtype=bool)
    assert np.array_equal(borders(values), expected)
    assert not borders(np.ones((1, 1))).any()


@pytest.mark.parametrize("count", [2, 19, 250])
def test_named_classes_have_colours_of_their_own_and_are_scored_by_number(count: int) -> None:
    named = distinct_colours([str(index) for index in range(count)])
    assert len({one.colour for one in named}) == count
    assert [one.scored_as for one in named] == list(range(count))
