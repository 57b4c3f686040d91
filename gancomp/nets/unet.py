"""The U-Net generator of pix2pix (the paper's Table 6), at any widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets.generator import Generator
from gancomp.nets.layers import initialise, normalisation
from gancomp.spec import GeneratorSpec

SLOPE = 0.2


class Level(nn.Module):
    """One resolution's convolution, 4x4 of stride 2, and its normalisation."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class UnetGenerator(Generator):
    """`downs` stride-2 convolutions and as many transposed ones; each takes its mirror image's activation as well.

    Level i, counted from the outside, has min(2^i, 8) times its width as channels: see `GeneratorSpec.levels` for
    which width that is. As in pix2pix, normalisation is missing on the outside and at the bottom, and with batch norm
    no convolution but the last has a bias.
    """

    segments = ("unet",)

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        widths, ups = spec.levels
        bias = spec.norm != "batch"
        bottom = spec.downs - 1

        def down(level: int) -> Level:
            inputs = widths[level - 1] if level else spec.in_channels
            conv = nn.Conv2d(inputs, widths[level], 4, stride=2, padding=1, bias=bias)
            return Level(conv, normalisation(widths[level], spec.norm) if 0 < level < bottom else None)

        def up(level: int) -> Level:
            inputs = widths[level] + (ups[level] if level < bottom else 0)
            outputs = ups[level - 1] if level else spec.out_channels
            conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias or level == 0)
            return Level(conv, normalisation(outputs, spec.norm) if level else None)

        self.down = nn.ModuleList(down(level) for level in range(spec.downs))
        self.up = nn.ModuleList(up(level) for level in range(spec.downs))
        self.distilled = [name for name in ("down.2", "up.3", "up.2", "up.1") if name != "up.3" or spec.downs > 3]
        initialise(self)

    def feature_channels(self) -> list[int]:
        down, up = self.spec.levels
        return [(up[int(name[3:]) - 1] if name.startswith("up") else down[2]) for name in self.distilled]

    def run_segment(self, index: int, state: Tensor) -> Tensor:
        """The whole forward pass: what is concatenated late depends on what ran first."""
        skips: list[Tensor] = []
        x = state
        for level, down in enumerate(self.down):
            x = down(F.leaky_relu(x, SLOPE) if level else x)
            skips.append(x)
        x = skips.pop()
        for up in reversed(self.up):
            x = up(F.relu(x))
            if skips:
                x = torch.cat((skips.pop(), x), dim=1)
        return torch.tanh(x)
