"""Distances between pictures: against their definitions, and against pixels counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gancomp.metrics.pictures import has_ssim, l1, psnr_each, ssim_each

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


@given(PICTURES, PICTURES)
def test_psnr_equals_the_definition(a: np.ndarray, b: np.ndarray) -> None:
    for one, other, ratio in zip(a, b, psnr_each(a, b), strict=True):
        error = max(np.square(one.astype(float) - other).mean(), 1 / 12)  # rounding alone leaves as much
        assert ratio == pytest.approx(10 * np.log10(255**2 / error))


def test_psnr_does_not_depend_on_the_depth() -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 1)).astype(np.uint8)
    deep = psnr_each(a.astype(np.uint16) * 257, b.astype(np.uint16) * 257)
    assert deep == pytest.approx(psnr_each(a, b))


def ssim_of(a: np.ndarray, b: np.ndarray) -> float:
    """Of one channel, window by window, as the paper writes it."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            x, y = (one[top : top + 11, left : left + 11].astype(float) for one in (a, b))
            mx, my = (weights * x).sum(), (weights * y).sum()
            spreads = (weights * (x - mx) ** 2).sum() + (weights * (y - my) ** 2).sum()
            together = (weights * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * together + c2) / ((mx**2 + my**2 + c1) * (spreads + c2)))
    return float(np.mean(values))


def test_ssim_equals_the_definition() -> None:
    draw = np.random.default_rng(0)
    a = draw.integers(0, 256, (2, 16, 14, 2)).astype(np.uint8)
    b = np.clip(a.astype(int) + draw.integers(-40, 40, a.shape), 0, 255).astype(np.uint8)
    expected = [np.mean([ssim_of(x[..., c], y[..., c]) for c in (0, 1)]) for x, y in zip(a, b, strict=True)]
    assert ssim_each(a, b) == pytest.approx(expected)
    assert ssim_each(a, a) == pytest.approx([1, 1])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ssim_each(a, b[:1])
    with pytest.raises(ValueError, match="one shape and depth"):
        ssim_each(a, b.astype(np.uint16))


def test_ssim_needs_room_for_its_window() -> None:
    assert has_ssim(11, 64)
    assert not has_ssim(64, 10)
