"""Activation memory of networks small enough to compute by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gancomp.measure.memory import activation_bytes
from gancomp.nets import build_generator
from gancomp.spec import GeneratorSpec

PLANE = 8 * 8 * 4  # bytes of one channel of 8x8 in fp32


class Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


@pytest.mark.parametrize(
    ("network", "planes"),
    [
        # The result of one layer lives until the next has read it; the picture and the weights do not count.
        (nn.Sequential(convolution(1, 2), convolution(2, 3), convolution(3, 1)), 2 + 3),
        (nn.Sequential(convolution(1, 5)), 5),
        (nn.Sequential(convolution(1, 2), nn.ReLU(inplace=True), convolution(2, 1)), 2 + 1),
        (nn.Sequential(convolution(1, 2), nn.ReLU(inplace=False), convolution(2, 1)), 2 + 2),
        # The trunk, kept for the sum, the branch's result and the sum.
        (nn.Sequential(convolution(1, 4), Residual(convolution(4, 4))), 4 + 4 + 4),
        (nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, 1, 8, 8)), convolution(1, 1)), 1),  # views are free
    ],
)
def test_peak_by_hand(network: nn.Module, planes: int) -> None:
    assert activation_bytes(network, torch.ones(1, 1, 8, 8)) == planes * PLANE


def test_a_narrower_generator_needs_less_and_a_second_count_the_same() -> None:
    picture = torch.rand(1, 3, 16, 16)
    wide, narrow = (build_generator(GeneratorSpec(widths=width, size=16, blocks=3)) for width in (4, 2))
    needed = activation_bytes(wide, picture)
    assert activation_bytes(wide, picture) == needed
    assert 16 * 16 * 4 < activation_bytes(narrow, picture) < needed


@pytest.mark.parametrize(
    "spec",
    [
        {"widths": 2, "size": 16, "blocks": 3, "norm": "batch"},
        {"family": "unet", "widths": 2, "size": 16, "downs": 3},
        {"family": "spade", "widths": 2, "size": 64, "in_channels": 4, "upsampling": "normal"},
    ],
    ids=["batch norm", "unet", "spade"],
)
def test_generators_of_every_family(spec: dict[str, Any]) -> None:
    """At least what the picture takes, and less than all that is ever computed; statistics do not count."""
    generator = build_generator(GeneratorSpec.model_validate(spec)).eval()
    side = generator.spec.size[0]
    computed: list[int] = []
    for module in generator.modules():
        module.register_forward_hook(lambda _, __, out: computed.append(out.nbytes if isinstance(out, Tensor) else 0))
    x = torch.rand(1, generator.spec.in_channels, side, side)
    needed = activation_bytes(generator, x)
    assert activation_bytes(generator, x) == needed
    assert 3 * side * side * 4 <= needed < 2 * sum(computed)
