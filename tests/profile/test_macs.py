"""The closed form gives the paper's figures, and counts what the networks really compute."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from gancomp.config import SupernetTraining
from gancomp.elastic.space import enumerate_widths, under_budget
from gancomp.nets import build_skeleton
from gancomp.profile.macs import Layer, profile
from gancomp.spec import GeneratorSpec
from tests.strategies import specs

CHANNELS_48 = [[48, 32]] * 2 + [[48, 40, 32]] * 4 + [[48, 32, 24, 16]] * 2
CHANNELS_32 = [[32, 24, 16]] * 8
CYCLEGAN_64 = [[64, 48, 32, 24, 16]] * 8
PIX2PIX_64 = [[64, 56, 48, 40, 32, 24, 16]] * 8


def test_the_original_of_the_paper() -> None:
    counted = profile(GeneratorSpec(widths=64, block="dense", size=256))
    assert counted.params == 11_378_179
    assert counted.macs == 49_551_507_456
    assert counted.macs_paper == 56_831_770_624


@pytest.mark.parametrize(
    ("widths", "params", "macs_paper"),
    [("32_32_48_32_48_48_16_16", "0.822", 4_993_843_200), ("16_16_32_16_32_32_16_16", "0.357", None)],
)
def test_subnets_of_the_paper(widths: str, params: str, macs_paper: int | None) -> None:
    counted = profile(GeneratorSpec.model_validate({"widths": widths, "block": "separable"}))
    assert f"{counted.params / 1e6:.3f}" == params
    if macs_paper:
        assert counted.macs_paper == macs_paper


def test_uniform_narrow_generator_of_the_paper() -> None:
    narrow, original = (profile(GeneratorSpec(widths=width)).macs_paper for width in (20, 64))
    assert f"{narrow / 1e9:.2f}G" == "5.82G"
    assert f"{original / narrow:.2f}x" == "9.76x"


@pytest.mark.parametrize(
    ("space", "subnets"),
    [(CHANNELS_48, 5_184), (CHANNELS_32, 6_561), (CYCLEGAN_64, 390_625), (PIX2PIX_64, 5_764_801)],
    ids=["channels-48", "channels-32", "channels-64-cyclegan", "channels-64-pix2pix"],
)
def test_sizes_of_the_search_spaces(space: list[list[int]], subnets: int) -> None:
    assert SupernetTraining.model_validate({"space": space}).subnets == subnets


def test_every_subnet_of_channels_48_is_counted() -> None:
    student = GeneratorSpec(widths=48, block="separable")
    counted = under_budget(CHANNELS_48, student, math.inf)
    assert [subnet.index for subnet in counted] == list(range(5_184))
    assert [subnet.widths for subnet in counted] == list(enumerate_widths(CHANNELS_48))
    macs = [subnet.profile.macs for subnet in counted]
    assert macs[0] == max(macs)
    assert macs[-1] == min(macs)
    limit = sorted(macs)[100]
    kept = under_budget(CHANNELS_48, student, limit)
    assert [subnet.index for subnet in kept] == [index for index, own in enumerate(macs) if own <= limit]


def traced(spec: GeneratorSpec) -> tuple[Layer, ...]:
    """The layers of the real modules in the order in which they run, counted from the tensors that pass through."""
    layers = []

    def count(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            params = sum(parameter.numel() for parameter in module.parameters())
            if isinstance(module, nn.InstanceNorm2d):
                layers.append(Layer(name, params, 0, output.numel()))
            elif isinstance(module, nn.ConvTranspose2d):
                kernel = math.prod(module.kernel_size)
                macs = inputs[0].numel() * module.out_channels * kernel
                layers.append(Layer(name, params, macs, output.numel() * module.in_channels * kernel))
            elif isinstance(module, nn.Conv2d):
                macs = output.numel() * math.prod(module.weight.shape[1:])
                layers.append(Layer(name, params, macs, macs))

        module.register_forward_hook(hook)

    skeleton = build_skeleton(spec)
    for name, module in skeleton.named_modules():
        count(name, module)
    skeleton(torch.empty(1, spec.in_channels, *spec.size, device="meta"))
    return tuple(layers)


@settings(deadline=None, max_examples=20)
@given(specs(largest=97, largest_side=320))
def test_closed_form_equals_the_traced_modules(spec: GeneratorSpec) -> None:
    counted = profile(spec)
    assert counted.layers == traced(spec)
    assert counted.params == sum(parameter.numel() for parameter in build_skeleton(spec).parameters())
    for total in ("params", "macs", "macs_paper"):
        assert getattr(counted, total) == sum(getattr(layer, total) for layer in counted.layers)
