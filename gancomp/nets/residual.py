"""Residual generators other than the paper's ResNet: pix2pixHD's global one, and CUT's with antialiasing.

They are not families: their widths are read from their forward pass, like those of any custom network. Their tensors
have the names of their authors' code.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets.layers import initialise, normalisation
from gancomp.spec import Norm

#: Maximum values that are built.
MOST = {"in_channels": 256, "out_channels": 64, "ngf": 512, "downs": 5, "blocks": 99}


class Residual(nn.Module):
    """A 7x7 convolution, *downs* downsamplings that double the channels, residual blocks, and upsampling (`model`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int,
        downs: int,
        blocks: int,
        norm: Norm,
        *,
        bias: bool,
        dropout: bool,
        blurred_down: bool,
        blurred_up: bool,
    ) -> None:
        super().__init__()
        wide = [ngf * 2**level for level in range(downs + 1)]

        def normed(channels: int) -> list[nn.Module]:
            return [normalisation(channels, norm), nn.ReLU(inplace=True)]

        layers = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7, bias=bias), *normed(ngf)]
        for inputs, outputs in itertools.pairwise(wide):
            stride = 1 if blurred_down else 2
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias), *normed(outputs)]
            layers += [BlurDown(outputs)] if blurred_down else []
        layers += [Block(wide[-1], norm, bias=bias, dropout=dropout) for _ in range(blocks)]
        for inputs, outputs in zip(wide[:0:-1], wide[-2::-1], strict=True):
            if blurred_up:
                layers += [BlurUp(inputs), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1, bias=bias)]
            layers += normed(outputs)
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh())
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        pictures: Tensor = self.model(x)
        return pictures


class Block(nn.Module):
    """x + conv-norm-ReLU-conv-norm(x), with dropout between where the generator was trained with it."""

    def __init__(self, channels: int, norm: Norm, *, bias: bool, dropout: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalisation(channels, norm),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalisation(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block(x)
        return out


class BlurDown(nn.Module):
    """Antialiased downsampling: a binomial filter with three taps on every channel, at stride 2."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial([1, 2, 1]).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Antialiased upsampling by 2: a binomial filter with four taps."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _binomial([1, 3, 3, 1]).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        spread = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return spread[:, :, 1:-1, 1:-1]


def _binomial(taps: list[int]) -> Tensor:
    row = torch.tensor(taps, dtype=torch.float32)
    return (row[:, None] * row[None, :] / row.sum() ** 2)[None, None]


def build(
    in_channels: int = 3,
    out_channels: int = 3,
    ngf: int = 64,
    downs: int = 3,
    blocks: int = 9,
    norm: Norm = "instance",
    *,
    bias: bool = True,
    dropout: bool = False,
    blurred_down: bool = False,
    blurred_up: bool = False,
) -> nn.Module:
    """Build such a generator: by default pix2pixHD's; CUT's has two *downs*, and antialiasing.

    Raises ValueError for implausible sizes, since the arguments may come from a file.
    """
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "ngf": ngf, "downs": downs, "blocks": blocks}
    for name, value in sizes.items():
        if not 1 <= value <= MOST[name]:
            raise ValueError(f"{name} is {value}, and can be 1 to {MOST[name]}")
    flags = {"bias": bias, "dropout": dropout, "blurred_down": blurred_down, "blurred_up": blurred_up}
    return Residual(in_channels, out_channels, ngf, downs, blocks, norm, **flags)
