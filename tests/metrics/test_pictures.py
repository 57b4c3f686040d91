"""L1 between pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gancomp.metrics.pictures import l1

SHAPE = (2, 4, 4, 3)
PICTURES = arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 255))


@given(PICTURES, PICTURES)
def test_equals_the_definition(a: np.ndarray, b: np.ndarray) -> None:
    assert l1(a, b) == pytest.approx(np.abs(a.astype(int) - b.astype(int)).mean() / 255)
    assert l1(a, b) == l1(b, a)
    assert l1(a, a) == 0


def test_black_against_white_is_one() -> None:
    assert l1(np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)) == 1


@pytest.mark.parametrize("other", [np.zeros(SHAPE, np.float32), np.zeros((1, 4, 4, 3), np.uint8)])
def test_other_types_and_shapes_are_refused(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected pictures of one shape and depth"):
        l1(np.zeros(SHAPE, np.uint8), other)
