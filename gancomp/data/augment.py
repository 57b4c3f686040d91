"""Random crops and flips, the same for both pictures of a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def augment(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    rng: np.random.Generator,
    load_size: tuple[int, int] | None,
    flip: bool,
    *,
    paired: bool = True,
    labels: bool = False,
    share: slice = slice(None),
    batch: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Resize to *load_size*, crop at random and flip half of the pictures (as pix2pix does).

    *inputs* and *targets* are float (n, channels, height, width), photos in [-1, 1], and so are the results. Every
    picture has its own crop and flip, which depend on *rng* alone and are the same for both pictures of a pair; if they
    are not *paired*, the targets' are drawn after the inputs'. *labels* are resized by nearest neighbour, so that
    classes do not mix. Without *load_size* nothing is cropped. If the pictures are a *share* of a
    *batch*, each has the crop and flip that it has in the whole batch.
    """
    size = (inputs.shape[2], inputs.shape[3])
    enlarge = load_size if load_size and load_size != size else None
    count = batch or len(inputs)
    of_inputs = _draw(rng, count, size, enlarge or size, flip)
    of_targets = of_inputs if paired else _draw(rng, count, size, enlarge or size, flip)
    return (
        _cut(_enlarged(inputs, enlarge, labels), *(part[share] for part in of_inputs)),
        _cut(_enlarged(targets, enlarge, False), *(part[share] for part in of_targets)),
    )


def _draw(
    rng: np.random.Generator, count: int, size: tuple[int, int], enlarged: tuple[int, int], flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (count, height) and columns (count, width) of the crop of each enlarged picture."""
    height, width = size
    top = rng.integers(0, enlarged[0] - height + 1, count)
    left = rng.integers(0, enlarged[1] - width + 1, count)
    mirrored = rng.random(count) < (0.5 if flip else 0.0)
    across = np.where(mirrored[:, None], np.arange(width)[::-1], np.arange(width))
    return top[:, None] + np.arange(height), left[:, None] + across


def _enlarged(pictures: torch.Tensor, size: tuple[int, int] | None, labels: bool) -> torch.Tensor:
    from torch.nn import functional

    if size is None:
        return pictures
    if labels:
        return functional.interpolate(pictures, size=size, mode="nearest-exact")
    # Bicubic overshoots at edges.
    return functional.interpolate(pictures, size=size, mode="bicubic", align_corners=False).clamp_(-1.0, 1.0)


def _cut(pictures: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """Crop and flip with one gather."""
    import torch

    index = [torch.from_numpy(part).to(pictures.device) for part in (np.arange(len(rows)), rows, columns)]
    # (n, height, width, channels), since the indexed axes come first.
    cut = pictures[index[0][:, None, None], :, index[1][:, :, None], index[2][:, None, :]]
    return cut.permute(0, 3, 1, 2).contiguous()
