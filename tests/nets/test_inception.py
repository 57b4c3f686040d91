"""CAT's residual blocks: what their branches compute, and that a branch without channels computes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets import build_skeleton
from gancomp.nets.inception import Branch, InceptionBlock
from gancomp.spec import GeneratorSpec, Norm

TRUNK, INNER = 6, 4
BRANCHES = ["dense1", "dense3", "dense5", "depthwise1", "depthwise3", "depthwise5"]


def block(norm: Norm = "affine") -> InceptionBlock:
    torch.manual_seed(0)
    made = InceptionBlock(TRUNK, INNER, norm).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def emptied(made: InceptionBlock, names: list[str]) -> InceptionBlock:
    """The block with no channels left in the branches *names*."""
    for name in names:
        branch = made.branches[name]
        assert isinstance(branch, Branch)
        for layer in branch.layers.children():
            for own, tensor in list(layer.named_parameters()):
                shape = [0 if size == INNER else size for size in tensor.shape]
                setattr(layer, own, nn.Parameter(torch.empty(shape)))
    return made


def test_a_block_adds_six_normalised_branches() -> None:
    made = block("instance")
    tensors = made.state_dict()
    x = torch.randn(2, TRUNK, 7, 9)

    def normed(y: Tensor) -> Tensor:
        return F.relu(F.instance_norm(y))

    total = torch.zeros_like(x)
    for kernel in (1, 3, 5):
        around = [kernel // 2] * 4

        def padded(y: Tensor, around: list[int] = around) -> Tensor:
            return F.pad(y, around, mode="reflect") if around[0] else y

        first, last = (tensors[f"branches.dense{kernel}.layers.{at}.weight"] for at in (1, 5))
        total += F.conv2d(padded(normed(F.conv2d(padded(x), first))), last)
        into, deep, out = (tensors[f"branches.depthwise{kernel}.layers.{at}.weight"] for at in (0, 4, 7))
        total += F.conv2d(normed(F.conv2d(padded(normed(F.conv2d(x, into))), deep, groups=INNER)), out)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), x + F.instance_norm(total))


@pytest.mark.parametrize("norm", ["affine", "batch"])
@pytest.mark.parametrize("gone", [[], ["dense3"], BRANCHES[1:], BRANCHES], ids=len)
def test_a_branch_without_channels_is_one_that_computes_zeros(norm: Norm, gone: list[str]) -> None:
    whole, x = block(norm), torch.randn(2, TRUNK, 8, 8)
    with torch.inference_mode():
        for name in gone:
            for tensor in whole.branches[name].parameters():
                tensor.zero_()
        wanted = whole(x)
        torch.testing.assert_close(emptied(whole, gone)(x), wanted)


@pytest.mark.parametrize("norm", ["affine", "batch"])
def test_all_that_is_left_of_a_block_learns(norm: Norm) -> None:
    """Ranks wait for one another's gradients of every parameter."""
    made = emptied(block(norm), BRANCHES).train()
    made(torch.randn(2, TRUNK, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in made.norm.parameters())


def test_a_branch_has_a_sixth_of_the_inner_width() -> None:
    """42 channels of CAT's 256."""
    for width, inner in ((64, 42), (16, 10), (3, 2), (1, 1)):
        generator = build_skeleton(GeneratorSpec(widths=width, block="inception", size=12, blocks=3))
        shapes = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
        assert shapes["blocks2.0.branches.dense5.layers.1.weight"] == (inner, 4 * width, 5, 5)
        assert shapes["blocks2.0.branches.depthwise5.layers.4.weight"] == (inner, 1, 5, 5)


def test_convolutions_before_a_norm_have_no_bias() -> None:
    biased = {name for name, layer in block().named_modules() if getattr(layer, "bias", None) is not None}
    assert all(isinstance(block().get_submodule(name), nn.InstanceNorm2d) for name in biased)
