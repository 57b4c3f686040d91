"""OMGD's deep teachers: the student's architecture at its widths, with expansion blocks between its layers."""

from __future__ import annotations

from torch import Tensor, nn

from gancomp.nets import build_generator
from gancomp.nets.generator import Generator
from gancomp.nets.layers import initialise, normalisation
from gancomp.nets.resnet import ResnetGenerator
from gancomp.nets.unet import Level, UnetGenerator
from gancomp.spec import GeneratorSpec, Norm

#: Inner channels of an expansion block, as a multiple of its outer ones.
EXPANSION = 4
#: A U-Net's blocks after each convolution; of a ResNet's trunk, the separable blocks before the expansion blocks.
UNET_BLOCKS, RESNET_BLOCKS = 2, 2


class ExpansionBlock(nn.Module):
    """x + a branch that expands to four times the channels: 1×1, 3×3, 1×1, 3×3 with as much padding as it takes."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.branch = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, wide, 1),
            normalisation(wide, norm),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 3),
            normalisation(wide, norm),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels, 1),
            normalisation(channels, norm),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            normalisation(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out


def build_deep(spec: GeneratorSpec) -> Generator:
    """The deep teacher of a student of *spec*, with initial weights. Raises ValueError for families without one."""
    deeper = {"unet": _deep_unet, "resnet": _deep_resnet}.get(spec.family)
    if deeper is None:
        raise ValueError(f"a {spec.family} generator has no deep teacher; set objective.omgd.teachers: wide")
    generator = build_generator(spec)
    deeper(generator)
    initialise(generator)
    return generator


def _blocks(channels: int, norm: Norm, count: int = UNET_BLOCKS) -> nn.Sequential:
    return nn.Sequential(*(ExpansionBlock(channels, norm) for _ in range(count)))


def _deep_unet(generator: Generator) -> None:
    """Two blocks after every convolution down but the innermost, and after every one up but the outermost, where they
    stand before the last ReLU, on the concatenated channels."""
    assert isinstance(generator, UnetGenerator)
    spec = generator.spec
    down, up = spec.levels
    for level in range(spec.downs - 1):
        one = generator.down[level]
        assert isinstance(one, Level)
        one.norm = nn.Sequential(one.norm, _blocks(down[level], spec.norm))
    for level in range(1, spec.downs):
        one = generator.up[level]
        assert isinstance(one, Level)
        one.norm = nn.Sequential(one.norm, _blocks(up[level - 1], spec.norm))
    outermost = generator.up[0]
    assert isinstance(outermost, Level)
    outermost.conv = nn.Sequential(_blocks(down[0] + up[0], spec.norm), nn.ReLU(), outermost.conv)


def _deep_resnet(generator: Generator) -> None:
    """A block and a 3×3 convolution after each layer that changes the resolution, and two blocks in the trunk."""
    assert isinstance(generator, ResnetGenerator)
    spec = generator.spec
    c = spec.widths
    trunk = 4 * c[2]

    def more(channels: int) -> nn.Sequential:
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        return nn.Sequential(
            ExpansionBlock(channels, spec.norm), conv, normalisation(channels, spec.norm), nn.ReLU(inplace=True)
        )

    generator.down1 = nn.Sequential(generator.down1, more(2 * c[1]))
    generator.down2 = nn.Sequential(generator.down2, more(trunk))
    generator.blocks2 = nn.Sequential(_blocks(trunk, spec.norm, RESNET_BLOCKS), generator.blocks2)
    generator.up1 = nn.Sequential(generator.up1, more(2 * c[6]))
    layers = list(generator.output)
    # After the transposed convolution, its norm and its ReLU.
    generator.output = nn.Sequential(*layers[:3], more(c[7]), *layers[3:])
