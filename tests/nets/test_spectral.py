"""Spectral normalisation while the GauGAN generator trains, and folded away afterwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from gancomp.nets import Generator, build_generator
from gancomp.nets.spade import SpadeGenerator
from gancomp.nets.spectral import add_spectral_norm, fold_spectral_norm
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures

SPEC = GeneratorSpec.model_validate(
    {"family": "spade", "widths": 2, "size": 64, "in_channels": 4, "upsampling": "normal"}
)


@pytest.fixture
def generator() -> SpadeGenerator:
    made = lively(SPEC)
    assert isinstance(made, SpadeGenerator)
    torch.manual_seed(0)
    add_spectral_norm(made)
    return made


def normalised(generator: Generator) -> set[str]:
    return {name for name, module in generator.named_modules() if parametrize.is_parametrized(module)}


def test_the_convolutions_of_the_blocks_are_normalised(generator: SpadeGenerator) -> None:
    blocks = ("head", "middle1", "middle2", "up1", "up2", "up3", "up4")
    expected = {f"{block}.{conv}" for block in blocks for conv in ("conv_0", "conv_1")}
    expected |= {f"{block}.conv_s" for block in blocks if block.startswith("up")}
    assert normalised(generator) == expected


def test_their_largest_singular_value_is_one(generator: SpadeGenerator) -> None:
    generator.train()
    with torch.no_grad():
        for _ in range(30):
            generator(pictures(SPEC))
    for name in normalised(generator):
        layer = generator.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02), name


def test_gradients_reach_the_weights_behind_it(generator: SpadeGenerator) -> None:
    generator.train()
    generator(pictures(SPEC)).square().mean().backward()
    original = generator.get_parameter("head.conv_0.parametrizations.weight.original")
    assert original.grad is not None
    assert original.grad.any()


@pytest.mark.parametrize("training", [False, True])
def test_folded_it_is_a_plain_generator_with_the_same_pictures(generator: SpadeGenerator, training: bool) -> None:
    x = pictures(SPEC)
    with torch.inference_mode():
        expected = generator.eval()(x)
    generator.train(training)
    fold_spectral_norm(generator)
    assert generator.training is training
    assert all(module.training is training for module in generator.modules())
    plain = build_generator(SPEC).eval()
    plain.load_state_dict(generator.state_dict())
    with torch.inference_mode():
        assert torch.equal(plain(x), expected)
        assert torch.equal(generator.eval()(x), expected)
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_it_changes_the_pictures(generator: SpadeGenerator) -> None:
    with torch.inference_mode():
        assert not torch.allclose(generator(pictures(SPEC)), lively(SPEC)(pictures(SPEC)), atol=0.01)


def test_the_state_comes_back(generator: SpadeGenerator) -> None:
    """While training is interrupted, the estimates of the singular vectors are kept too."""
    generator.train()
    with torch.no_grad():
        generator(pictures(SPEC))
    other = build_generator(SPEC)
    assert isinstance(other, SpadeGenerator)
    torch.manual_seed(1)
    add_spectral_norm(other)
    other.load_state_dict(generator.state_dict())
    with torch.no_grad():
        for _ in range(2):
            assert torch.equal(other.train()(pictures(SPEC)), generator(pictures(SPEC)))


def test_folding_a_copy_leaves_the_original_to_train(generator: SpadeGenerator) -> None:
    """Snapshots and sample pictures fold a copy of a generator that goes on training."""
    inputs = pictures(SPEC, count=1)
    own = copy.deepcopy(generator)
    fold_spectral_norm(own)
    assert not normalised(own)
    assert normalised(generator)
    torch.testing.assert_close(own.eval()(inputs), generator.eval()(inputs))
