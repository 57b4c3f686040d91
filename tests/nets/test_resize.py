"""Transposed convolutions held to resizing and a convolution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.measure.macs import profile
from gancomp.nets import build_generator
from gancomp.nets.resize import hold_resize
from gancomp.spec import GeneratorSpec


def test_the_unets_is_nearest_neighbours_and_a_3x3_convolution() -> None:
    layer = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1).double()
    small = torch.randn(3, 5, 3, 3, dtype=torch.float64)
    # Each kernel is the box of 2x2 convolved with a 3x3 one, which the projection leaves as it is ...
    with torch.no_grad():
        layer.weight.copy_(
            F.conv_transpose2d(small.view(15, 1, 3, 3), torch.ones(1, 1, 2, 2).double()).view(3, 5, 4, 4)
        )
    before = layer.weight.detach().clone()
    hold_resize(layer)
    torch.testing.assert_close(layer.weight, before)
    # ... and what it computes is the ordinary convolution, whose taps are turned round, of the enlarged input.
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    enlarged = F.interpolate(x, scale_factor=2, mode="nearest")
    expected = F.conv2d(enlarged, small.transpose(0, 1).flip(2, 3), layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)


@settings(deadline=None, max_examples=30)
@given(
    taps=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_a_flat_region_has_no_pattern_and_the_kernel_is_the_nearest(
    taps: tuple[int, int], stride: tuple[int, int], dilation: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.ConvTranspose2d(2, 3, taps, stride=stride, dilation=dilation).double()
    free = layer.weight.detach().clone()
    hold_resize(layer)
    inside = layer(torch.ones(1, 2, 32, 32, dtype=torch.float64))[..., 12:-12, 12:-12]
    assert inside.numel()
    torch.testing.assert_close(inside, inside[..., :1, :1].expand_as(inside), rtol=0, atol=1e-10)
    # Orthogonal: what was taken away has nothing in common with any kernel that is held.
    other = nn.ConvTranspose2d(2, 3, taps, stride=stride, dilation=dilation).double()
    hold_resize(other)
    assert abs(float(((free - layer.weight) * other.weight).sum().detach())) < 1e-10


@pytest.mark.parametrize(
    "spec",
    [
        GeneratorSpec(family="unet", widths=4, size=16, downs=4, up="resize"),
        GeneratorSpec(family="resnet", widths=4, size=16, block="separable-up", up="resize"),
    ],
    ids=lambda spec: spec.family,
)
def test_generators_begin_with_it_at_the_macs_of_the_free_ones(spec: GeneratorSpec) -> None:
    generator = build_generator(spec)
    before: dict[str, Tensor] = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    hold_resize(generator)
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    assert profile(spec).macs == profile(spec.model_copy(update={"up": None})).macs


def test_a_spec_without_it_is_written_as_before_there_was_such_a_key() -> None:
    assert "up" not in GeneratorSpec(widths=4, size=16).model_dump(mode="json")
    with pytest.raises(ValueError, match="no transposed convolutions"):
        GeneratorSpec(family="spade", widths=4, size=64, in_channels=4, up="resize")
