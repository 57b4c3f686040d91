"""The SPADE generator: one layer and one block by hand, sizes, widths, shortcuts and first weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets import build_generator, build_skeleton
from gancomp.nets.spade import SpadeBlock, SpadeGenerator, SpadeNorm
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures, spades

UPS = ("up1", "up2", "up3", "up4")


def skeleton(**given_: Any) -> SpadeGenerator:
    values = {"family": "spade", "widths": 2, "size": 128, "in_channels": 4} | given_
    made = build_skeleton(GeneratorSpec.model_validate(values))
    assert isinstance(made, SpadeGenerator)
    return made


def by_hand(tensors: dict[str, Tensor], labels: Tensor, spec: GeneratorSpec) -> Tensor:
    """The forward pass in evaluation mode, from a state dict."""

    def conv(name: str, x: Tensor) -> Tensor:
        if f"{name}.2.weight" in tensors:
            weight = tensors[f"{name}.0.weight"]
            x = F.conv2d(x, weight, tensors[f"{name}.0.bias"], padding=1, groups=len(weight))
            return F.conv2d(F.instance_norm(x), tensors[f"{name}.2.weight"], tensors[f"{name}.2.bias"])
        weight = tensors[f"{name}.weight"]
        return F.conv2d(x, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def at(x: Tensor) -> Tensor:
        every = labels.shape[2] // x.shape[2]
        return labels[:, :, ::every, ::every]

    def norm(name: str, x: Tensor) -> Tensor:
        normal = F.batch_norm(x, tensors[f"{name}.norm.running_mean"], tensors[f"{name}.norm.running_var"])
        hidden = conv(f"{name}.shared.0", at(x)).relu()
        return normal * (1 + conv(f"{name}.gamma", hidden)) + conv(f"{name}.beta", hidden)

    def block(name: str, x: Tensor) -> Tensor:
        y = conv(f"{name}.conv_0", F.leaky_relu(norm(f"{name}.norm_0", x), 0.2))
        y = conv(f"{name}.conv_1", F.leaky_relu(norm(f"{name}.norm_1", y), 0.2))
        return y + (conv(f"{name}.conv_s", norm(f"{name}.norm_s", x)) if name in UPS else x)

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    step = 64 if spec.upsampling == "more" else 32
    x = block("head", conv("fc", labels[:, :, ::step, ::step]))
    x = block("middle1", doubled(x))
    x = block("middle2", doubled(x) if spec.upsampling == "more" else x)
    for name in UPS:
        x = block(name, doubled(x))
    return conv("output", F.leaky_relu(x, 0.2)).tanh()


@settings(deadline=None, max_examples=20)
@given(spades(largest_side=128))
def test_the_forward_pass_by_hand(spec: GeneratorSpec) -> None:
    generator, labels = lively(spec).double(), pictures(spec).double()
    with torch.inference_mode():
        expected = by_hand(generator.state_dict(), labels, spec)
        torch.testing.assert_close(generator(labels), expected, rtol=1e-6, atol=1e-8)


@settings(deadline=None, max_examples=20)
@given(spades())
def test_shortcuts_belong_to_the_position(spec: GeneratorSpec) -> None:
    """Though a trunk of one channel, say, is as wide before as behind."""
    generator = build_skeleton(spec)
    learned = {name for name, module in generator.named_modules() if isinstance(module, SpadeBlock) and module.learned}
    assert learned == set(UPS)
    names = generator.state_dict().keys()
    assert {name.split(".")[0] for name in names if "conv_s" in name} == set(UPS)
    assert {name.split(".")[0] for name in names if "norm_s" in name} == set(UPS)


@pytest.mark.parametrize(("upsampling", "size", "start"), [("more", "256x512", (4, 8)), ("normal", 64, (2, 2))])
def test_the_picture_starts_tiny(upsampling: str, size: Any, start: tuple[int, int]) -> None:
    generator = skeleton(upsampling=upsampling, size=size)
    state = generator.run_segment(0, torch.empty(1, 4, *generator.spec.size, device="meta"))
    assert state[0].shape[2:] == start
    heights = []
    for index in range(1, 8):
        state = generator.run_segment(index, state)
        heights.append(state[0].shape[2] // start[0])
    assert heights == ([1, 2, 4, 8, 16, 32, 64] if upsampling == "more" else [1, 2, 2, 4, 8, 16, 32])


def test_widths_control_what_the_paper_says() -> None:
    generator = skeleton(widths=(1, 2, 3, 4, 5, 6, 7, 8))

    def shape(name: str) -> tuple[int, int]:
        layer = generator.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        return layer.in_channels, layer.out_channels

    trunk = 16 * 1
    assert shape("fc") == (4, trunk)
    for name, width in (("head", 2), ("middle1", 3), ("middle2", 4)):
        assert (shape(f"{name}.conv_0"), shape(f"{name}.conv_1")) == ((trunk, 16 * width), (16 * width, trunk))
        assert shape(f"{name}.norm_0.shared.0") == shape(f"{name}.norm_1.shared.0") == (4, 2 * width)
        assert (shape(f"{name}.norm_0.gamma"), shape(f"{name}.norm_1.beta")) == (
            (2 * width, trunk),
            (2 * width, 16 * width),
        )
    inputs = trunk
    for name, width, times in (("up1", 5, 8), ("up2", 6, 4), ("up3", 7, 2), ("up4", 8, 1)):
        outputs, inner = times * width, min(inputs, times * width)
        assert (shape(f"{name}.conv_0"), shape(f"{name}.conv_1")) == ((inputs, inner), (inner, outputs))
        assert shape(f"{name}.conv_s") == (inputs, outputs)
        assert shape(f"{name}.norm_s.shared.0") == (4, 2 * width)
        inputs = outputs
    assert shape("output") == (8, 3)
    assert generator.feature_channels() == [trunk, trunk, 4 * 6]


def test_only_scale_and_shift_are_decomposed() -> None:
    dense, separable = skeleton(block="dense"), skeleton(block="separable")
    differing = dense.state_dict().keys() ^ separable.state_dict().keys()
    assert {name.split(".")[2] for name in differing} == {"gamma", "beta"}
    for module in separable.modules():
        if isinstance(module, SpadeNorm):
            for conv in (module.gamma, module.beta):
                depthwise, norm, pointwise = conv.children()
                assert isinstance(depthwise, nn.Conv2d)
                assert depthwise.groups == depthwise.in_channels == depthwise.out_channels
                assert isinstance(norm, nn.InstanceNorm2d)
                assert isinstance(pointwise, nn.Conv2d)
                assert pointwise.kernel_size == (1, 1)


def test_first_weights_are_xaviers() -> None:
    torch.manual_seed(0)
    generator = build_generator(skeleton(widths=12).spec)
    layer = generator.get_submodule("middle1.conv_0")
    assert isinstance(layer, nn.Conv2d)
    fans = 9 * (layer.in_channels + layer.out_channels)
    assert layer.weight.std().item() == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.any()


def test_batch_norm_has_statistics_and_no_parameters() -> None:
    names = {name.rsplit(".", 1)[1] for name in skeleton().state_dict() if ".norm." in name}
    assert names == {"running_mean", "running_var", "num_batches_tracked"}
