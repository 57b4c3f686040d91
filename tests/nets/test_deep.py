"""OMGD's deep teachers: what stands where, at the student's widths, and which families have one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancomp.nets import build_generator
from gancomp.nets.deep import ExpansionBlock, build_deep
from gancomp.spec import GeneratorSpec

UNET = GeneratorSpec(family="unet", widths=2, size=32, downs=4, norm="instance")
RESNET = GeneratorSpec(widths=2, block="separable", size=16, blocks=3)


@pytest.mark.parametrize("spec", [UNET, RESNET], ids=["unet", "resnet"])
def test_a_picture_passes_and_shows_the_students_activations(spec: GeneratorSpec) -> None:
    deep, student = build_deep(spec), build_generator(spec)
    x = torch.randn(2, 3, *spec.size)
    made, features = deep.with_features(x)
    assert made.shape == x.shape
    assert [one.shape for one in features] == [one.shape for one in student.with_features(x)[1]]
    assert sum(p.numel() for p in deep.parameters()) > 3 * sum(p.numel() for p in student.parameters())


def blocks_of(network: nn.Module) -> list[int]:
    return [block.branch[1].in_channels for block in network.modules() if isinstance(block, ExpansionBlock)]


def test_blocks_of_a_unet() -> None:
    """Two after each of three convolutions down and up, and two before the last, on both its inputs."""
    assert blocks_of(build_deep(UNET).down) == [2, 2, 4, 4, 8, 8]
    assert sorted(blocks_of(build_deep(UNET).up)) == sorted([4, 4, 2, 2, 4, 4, 8, 8])


def test_blocks_of_a_resnet() -> None:
    assert blocks_of(build_deep(RESNET)) == [4, 8, 8, 8, 4, 2]


def test_a_block_adds_to_what_it_gets() -> None:
    block = ExpansionBlock(3, "instance").eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert block(x).shape == x.shape
        for layer in block.branch:
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
                layer.bias.zero_()
        torch.testing.assert_close(block(x), x)


def test_spade_has_none() -> None:
    spec = GeneratorSpec(family="spade", widths=2, size=64, upsampling="normal", in_channels=3)
    with pytest.raises(ValueError, match=r"omgd\.teachers: wide"):
        build_deep(spec)
