"""Residual blocks with six parallel branches, as in CAT (Jin et al., CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancomp.nets.layers import normalisation
from gancomp.spec import KERNELS, Norm


class Branch(nn.Module):
    """Layers from the trunk and back to it, without a final bias; None if it has no inner channels."""

    #: Pruning may remove all of its channels.
    vanishes = True

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor | None:
        if any(weight.numel() == 0 for weight in self.layers.parameters()):
            return None
        out: Tensor = self.layers(x)
        return out


def dense(trunk: int, inner: int, kernel: int, norm: Norm) -> Branch:
    """Two convolutions, *inner* channels between them."""
    around = kernel // 2
    return Branch(
        nn.ReflectionPad2d(around),
        nn.Conv2d(trunk, inner, kernel, bias=False),
        normalisation(inner, norm),
        nn.ReLU(inplace=True),
        nn.ReflectionPad2d(around),
        nn.Conv2d(inner, trunk, kernel, bias=False),
    )


def depthwise(trunk: int, inner: int, kernel: int, norm: Norm) -> Branch:
    """A depthwise convolution of *inner* channels between two pointwise ones."""
    return Branch(
        nn.Conv2d(trunk, inner, 1, bias=False),
        normalisation(inner, norm),
        nn.ReLU(inplace=True),
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(inner, inner, kernel, groups=inner, bias=False),
        normalisation(inner, norm),
        nn.ReLU(inplace=True),
        nn.Conv2d(inner, trunk, 1, bias=False),
    )


class InceptionBlock(nn.Module):
    """x + norm(the sum of six branches): convolutions of 1x1, 3x3 and 5x5, dense and depthwise.

    Each has *inner* channels of its own, which pruning may remove. Without branches the norm's output for zeros is
    added, which is one number per channel. No convolution has a bias, because a norm follows.
    """

    def __init__(self, trunk: int, inner: int, norm: Norm) -> None:
        super().__init__()
        kinds = {"dense": dense, "depthwise": depthwise}
        self.branches = nn.ModuleDict(
            {f"{kind}{kernel}": make(trunk, inner, kernel, norm) for kind, make in kinds.items() for kernel in KERNELS}
        )
        self.norm = normalisation(trunk, norm)

    def forward(self, x: Tensor) -> Tensor:
        made = [out for branch in self.branches.values() if (out := branch(x)) is not None]
        if not made:
            nothing: Tensor = self.norm(torch.zeros_like(x[:1, :, :2, :2]))
            return x + nothing[:, :, :1, :1]
        total = made[0]
        for out in made[1:]:
            total = total + out
        same: Tensor = x + self.norm(total)
        return same
