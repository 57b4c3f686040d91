"""Mean IoU: what a segmentation network reads off generated pictures, against the label maps they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.data.classes import IGNORED
from gancomp.errors import GancompError
from gancomp.metrics import drn
from gancomp.pipeline.checkpoints import load_tensors, save_tensors

if TYPE_CHECKING:
    from gancomp.data.settings import DatasetBase
    from gancomp.data.weights import Tensors

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Confusion = NDArray[np.int64]

#: A judge is believed if, on real pictures, it is so many times better than answering always the same.
USABLE_OVER_MAJORITY = 2.0
KIND = "judge"
#: Pixels that are read together, which bounds memory: one picture of Cityscapes, 32 of 64².
CHUNK_PIXELS = 32 * 64**2


# --- the score ---------------------------------------------------------------------------------


def confusion(truth: Labels, predicted: Labels, classes: int, ignore: int = IGNORED) -> Confusion:
    """Pixels by class: rows are the truth, columns what was predicted; pixels whose truth is *ignore* do not count.

    Confusions of parts add up to that of the whole. Raises ValueError for unequal shapes and for numbers that are no
    class.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} differ in shape")
    counted = truth != ignore
    true, seen = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    if true.size and max(true.max(), seen.max()) >= classes:
        raise ValueError(f"class {max(true.max(), seen.max())} is none of {classes} classes")
    return np.bincount(classes * true + seen, minlength=classes * classes).reshape(classes, classes)


def class_ious(confusion: Confusion) -> NDArray[np.float64]:
    """Intersection over union of each class, 0 to 1; NaN of a class that is neither in the truth nor predicted."""
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    ious: NDArray[np.float64] = np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)
    return ious


def mean_iou(confusion: Confusion) -> float:
    """Mean of the classes' IoU, 0 to 1, as the Cityscapes protocol takes it: over all pictures at once, a class that is
    predicted without being in the truth counts 0, and one that is in neither is left out.

    Raises ValueError where no pixel was counted.
    """
    if not confusion.any():
        raise ValueError("no pixel has a class to score")
    return float(np.nanmean(class_ious(confusion)))


def majority_baseline(confusion: Confusion) -> float:
    """The mean IoU of predicting everywhere the class that is the most frequent in this truth."""
    constant = np.zeros_like(confusion)
    pixels = confusion.sum(axis=1)
    constant[:, pixels.argmax()] = pixels
    return mean_iou(constant)


# --- the judge ---------------------------------------------------------------------------------


class Judge:
    """A segmentation network that reads classes off pictures.

    *network* gives class scores (n, classes, about h, about w) of pictures that were normalised by *mean* and *std*.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        device: str | torch.device = "cpu",
    ) -> None:
        self.classes = classes
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(False)
        self._mean, self._std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (mean, std))

    @torch.inference_mode()
    def read(self, images: Images, size: tuple[int, int] | None = None) -> Labels:
        """Class numbers (n, H, W) of pictures (n, h, w, 3), at the pictures' size or at *size*.

        The network sees the pictures at their own size, and its scores are enlarged bilinearly, as the Cityscapes
        protocol does, which compares at 1024×2048.
        """
        size = size or (images.shape[1], images.shape[2])
        read = np.empty((len(images), *size), np.uint8)
        chunk = max(1, CHUNK_PIXELS // (size[0] * size[1]))
        for start in range(0, len(images), chunk):
            some = slice(start, start + chunk)
            x = torch.from_numpy(np.ascontiguousarray(images[some])).to(self._device).permute(0, 3, 1, 2).float() / 255
            scores = F.interpolate(self._network((x - self._mean) / self._std), size, mode="bilinear")
            read[some] = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()
        return read

    def score(self, images: Images, truth: Labels) -> Confusion:
        """What it reads off *images* (n, h, w, 3), against *truth* (n, H, W) of any size."""
        return confusion(truth, self.read(images, (truth.shape[1], truth.shape[2])), self.classes)


def load_judge(settings: DatasetBase, root: Path, device: str | torch.device = "cpu") -> Judge:
    """The judge of the data set in *root*; GancompError if it is not there, or is another than *settings* declare."""
    path = root / "judge" / "model.safetensors"
    tensors, header = load_tensors(path)
    declared = settings.judge.network if settings.judge else None
    if header.get("kind") != KIND or header.get("network") != declared:
        raise GancompError(f"{path}: not the judge that the data set declares; run `gancomp judge {root.name}` again")
    try:
        if declared == "drn-d-105":
            return Judge(drn.load_drn(tensors), drn.CLASSES, drn.MEAN, drn.STD, device)
        network = SmallSegmenter(int(header["classes"]), int(header["width"]))
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise GancompError(f"{path}: damaged judge ({error}); run `gancomp judge {root.name}` again") from None
    return Judge(network, network.classes, device=device)


def save_judge(path: Path, network: str, tensors: Tensors, **about: int | str) -> None:
    """Write a judge of the kind *network* as `load_judge` reads it."""
    save_tensors(path, tensors, {"kind": KIND, "network": network, **about})


# --- the small network -------------------------------------------------------------------------


class SmallSegmenter(nn.Module):
    """Pictures (n, 3, h, w) in [-1, 1] of any size → class scores (n, classes, h, w).

    Four halvings and back, with the encoder's activations added on the way, as in a U-Net; the mean over the whole
    picture joins at the bottom, for what a place alone does not tell. About 0.5 million parameters at width 24.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        self.down = nn.ModuleList(
            nn.Sequential(_layer(before, after, stride=2), _layer(after, after)) for before, after in pairwise(widths)
        )
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], widths[-1], 1), nn.ReLU())
        self.up = nn.ModuleList(
            nn.Conv2d(below, beside, 1) for below, beside in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        self.merge = nn.ModuleList(_layer(beside, beside) for beside in widths[-2:0:-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        encoded = [pictures]
        for down in self.down:
            encoded.append(down(encoded[-1]))
        x = encoded.pop()
        x = x + self.whole(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            beside = encoded.pop()
            x = merge(beside + F.interpolate(up(x), size=beside.shape[2:], mode="bilinear", align_corners=False))
        return F.interpolate(self.head(x), size=pictures.shape[2:], mode="bilinear", align_corners=False)


def _layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )
