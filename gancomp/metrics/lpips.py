"""LPIPS: how different two pictures look, by the features of AlexNet weighed as people judged (Zhang et al., 2018)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.data.archives import member_bytes
from gancomp.data.sources import fetch_package
from gancomp.data.weights import Tensors, fetch_torchvision, pick, read_tensors
from gancomp.errors import GancompError
from gancomp.pipeline.checkpoints import load_tensors, save_tensors, tensors_sha256
from gancomp.pipeline.files import write_json

BACKBONE_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
HEADS_PACKAGE, HEADS_VERSION = "lpips", "0.1.4"
HEADS_SHA256 = "fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e"
HEADS_MEMBER = "lpips/weights/v0.1/alex.pth"

KIND = "lpips-alex-0.1"
#: AlexNet's second pooling needs this many pixels a side.
LEAST_SIDE = 31
CHUNK = 16
#: Positions of AlexNet's five ReLUs, and the channels there.
_TAPS = {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}
#: The backbone's mean and deviation of colours, of pictures in [-1, 1].
_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Lpips:
    """`distances = lpips(a, b)`. Raises GancompError when *weights* are missing, foreign or damaged."""

    def __init__(self, weights: Path, device: str | torch.device = "cpu") -> None:
        tensors = load_lpips(weights)
        self._device = torch.device(device)
        with torch.device("meta"):
            self._backbone = _alexnet()
        backbone = {key.removeprefix("backbone."): value for key, value in tensors.items() if key[:4] == "back"}
        self._backbone.load_state_dict(backbone, assign=True)
        self._backbone.eval().requires_grad_(False).to(self._device)
        self._heads = [tensors[f"head.{level}"].to(self._device) for level in range(len(_TAPS))]

    def __call__(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distances (n,) of pictures (n, h, w, 3), pair by pair: 0 for equal ones, seldom above 1.

        Raises ValueError for other types and unequal shapes, GancompError for pictures that are too small.
        """
        if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 4 or a.shape[3] != 3:
            raise ValueError(f"expected two uint8 (n, h, w, 3), not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        if min(a.shape[1:3]) < LEAST_SIDE:
            raise GancompError(
                f"lpips: pictures of {a.shape[1]}x{a.shape[2]} are too small for its network, which needs "
                f"{LEAST_SIDE} pixels a side; set lpips: false"
            )
        distances = np.empty(len(a), np.float32)
        for start in range(0, len(a), CHUNK):
            some = slice(start, start + CHUNK)
            distances[some] = self._distances(a[some], b[some]).cpu().numpy()
        return distances

    @torch.inference_mode()
    def _distances(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Tensor:
        both = torch.from_numpy(np.concatenate([a, b])).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean, std = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        x = (both - mean) / std
        total = torch.zeros(len(a), device=self._device)
        heads = iter(self._heads)
        for position, layer in enumerate(self._backbone):
            x = layer(x)
            if position in _TAPS:
                # Directions of the features' vectors are compared, their lengths are not.
                of_a, of_b = F.normalize(x, dim=1, eps=1e-10).chunk(2)
                total += ((of_a - of_b).square() * next(heads)).sum(dim=1).mean(dim=(1, 2))
        return total


def fetch_lpips(path: Path, downloads: Path) -> bool:
    """Write the weights to *path* where they can be had, and `status.json` beside it either way.

    Returns whether they are there; `status.json` holds `available` and, if they are not, the `reason`.
    Weights that are already there and whole are left alone.
    """
    reason = _why_not(path, downloads)
    if reason:
        print(f"LPIPS will not be measured: {reason}", file=sys.stderr)
        path.unlink(missing_ok=True)
    write_json(path.with_name("status.json"), {"available": not reason, "reason": reason})
    return not reason


def _why_not(path: Path, downloads: Path) -> str:
    """Why the weights could not be had; empty if they are there."""
    try:
        load_lpips(path)
        return ""
    except GancompError:
        pass
    try:
        heads = fetch_package(HEADS_PACKAGE, HEADS_VERSION, HEADS_SHA256, downloads)
        backbone = fetch_torchvision(BACKBONE_URL, downloads)
        name = f"{heads}: {HEADS_MEMBER}"
        tensors = convert_backbone(read_tensors(backbone, str(backbone)), str(backbone))
        tensors |= convert_heads(read_tensors(member_bytes(heads, HEADS_MEMBER), name), name)
    except GancompError as error:
        return str(error)
    save_tensors(path, tensors, {"kind": KIND, "source": BACKBONE_URL, "tensors_sha256": tensors_sha256(tensors)})
    return ""


def load_lpips(path: Path) -> Tensors:
    """The weights in *path*; GancompError when they are missing, foreign, damaged or tampered with."""
    tensors, header = load_tensors(path)
    if header.get("kind") != KIND or header.get("tensors_sha256") != tensors_sha256(tensors):
        raise GancompError(f"{path}: not the weights of LPIPS, or damaged; delete it and run `gancomp lpips`")
    return tensors


def _alexnet() -> nn.Sequential:
    """torchvision's AlexNet up to its fifth ReLU."""
    from torchvision.models import alexnet

    layers: nn.Sequential = alexnet(weights=None).features[:12]
    return layers


def convert_backbone(published: Tensors, name: str) -> Tensors:
    """torchvision's state dict → its convolutions as `backbone.*`; GancompError calling the file *name* otherwise."""
    with torch.device("meta"):
        like = {f"backbone.{key}": value for key, value in _alexnet().state_dict().items()}
    kept = {key.replace("features.", "backbone.", 1): value for key, value in published.items() if key[:4] == "feat"}
    return pick(kept, like, name)


def convert_heads(published: Tensors, name: str) -> Tensors:
    """The package's state dict → `head.*` (1, channels, 1, 1); GancompError calling the file *name* otherwise."""
    like = {
        f"lin{level}.model.1.weight": torch.empty(1, channels, 1, 1) for level, channels in enumerate(_TAPS.values())
    }
    return {f"head.{key[3]}": value for key, value in pick(published, like, name).items()}
