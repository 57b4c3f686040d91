"""Layers that the generator families share."""

from __future__ import annotations

from torch import Tensor, nn

from gancomp.spec import Block

INIT_STD = 0.02


def initialise(module: nn.Module) -> None:
    """Weights ~ N(0, 0.02), biases 0, drawn from torch's global generator."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and not layer.weight.is_meta:
            nn.init.normal_(layer.weight, 0.0, INIT_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def normalisation(channels: int) -> nn.Module:
    """Instance normalisation without affine parameters or running statistics."""
    return nn.InstanceNorm2d(channels)


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 → InstanceNorm → pointwise 1x1, all with bias (Section 3.2, convolution decomposition)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, groups=inputs),
            normalisation(inputs),
            nn.Conv2d(inputs, outputs, 1),
        )


def convolution(block: Block, inputs: int, outputs: int) -> nn.Module:
    """The 3x3 convolution of a residual block, whole or decomposed; unpadded."""
    return SeparableConv(inputs, outputs) if block == "separable" else nn.Conv2d(inputs, outputs, 3)


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-conv-norm(x) on *trunk* channels, with *inner* channels between the convolutions."""

    def __init__(self, trunk: int, inner: int, block: Block) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReflectionPad2d(1),
            convolution(block, trunk, inner),
            normalisation(inner),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            convolution(block, inner, trunk),
            normalisation(trunk),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out
