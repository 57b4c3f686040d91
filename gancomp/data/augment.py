"""Random crops and mirrorings, the same for both pictures of a pair."""

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
) -> tuple[torch.Tensor, torch.Tensor]:
    """Enlarge to *load_size*, crop back at random and mirror half of the pictures (as pix2pix trains).

    *inputs* and *targets* are float (n, channels, height, width) in [-1, 1], and so are the results. Every picture
    has its own draw, from *rng* alone, and both pictures of a pair share it. Without *load_size* nothing is cropped.
    """
    import torch
    from torch.nn import functional

    count, _, height, width = inputs.shape
    pairs = torch.cat([inputs, targets], dim=1)
    if load_size and load_size != (height, width):
        # Bicubic overshoots at edges.
        pairs = functional.interpolate(pairs, size=load_size, mode="bicubic", align_corners=False).clamp_(-1.0, 1.0)
    top = rng.integers(0, pairs.shape[2] - height + 1, count)
    left = rng.integers(0, pairs.shape[3] - width + 1, count)
    mirrored = rng.random(count) < (0.5 if flip else 0.0)

    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.where(mirrored[:, None], np.arange(width)[::-1], np.arange(width))
    index = [torch.from_numpy(part).to(pairs.device) for part in (np.arange(count), rows, columns)]
    # One gather crops and mirrors: (n, height, width, channels), since the indexed axes come first.
    cropped = pairs[index[0][:, None, None], :, index[1][:, :, None], index[2][:, None, :]]
    both = cropped.permute(0, 3, 1, 2).contiguous()
    return both[:, : inputs.shape[1]].contiguous(), both[:, inputs.shape[1] :].contiguous()
