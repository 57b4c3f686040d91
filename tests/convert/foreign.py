"""Networks of other projects, built here from the documented order of their layers: what `.pth` files are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

Widths = tuple[int, ...]


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic drawn, so that one in the wrong place shows in the picture."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * (2 / fan) ** 0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=draw))
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=draw))
    return module.eval()


def saved(module: nn.Module, path: Path, **options: Any) -> Path:
    torch.save(module.state_dict(), path, **options)
    return path


# --- pytorch-CycleGAN-and-pix2pix, and the ResNets of GAN Compression --------------------------


def norm(kind: str, channels: int) -> nn.Module:
    """instance; instance-tracked, as PyTorch before 0.4 saved it; instance-affine, also tracked; batch; none."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine="affine" in kind, track_running_stats="tracked" in kind)


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int, kind: str, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=bias),
            norm(kind, inputs),
            nn.Conv2d(inputs, outputs, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class ResnetBlock(nn.Module):
    def __init__(self, trunk: int, inner: int, kind: str, dropout: bool, separable: bool, between: str = "") -> None:
        super().__init__()
        bias = kind.startswith("instance")

        def conv(inputs: int, outputs: int) -> nn.Module:
            if separable:
                return Separable(inputs, outputs, between or kind, bias or not between)
            return nn.Conv2d(inputs, outputs, 3, bias=bias)

        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            conv(trunk, inner),
            norm(kind, inner),
            nn.ReLU(True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            conv(inner, trunk),
            norm(kind, trunk),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Resnet(nn.Module):
    """Its widths are the eight of GAN Compression; pix2pix and CycleGAN have one for all."""

    def __init__(
        self,
        widths: Widths,
        blocks: int = 9,
        kind: str = "instance",
        dropout: bool = False,
        separable: bool = False,
        inputs: int = 3,
        outputs: int = 3,
        between: str = "",
        legacy: bool = False,
    ) -> None:
        super().__init__()
        c, bias = widths, kind.startswith("instance")
        trunk = 4 * c[2]
        inner = [4 * c[3 + min(2, index // (blocks // 3))] for index in range(blocks)]
        if legacy:  # only the first of three blocks was cut
            inner = [width if index % 3 == 0 else trunk for index, width in enumerate(inner)]
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(inputs, c[0], 7, bias=bias),
            norm(kind, c[0]),
            nn.ReLU(True),
            nn.Conv2d(c[0], 2 * c[1], 3, 2, 1, bias=bias),
            norm(kind, 2 * c[1]),
            nn.ReLU(True),
            nn.Conv2d(2 * c[1], trunk, 3, 2, 1, bias=bias),
            norm(kind, trunk),
            nn.ReLU(True),
            *(ResnetBlock(trunk, width, kind, dropout, separable, between) for width in inner),
            nn.ConvTranspose2d(trunk, 2 * c[6], 3, 2, 1, output_padding=1, bias=bias),
            norm(kind, 2 * c[6]),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * c[6], c[7], 3, 2, 1, output_padding=1, bias=bias),
            norm(kind, c[7]),
            nn.ReLU(True),
            nn.ReflectionPad2d(3),
            nn.Conv2d(c[7], outputs, 7),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetLevel(nn.Module):
    """One level around the next; it changes its input in place, and joins what it changed to its output."""

    def __init__(
        self, outer: int, inner: int, inputs: int, deeper: UnetLevel | None, kind: str, outermost: bool, dropout: bool
    ) -> None:
        super().__init__()
        self.outermost = outermost
        bias = kind.startswith("instance")
        down = nn.Conv2d(inputs, inner, 4, 2, 1, bias=bias)
        if outermost:
            assert deeper
            layers = [down, deeper, nn.ReLU(True), nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1), nn.Tanh()]
        elif deeper is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm(kind, outer)]
        else:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2, True), down, norm(kind, inner), deeper, nn.ReLU(True), up, norm(kind, outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Unet(nn.Module):
    def __init__(
        self, ngf: int, downs: int, kind: str = "batch", dropout: bool = False, inputs: int = 3, outputs: int = 3
    ) -> None:
        super().__init__()
        widths = [ngf * min(2**level, 8) for level in range(downs)]
        level = None
        for index in range(downs - 1, 0, -1):
            level = UnetLevel(widths[index - 1], widths[index], widths[index - 1], level, kind, False, dropout)
        self.model = UnetLevel(outputs, ngf, inputs, level, kind, True, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def patch_gan(channels: int, ndf: int, layers: int, kind: str = "instance") -> nn.Module:
    """A discriminator, whose Sequential is called `model`."""
    modules: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    width = ndf
    for index in range(1, layers + 1):
        wider = ndf * min(2**index, 8)
        stride = 1 if index == layers else 2
        modules += [nn.Conv2d(width, wider, 4, stride, 1, bias=kind.startswith("instance")), norm(kind, wider)]
        modules += [nn.LeakyReLU(0.2, True)]
        width = wider
    network = nn.Module()
    network.model = nn.Sequential(*modules, nn.Conv2d(width, 1, 4, 1, 1))
    return network


def pixel_gan(channels: int, ndf: int, kind: str) -> nn.Module:
    """A discriminator of single pixels, whose Sequential is called `net`."""
    bias = kind.startswith("instance")
    network = nn.Module()
    network.net = nn.Sequential(
        nn.Conv2d(channels, ndf, 1),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
        norm(kind, 2 * ndf),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(2 * ndf, 1, 1, bias=bias),
    )
    return network


# --- SPADE, and its generators in GAN Compression ----------------------------------------------


class PaddedSeparable(nn.Module):
    def __init__(self, inputs: int, outputs: int, kind: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
            norm(kind, inputs),
            nn.Conv2d(inputs, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class LeadingBatchNorm(nn.BatchNorm2d):
    """The statistics of a whole network, of which a sub-network reads those of its first channels."""

    def forward(self, x: Tensor) -> Tensor:
        read = x.shape[1]
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        return functional.batch_norm(x, mean[:read], variance[:read], training=self.training)


class SpadeNorm(nn.Module):
    def __init__(self, channels: int, labels: int, hidden: int, separable: str, free: str, whole: int = 0) -> None:
        super().__init__()
        if whole:
            self.param_free_norm: nn.Module = LeadingBatchNorm(whole, affine=False)
        elif free == "instance":
            self.param_free_norm = nn.InstanceNorm2d(channels)
        else:
            self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU())
        if separable:
            self.mlp_gamma: nn.Module = PaddedSeparable(hidden, channels, separable)
            self.mlp_beta: nn.Module = PaddedSeparable(hidden, channels, separable)
        else:
            self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
            self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        shared = self.mlp_shared(functional.interpolate(labels, size=x.shape[2:], mode="nearest"))
        return self.param_free_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpadeBlock(nn.Module):
    """*wholes*: what the whole network has in the place of *inputs* and *middle*, of which it is a part."""

    def __init__(
        self,
        inputs: int,
        middle: int,
        outputs: int,
        labels: int,
        hidden: int,
        shortcut: bool,
        options: dict[str, str],
        wholes: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        wrap = spectral_norm if options["spectral"] else nn.Identity()
        separable, free = options["separable"], options["free"]
        self.conv_0 = wrap(nn.Conv2d(inputs, middle, 3, padding=1))
        self.conv_1 = wrap(nn.Conv2d(middle, outputs, 3, padding=1))
        self.norm_0 = SpadeNorm(inputs, labels, hidden, separable, free, wholes[0])
        self.norm_1 = SpadeNorm(middle, labels, hidden, separable, free, wholes[1])
        self.shortcut = shortcut
        if shortcut:
            self.conv_s = wrap(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.norm_s = SpadeNorm(inputs, labels, hidden, separable, free, wholes[0])

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        around = self.conv_s(self.norm_s(x, labels)) if self.shortcut else x
        out = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), 0.2))
        return around + self.conv_1(functional.leaky_relu(self.norm_1(out, labels), 0.2))


class Spade(nn.Module):
    """Eight widths, as in GAN Compression; SPADE's own have one for all, and hidden layers twice as wide.

    A published sub-network is a part of a network of *whole* channels; what its upsampling blocks have within is as
    wide as what they write.
    """

    def __init__(
        self,
        widths: Widths,
        labels: int,
        more: bool,
        spectral: bool = True,
        separable: str = "",
        hidden: int = 0,
        free: str = "batch",
        whole: int = 0,
    ) -> None:
        super().__init__()
        c, self.more = widths, more
        trunk, outs = 16 * c[0], [8 * c[4], 4 * c[5], 2 * c[6], c[7]]
        options = {"spectral": "spectral" if spectral else "", "separable": separable, "free": free}
        self.fc = nn.Conv2d(labels, trunk, 3, padding=1)

        def inner(width: int) -> SpadeBlock:
            wholes = (16 * whole, 16 * whole)
            return SpadeBlock(trunk, 16 * width, trunk, labels, hidden or 2 * width, False, options, wholes)

        self.head_0, self.G_middle_0, self.G_middle_1 = inner(c[1]), inner(c[2]), inner(c[3])
        width = trunk
        for index, out in enumerate(outs):
            within = out if whole else min(width, out)
            wholes = (16 * whole >> index, 8 * whole >> index)
            block = SpadeBlock(width, within, out, labels, hidden or 2 * c[4 + index], True, options, wholes)
            setattr(self, f"up_{index}", block)
            width = out
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        def up(x: Tensor) -> Tensor:
            return functional.interpolate(x, scale_factor=2, mode="nearest")

        start = [side // (64 if self.more else 32) for side in labels.shape[2:]]
        x = self.fc(functional.interpolate(labels, size=start, mode="nearest"))
        x = self.G_middle_0(up(self.head_0(x, labels)), labels)
        x = self.G_middle_1(up(x) if self.more else x, labels)
        for index in range(4):
            x = getattr(self, f"up_{index}")(up(x), labels)
        return torch.tanh(self.conv_img(functional.leaky_relu(x, 0.2)))


def multiscale_patch_gan(channels: int, ndf: int, layers: int, scales: int) -> nn.Module:
    """GauGAN's discriminator; its forward pass gives the scores alone, from the finest scale on."""

    def one() -> nn.Module:
        network = nn.Module()
        network.model0 = nn.Sequential(nn.Conv2d(channels, ndf, 4, 2, 2), nn.LeakyReLU(0.2))
        width = ndf
        for index in range(1, layers):
            wider = min(2 * width, 512)
            conv = spectral_norm(nn.Conv2d(width, wider, 4, 1 if index == layers - 1 else 2, 2, bias=False))
            normalised = nn.Sequential(conv, nn.InstanceNorm2d(wider))
            network.add_module(f"model{index}", nn.Sequential(normalised, nn.LeakyReLU(0.2)))
            width = wider
        network.add_module(f"model{layers}", nn.Sequential(nn.Conv2d(width, 1, 4, 1, 2)))
        return network

    together = nn.Module()
    for scale in range(scales):
        together.add_module(f"discriminator_{scale}", one())
    return together


def multiscale_scores(network: nn.Module, x: Tensor) -> list[Tensor]:
    scores = []
    for single in network.children():
        out = x
        for layer in single.children():
            out = layer(out)
        scores.append(out)
        x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return scores
