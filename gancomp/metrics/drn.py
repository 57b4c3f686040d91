"""DRN-D-105, the segmentation network of the Cityscapes protocol, under the names of its published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gancomp.data.download import fetch_file
from gancomp.data.weights import Tensors, pick, read_tensors
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

URLS = (
    "https://dl.yf.io/drn/drn-d-105_ms_cityscapes.pth",
    "http://dl.yf.io/drn/drn-d-105_ms_cityscapes.pth",
)
MAX_BYTES = 400_000_000
CLASSES = 19
STRIDE = 8
#: Of its training pictures, in [0, 1].
MEAN, STD = (0.2901, 0.3281, 0.2869), (0.1829, 0.1863, 0.1841)


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, up to its stride."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)


def _plain(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU: the layers before and after the residual ones."""
    return nn.Sequential(
        _convolution(in_channels, out_channels, kernel, stride, dilation), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


class Bottleneck(nn.Module):
    """Narrow by 1×1, filter by a dilated 3×3, widen fourfold by 1×1, and add the input."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1, self.bn1 = _convolution(in_channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, out_channels, 1), nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        out: Tensor = self.relu(self.bn3(self.conv3(y)) + self.downsample(x))
        return out


class DilatedResidualNetwork(nn.Module):
    """DRN of architecture D with bottlenecks: pictures (n, 3, h, w) → log-probabilities (n, classes, ⌈h⌉₈, ⌈w⌉₈).

    Its resolution falls to an eighth, and dilation then widens what it sees (Yu et al., 2017); a fixed bilinear
    transposed convolution brings the scores back. The defaults are DRN-D-105.
    """

    def __init__(
        self,
        classes: int = CLASSES,
        channels: Sequence[int] = (16, 32, 64, 128, 256, 512, 512, 512),
        blocks: Sequence[int] = (3, 4, 23, 3),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            _plain(3, channels[0], kernel=7),
            _plain(channels[0], channels[0]),
            _plain(channels[0], channels[1], stride=2),
        ]
        inside = channels[1]
        for width, count, stride, dilation in zip(channels[2:6], blocks, (2, 2, 1, 1), (1, 1, 2, 4), strict=True):
            shapes = [(inside, stride), *[(4 * width, 1)] * (count - 1)]
            layers.append(nn.Sequential(*(Bottleneck(before, width, by, dilation) for before, by in shapes)))
            inside = 4 * width
        layers += [_plain(inside, channels[6], dilation=2), _plain(channels[6], channels[7])]
        self.base = nn.Sequential(*layers)
        self.seg = nn.Conv2d(channels[7], classes, 1)
        self.up = nn.ConvTranspose2d(
            classes, classes, 2 * STRIDE, STRIDE, padding=STRIDE // 2, groups=classes, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.up(self.seg(self.base(x)))
        return scores.log_softmax(dim=1)


def fetch_drn(downloads: Path, weights: str | None = None) -> tuple[Tensors, str, str]:
    """The published tensors, where they came from, and the file's sha256.

    *weights* names a file of one's own, instead of the published address. Raises GancompError when the file cannot be
    had, or is not this network's (then with the names that are missing or unexpected).
    """
    path = Path(weights) if weights else downloads / URLS[0].rsplit("/", 1)[1]
    if weights is None:
        fetch_file(URLS, path, max_bytes=MAX_BYTES)
    if not path.is_file():
        raise GancompError(f"{path}: no such file; correct judge.weights, or leave it out to fetch the published file")
    return read_drn(path), str(path) if weights else URLS[0], file_sha256(path)


def read_drn(path: Path) -> Tensors:
    """The tensors of a published file, checked against the network; GancompError otherwise."""
    with torch.device("meta"):
        like = DilatedResidualNetwork().state_dict()
    return pick(read_tensors(path, str(path)), like, str(path))


def load_drn(tensors: Tensors) -> DilatedResidualNetwork:
    """DRN-D-105 with *tensors*, frozen."""
    with torch.device("meta"):
        network = DilatedResidualNetwork()
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)
