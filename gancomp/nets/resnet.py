"""The ResNet generator of CycleGAN and pix2pix, at any widths, dense or separable."""

from __future__ import annotations

from torch import nn

from gancomp.nets.generator import Generator
from gancomp.nets.inception import InceptionBlock
from gancomp.nets.layers import ResidualBlock, SeparableConv, SeparableUp, initialise, normalisation
from gancomp.spec import GeneratorSpec


class ResnetGenerator(Generator):
    """Stem 7x7 → two stride-2 convolutions → residual blocks in three groups → two transposed convolutions → 7x7.

    Widths: c0 stem; c1 x2 and c2 x4 the stride-2 convolutions (c2 x4 is the residual trunk); c3, c4, c5 x4 the
    inner width of the three groups of blocks; c6 x2 and c7 the transposed convolutions. Only the residual
    blocks are decomposed when `block="separable"` (Section 3.2); `separable-down` decomposes the first three
    convolutions instead, `separable-up` the transposed ones (Table 4). Convolutions have a bias with every norm. With
    `block="inception"` the blocks are CAT's, of six branches that have a sixth of the inner width each.
    """

    segments = ("stem", "down1", "down2", "blocks1", "blocks2", "blocks3", "up1", "output")
    distilled = ("down2", "blocks1", "blocks2", "blocks3")

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        c, norm = spec.widths, spec.norm
        trunk = 4 * c[2]

        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            SeparableConv(spec.in_channels, c[0], spec.between, kernel=7)
            if spec.block == "separable-down"
            else nn.Conv2d(spec.in_channels, c[0], 7),
            normalisation(c[0], norm),
            nn.ReLU(inplace=True),
        )
        self.down1 = _down(spec, c[0], 2 * c[1])
        self.down2 = _down(spec, 2 * c[1], trunk)

        def block(width: int) -> nn.Module:
            if spec.block == "inception":
                return InceptionBlock(trunk, spec.branch_of(width), norm)
            return ResidualBlock(trunk, 4 * width, spec.block, norm, spec.between)

        def group(width: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(block(width) for _ in range(count)))

        self.blocks1 = group(c[3], spec.groups[0])
        self.blocks2 = group(c[4], spec.groups[1])
        self.blocks3 = group(c[5], spec.groups[2])
        self.up1 = nn.Sequential(*_up(spec, trunk, 2 * c[6]))
        self.output = nn.Sequential(
            *_up(spec, 2 * c[6], c[7]),
            nn.ReflectionPad2d(3),
            nn.Conv2d(c[7], spec.out_channels, 7),
            nn.Tanh(),
        )
        initialise(self)

    def feature_channels(self) -> list[int]:
        """Every distilled activation is the trunk's."""
        return [4 * self.spec.widths[2]] * len(self.distilled)


def _down(spec: GeneratorSpec, inputs: int, outputs: int) -> nn.Sequential:
    whole = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
    smaller = whole if spec.block != "separable-down" else SeparableConv(inputs, outputs, spec.between, 1, stride=2)
    return nn.Sequential(smaller, normalisation(outputs, spec.norm), nn.ReLU(inplace=True))


def _up(spec: GeneratorSpec, inputs: int, outputs: int) -> list[nn.Module]:
    whole = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    larger = whole if spec.block != "separable-up" else SeparableUp(inputs, outputs, spec.between)
    return [larger, normalisation(outputs, spec.norm), nn.ReLU(inplace=True)]
