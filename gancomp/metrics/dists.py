"""DISTS: the distance of two pictures in structure and texture (Ding et al., 2020), by VGG16 with given weights.

The libraries that have it (piq, torchmetrics) fetch VGG16 when it is built, so it is written out here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.data.weights import pick, read_weights
from gancomp.errors import GancompError
from gancomp.metrics.given import Given

Pictures = NDArray[np.uint8]

#: The shorter side of larger pictures.
SIDE = 256
CHUNK = 8
#: Positions of the last ReLU of VGG16's five stages, and the channels there; the picture itself comes first.
TAPS = (3, 8, 15, 22, 29)
CHANNELS = (3, 64, 128, 256, 512, 512)
#: Of the ratios of means, and of covariances.
STABLE = 1e-6
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class L2Pool(nn.Module):
    """L2 pooling: the root of squares averaged by a 3×3 Hann window, at stride 2, which does not alias as maxima do."""

    def forward(self, x: Tensor) -> Tensor:
        window = torch.tensor([1.0, 2.0, 1.0], device=x.device, dtype=x.dtype)
        kernel = (torch.outer(window, window) / 16).expand(x.shape[1], 1, 3, 3)
        return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


class Dists:
    """`distances = dists(a, b)`. Raises GancompError if the given weights are wrong or damaged."""

    def __init__(self, given: Given, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        with torch.device("meta"):
            self._network = _vgg16()
            shares = {name: torch.empty(1, sum(CHANNELS), 1, 1) for name in ("alpha", "beta")}
        vgg, own = given.files
        try:
            published = read_weights(vgg)
            layers = {key.removeprefix("features."): value for key, value in published.items() if key[:4] == "feat"}
            self._network.load_state_dict(pick(layers, self._network.state_dict(), str(vgg)), assign=True)
            picked = pick(read_weights(own), shares, str(own))
        except GancompError as error:
            raise given.fault(error) from None
        self._network.eval().requires_grad_(False).to(self._device)
        total = picked["alpha"].sum() + picked["beta"].sum()
        self._alpha, self._beta = (
            torch.split((picked[name].flatten() / total).to(self._device), list(CHANNELS)) for name in ("alpha", "beta")
        )

    def __call__(self, a: Pictures, b: Pictures) -> NDArray[np.float32]:
        """Distances (n,) of pictures (n, h, w, 3), pair by pair: 0 for equal ones, seldom above 1.

        Of larger pictures the shorter side is `SIDE` first, as published. Raises ValueError for other types and unequal
        shapes.
        """
        if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 4 or a.shape[3] != 3:
            raise ValueError(f"expected two uint8 (n, h, w, 3), not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        distances = np.empty(len(a), np.float32)
        for start in range(0, len(a), CHUNK):
            some = slice(start, start + CHUNK)
            distances[some] = self._distances(shrink(a[some]), shrink(b[some])).cpu().numpy()
        return distances

    @torch.inference_mode()
    def _distances(self, a: Pictures, b: Pictures) -> Tensor:
        both = torch.from_numpy(np.concatenate([a, b])).to(self._device).permute(0, 3, 1, 2).float() / 255
        likeness = torch.zeros(len(a), device=self._device)
        for feature, alpha, beta in zip(self._features(both), self._alpha, self._beta, strict=True):
            means = feature.mean(dim=(2, 3), keepdim=True)
            (x, y), (mean_x, mean_y) = (feature - means).chunk(2), means.flatten(1).chunk(2)
            variances = x.square().mean(dim=(2, 3)) + y.square().mean(dim=(2, 3))
            texture = (2 * mean_x * mean_y + STABLE) / (mean_x.square() + mean_y.square() + STABLE)
            structure = (2 * (x * y).mean(dim=(2, 3)) + STABLE) / (variances + STABLE)
            likeness += texture @ alpha + structure @ beta
        return 1 - likeness

    def _features(self, pictures: Tensor) -> Iterator[Tensor]:
        """The pictures (n, 3, h, w), then the output of each stage of VGG16."""
        yield pictures
        mean, std = (torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        x = (pictures - mean) / std
        for position, layer in enumerate(self._network):
            x = layer(x)
            if position in TAPS:
                yield x


def shrink(pictures: Pictures) -> Pictures:
    """Resize pictures (n, h, w, 3) whose shorter side exceeds `SIDE` to that, by Pillow's bilinear filter."""
    height, width = pictures.shape[1:3]
    least = min(height, width)
    if least <= SIDE:
        return pictures
    size = (SIDE * width // least, SIDE * height // least)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in pictures])


def _vgg16() -> nn.Sequential:
    """torchvision's VGG16 up to its last ReLU, with other pooling."""
    from torchvision.models import vgg16

    layers = vgg16(weights=None, init_weights=False).features[: TAPS[-1] + 1]
    return nn.Sequential(*(L2Pool() if isinstance(layer, nn.MaxPool2d) else layer for layer in layers))
