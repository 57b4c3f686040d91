"""The U-Net of pix2pix: the same network written as the recursion that it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets import Generator, build_skeleton
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures, unets


def recursive(generator: Generator, x: Tensor, level: int = 0) -> Tensor:
    """One level, with all that lies within it."""
    tensors = generator.state_dict()

    def normalised(name: str, y: Tensor) -> Tensor:
        if generator.spec.norm == "instance":
            return F.instance_norm(y)
        own = [tensors[f"{name}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *own)

    down, up, bottom = f"down.{level}", f"up.{level}", generator.spec.downs - 1
    y = F.leaky_relu(x, 0.2) if level else x
    y = F.conv2d(y, tensors[f"{down}.conv.weight"], tensors.get(f"{down}.conv.bias"), stride=2, padding=1)
    if level < bottom:
        y = normalised(down, y) if level else y
        y = torch.cat((y, recursive(generator, y, level + 1)), dim=1)
    up_bias = tensors.get(f"{up}.conv.bias")
    y = F.conv_transpose2d(F.relu(y), tensors[f"{up}.conv.weight"], up_bias, stride=2, padding=1)
    return normalised(up, y) if level else y.tanh()


@settings(deadline=None, max_examples=15)
@given(unets())
def test_it_is_the_recursion(spec: GeneratorSpec) -> None:
    generator, x = lively(spec), pictures(spec)
    with torch.inference_mode():
        torch.testing.assert_close(generator(x), recursive(generator, x), rtol=1e-4, atol=1e-5)


def test_widths_double_three_times() -> None:
    generator = build_skeleton(GeneratorSpec.model_validate({"family": "unet", "widths": 3}))
    wide = [generator.get_submodule(f"down.{level}.conv") for level in range(8)]
    assert [conv.out_channels for conv in wide] == [3, 6, 12, 24, 24, 24, 24, 24]
    narrow = [generator.get_submodule(f"up.{level}.conv") for level in range(8)]
    assert [conv.in_channels for conv in narrow] == [6, 12, 24, 48, 48, 48, 48, 24]
    assert [conv.out_channels for conv in narrow] == [3, 3, 6, 12, 24, 24, 24, 24]


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_biases_and_norms_are_where_pix2pix_has_them(norm: str) -> None:
    spec = {"family": "unet", "widths": 2, "size": 16, "downs": 4, "norm": norm}
    generator = build_skeleton(GeneratorSpec.model_validate(spec))
    levels = {name: module for name, module in generator.named_modules() if name.count(".") == 1}
    biased = {name for name, level in levels.items() if level.get_submodule("conv").bias is not None}
    assert biased == ({"up.0"} if norm == "batch" else set(levels))
    kind = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
    normed = {name for name, level in levels.items() if isinstance(level.get_submodule("norm"), kind)}
    assert normed == set(levels) - {"down.0", "down.3", "up.0"}
