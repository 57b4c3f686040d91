"""Layers that the generator families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gancomp import ranks
from gancomp.ranks import summed
from gancomp.spec import Block, Norm

INIT_STD = 0.02


class WithoutWeights(TorchFunctionMode):
    """Skip the initialisation of weights, which takes most of the time of building a network on the meta device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def initialise(module: nn.Module) -> None:
    """Weights ~ N(0, 0.02), biases 0, scales of BatchNorm ~ N(1, 0.02), from torch's global random generator."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and not layer.weight.is_meta:
            nn.init.normal_(layer.weight, 0.0, INIT_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, BatchNorm) and layer.affine and not layer.weight.is_meta:
            nn.init.normal_(layer.weight, 1.0, INIT_STD)


def initialise_xavier(module: nn.Module) -> None:
    """SPADE's: weights by Xavier's normal rule with gain 0.02, biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.xavier_normal_(layer.weight, gain=INIT_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose training statistics are those of the whole batch, over all ranks.

    On one process it is `nn.BatchNorm2d`. Unlike `nn.SyncBatchNorm` it also runs on CPUs. With *per_picture*,
    evaluation uses each picture's own statistics, like training at batch 1, and not the running ones.
    """

    per_picture = False

    def forward(self, x: Tensor) -> Tensor:
        if self.per_picture and not self.training:
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return self._over_ranks(x) if self.training and ranks.count() > 1 else super().forward(x)

    def _over_ranks(self, x: Tensor) -> Tensor:
        # Two passes, as the difference of two large sums would cancel; in float32 at least.
        wide = x if x.dtype == torch.float64 else x.float()
        count = summed(wide.new_tensor(x.numel() // x.shape[1]))
        mean = summed(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean.view(-1, 1, 1)
        variance = summed(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        out: Tensor = centred * (variance + self.eps).rsqrt().view(-1, 1, 1)
        if self.affine:
            out = out * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
        return out.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics: exponentially, or as the average of all batches if momentum is None."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def lay_out(network: nn.Module) -> None:
    """Convert the weights of a network with BatchNorm to channels-last, in place; its activations follow.

    Training steps then take a tenth to a third less time on a CPU. InstanceNorm supports only the default layout:
    converting its input and output would take more time than channels-last convolutions save.
    """
    # Those without running statistics normalise what distillation maps, beside a generator.
    if any(isinstance(layer, BatchNorm) and layer.track_running_stats for layer in network.modules()):
        network.to(memory_format=torch.channels_last)


def normalisation(channels: int, norm: Norm = "instance") -> nn.Module:
    """Instance normalisation without running statistics (and without parameters, unless it is *affine*), batch
    normalisation with both, or nothing."""
    if norm == "none":
        return nn.Identity()
    return BatchNorm(channels) if norm == "batch" else nn.InstanceNorm2d(channels, affine=norm == "affine")


class SeparableConv(nn.Sequential):
    """Depthwise → normalisation → pointwise 1x1, both with bias (Section 3.2, convolution decomposition)."""

    def __init__(
        self, inputs: int, outputs: int, norm: Norm = "instance", padding: int = 0, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, kernel, stride, padding, groups=inputs),
            normalisation(inputs, norm),
            nn.Conv2d(inputs, outputs, 1),
        )


class SeparableUp(nn.Sequential):
    """Depthwise transposed 3x3 of stride 2 → normalisation → pointwise 1x1, both with bias: twice the size."""

    def __init__(self, inputs: int, outputs: int, norm: Norm = "instance") -> None:
        super().__init__(
            nn.ConvTranspose2d(inputs, inputs, 3, stride=2, padding=1, output_padding=1, groups=inputs),
            normalisation(inputs, norm),
            nn.Conv2d(inputs, outputs, 1),
        )


def convolution(block: Block, inputs: int, outputs: int, norm: Norm = "instance", padding: int = 0) -> nn.Module:
    """A 3x3 convolution, whole or decomposed."""
    if block == "separable":
        return SeparableConv(inputs, outputs, norm, padding)
    return nn.Conv2d(inputs, outputs, 3, padding=padding)


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-conv-norm(x) on *trunk* channels, with *inner* channels between the convolutions.

    Where those are decomposed, *between* is the norm between their depthwise and pointwise parts.
    """

    def __init__(self, trunk: int, inner: int, block: Block, norm: Norm, between: Norm) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReflectionPad2d(1),
            convolution(block, trunk, inner, between),
            normalisation(inner, norm),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            convolution(block, inner, trunk, between),
            normalisation(trunk, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out


def nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Label maps or activations (n, c, h, w) at another *size*, without new values."""
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="nearest")
