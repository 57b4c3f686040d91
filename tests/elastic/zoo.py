"""Generators as other people write them: no code of gancomp names one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.convert.foreign import Resnet, Unet


class Filter(nn.Module):
    """CUT's antialiasing: a fixed depthwise filter, kept as a buffer, of stride 2 down or up."""

    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) if up else torch.tensor([1.0, 2.0, 1.0])
        square = row[:, None] * row[None, :] / row.sum() ** 2
        self.register_buffer("filt", square[None, None].repeat(channels, 1, 1, 1) * (4 if up else 1))
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
            return F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Residual(nn.Module):
    def __init__(self, channels: int, norm: type[nn.Module] = nn.InstanceNorm2d) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels), nn.ReLU(True)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def cut(ngf: int = 8, blocks: int = 3) -> nn.Module:
    """CUT's default: antialiased, instance norm."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU(True)]
    for wide in (ngf, 2 * ngf):
        layers += [nn.Conv2d(wide, 2 * wide, 3, padding=1), nn.InstanceNorm2d(2 * wide), nn.ReLU(True)]
        layers += [Filter(2 * wide, up=False)]
    layers += [Residual(4 * ngf) for _ in range(blocks)]
    for wide in (4 * ngf, 2 * ngf):
        layers += [Filter(wide, up=True), nn.Conv2d(wide, wide // 2, 3, padding=1)]
        layers += [nn.InstanceNorm2d(wide // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh())


def pix2pixhd(ngf: int = 4, downs: int = 3, blocks: int = 2) -> nn.Module:
    """pix2pixHD's global generator."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU(True)]
    for level in range(downs):
        wide = ngf * 2**level
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.InstanceNorm2d(2 * wide), nn.ReLU(True)]
    layers += [Residual(ngf * 2**downs) for _ in range(blocks)]
    for level in reversed(range(downs)):
        wide = ngf * 2**level
        layers += [nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, 1), nn.InstanceNorm2d(wide), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh())


class Johnson(nn.Module):
    """Style transfer: affine instance norm, upsampling before convolutions."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.conv1, self.in1 = nn.Conv2d(3, wide, 9, padding=4), nn.InstanceNorm2d(wide, affine=True)
        self.conv2, self.in2 = nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.InstanceNorm2d(2 * wide, affine=True)
        self.res = nn.ModuleList(Residual(2 * wide) for _ in range(2))
        self.up, self.in3 = nn.Conv2d(2 * wide, wide, 3, padding=1), nn.InstanceNorm2d(wide, affine=True)
        self.out = nn.Conv2d(wide, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.in1(self.conv1(x)))
        y = F.relu(self.in2(self.conv2(y)))
        for block in self.res:
            y = block(y)
        y = F.interpolate(y, scale_factor=2, mode="nearest")
        return torch.tanh(self.out(F.relu(self.in3(self.up(y)))))


class StarGan(nn.Module):
    """Labels come as channels of the input; affine, tracked instance norm; convolutions without biases."""

    def __init__(self, wide: int = 8, labels: int = 5) -> None:
        super().__init__()

        def normed(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, nn.InstanceNorm2d(channels, affine=True, track_running_stats=True), nn.ReLU(inplace=True)]

        layers = normed(nn.Conv2d(3 + labels, wide, 7, padding=3, bias=False), wide)
        layers += normed(nn.Conv2d(wide, 2 * wide, 4, 2, 1, bias=False), 2 * wide)
        layers += normed(nn.Conv2d(2 * wide, 2 * wide, 3, padding=1, bias=False), 2 * wide)
        layers += normed(nn.ConvTranspose2d(2 * wide, wide, 4, 2, 1, bias=False), wide)
        self.main = nn.Sequential(*layers, nn.Conv2d(wide, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class Ugatit(nn.Module):
    """U-GAT-IT light: two heads on pooled features, whose weights scale the features; γ and β by linear layers."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, wide, 3, 2), nn.InstanceNorm2d(wide), nn.ReLU())
        self.gap_fc, self.gmp_fc = nn.Linear(wide, 1, bias=False), nn.Linear(wide, 1, bias=False)
        self.conv1x1 = nn.Conv2d(2 * wide, wide, 1)
        self.fc = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU())
        self.gamma, self.beta = nn.Linear(wide, wide), nn.Linear(wide, wide)
        self.rho = nn.Parameter(torch.full((1, wide, 1, 1), 0.9))
        self.conv = nn.Conv2d(wide, wide, 3, padding=1)
        self.out = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(wide, 3, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        gap = x * next(iter(self.gap_fc.parameters())).unsqueeze(2).unsqueeze(3)
        gmp = x * next(iter(self.gmp_fc.parameters())).unsqueeze(2).unsqueeze(3)
        x = F.relu(self.conv1x1(torch.cat([gap, gmp], 1)))
        style = self.fc(F.adaptive_avg_pool2d(x, 1).view(x.shape[0], -1))
        gamma, beta = self.gamma(style), self.beta(style)
        y = self.conv(x)
        normal = (y - y.mean(dim=[2, 3], keepdim=True)) / torch.sqrt(y.var(dim=[2, 3], keepdim=True) + 1e-5)
        layer = (y - y.mean(dim=[1, 2, 3], keepdim=True)) / torch.sqrt(y.var(dim=[1, 2, 3], keepdim=True) + 1e-5)
        y = self.rho.expand(y.shape[0], -1, -1, -1) * normal + (1 - self.rho.expand(y.shape[0], -1, -1, -1)) * layer
        y = y * gamma.unsqueeze(2).unsqueeze(3) + beta.unsqueeze(2).unsqueeze(3)
        return self.out(x + y)


class Dense(nn.Module):
    """A block of ESRGAN: each convolution reads all that those before it wrote."""

    def __init__(self, wide: int, grown: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(wide + at * grown, grown, 3, padding=1) for at in range(3))
        self.last = nn.Conv2d(wide + 3 * grown, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for conv in self.convs:
            made.append(F.leaky_relu(conv(torch.cat(made, 1)), 0.2, inplace=True))
        return self.last(torch.cat(made, 1)) * 0.2 + x


class Esrgan(nn.Module):
    """Twice the size of its input."""

    def __init__(self, wide: int = 8, grown: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, wide, 3, padding=1)
        self.body = nn.Sequential(Dense(wide, grown), Dense(wide, grown))
        self.after, self.up = nn.Conv2d(wide, wide, 3, padding=1), nn.Conv2d(wide, wide, 3, padding=1)
        self.last = nn.Conv2d(wide, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        y = first + self.after(self.body(first))
        return self.last(F.leaky_relu(self.up(F.interpolate(y, scale_factor=2)), 0.2))


class Shuffled(nn.Module):
    """Pixel shuffle, grouped and depthwise convolutions, group norm, chunks, PReLU and squeeze-and-excitation."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, wide, 3, 2, 1)
        self.prelu = nn.PReLU(wide)
        self.grouped = nn.Conv2d(wide, 2 * wide, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(4, 2 * wide)
        self.depthwise = nn.Conv2d(wide, 2 * wide, 3, padding=1, groups=wide)
        self.squeeze, self.excite = nn.Conv2d(2 * wide, wide // 2, 1), nn.Conv2d(wide // 2, 2 * wide, 1)
        self.up = nn.Conv2d(2 * wide, 4 * wide, 3, padding=1)
        self.last = nn.Conv2d(wide, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.head(x))
        value, gate = self.norm(self.grouped(x)).chunk(2, dim=1)
        y = self.depthwise(value * torch.sigmoid(gate))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return torch.tanh(self.last(F.pixel_shuffle(self.up(y), 2)))


class Attention(nn.Module):
    """Self-attention over pixels, as in SAGAN: queries, keys and values are flattened and multiplied."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, wide, 3, padding=1)
        self.query, self.key = nn.Conv2d(wide, wide // 2, 1), nn.Conv2d(wide, wide // 2, 1)
        self.value = nn.Conv2d(wide, wide, 1)
        self.gamma = nn.Parameter(torch.full((1,), 0.5))
        self.last = nn.Conv2d(wide, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.head(x))
        n, _, height, width = x.shape
        query = self.query(x).view(n, -1, height * width).permute(0, 2, 1)
        weights = torch.softmax(torch.bmm(query, self.key(x).view(n, -1, height * width)), dim=-1)
        seen = torch.bmm(self.value(x).view(n, -1, height * width), weights.permute(0, 2, 1))
        return self.last(self.gamma * seen.view(n, -1, height, width) + x).tanh()


class HardCoded(nn.Module):
    """A reshape that names its channels, and a convolution before it that none names."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Conv2d(3, 8, 3, padding=1)
        self.named = nn.Conv2d(8, 12, 3, padding=1)
        self.last = nn.Conv2d(12, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.named(F.relu(self.free(x)))
        y = y.view(y.shape[0], 12, -1).softmax(-1).view(y.shape[0], 12, *x.shape[2:])
        return self.last(y)


class Computed(nn.Module):
    """Products whose channels no rule follows: by weights that are computed, and with parameters."""

    def __init__(self, wide: int = 6) -> None:
        super().__init__()
        self.free, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, wide, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(wide, wide, 3, 3))
        self.back = nn.Parameter(torch.randn(wide, wide, 4, 4))
        self.linear, self.mix = nn.Parameter(torch.randn(wide, wide)), nn.Parameter(torch.randn(wide, wide))
        self.last = nn.Conv2d(wide, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(F.relu(self.free(x)))
        kernel = (self.kernel - self.kernel.mean((1, 2, 3), keepdim=True)) / (
            self.kernel.std((1, 2, 3), keepdim=True) + 1
        )
        y = F.relu(F.conv2d(y, kernel, stride=2, padding=1))
        y = F.relu(F.conv_transpose2d(y, self.back * 0.1, stride=2, padding=1))
        y = F.linear(y.permute(0, 2, 3, 1), self.linear * 0.5).permute(0, 3, 1, 2)
        y = torch.einsum("n...c,cd->n...d", y.flatten(2).transpose(1, 2), self.mix)
        y = torch.matmul(self.mix, y.transpose(1, 2)).reshape(x.shape[0], -1, *x.shape[2:])
        return self.last(y).tanh()


ZOO = {
    "unet": lambda: Unet(4, 4),
    "unet of instance norm": lambda: Unet(4, 4, kind="instance", dropout=True),
    "resnet": lambda: Resnet((4,) * 8, 3),
    "cut": cut,
    "pix2pixhd 3": pix2pixhd,
    "pix2pixhd 4": lambda: pix2pixhd(2, 4),
    "johnson": Johnson,
    "stargan": StarGan,
    "ugatit": Ugatit,
    "esrgan": Esrgan,
    "shuffled": Shuffled,
    "attention": Attention,
    "hard-coded": HardCoded,
    "computed": Computed,
}


def build(name: str) -> nn.Module:
    """One of them, by a function that can be named."""
    network: nn.Module = ZOO[name]()
    return network
