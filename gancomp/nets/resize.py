"""Transposed convolutions without a checkerboard.

One of stride 2 answers a flat region alike at even and odd pixels exactly if, along each axis, its even and its odd
taps have the same sum. Its kernel is then a box of two taps convolved with a smaller kernel: what it computes is
resizing to the nearest neighbour and an ordinary convolution (Odena et al., "Deconvolution and checkerboard
artifacts", 2016), at the MACs of the transposed convolution, and in the same file.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn


@torch.no_grad()
def hold_resize(network: nn.Module) -> None:
    """Replace each kernel of the transposed convolutions of *network*, in place, by the nearest one whose taps have the
    same sum for every output pixel of a stride. Weights are (inputs, outputs / groups, height, width)."""
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose2d) and not layer.weight.is_meta:
            rows, columns = (
                _projection(layer.weight.shape[2 + axis], layer.stride[axis], layer.dilation[axis]).to(layer.weight)
                for axis in (0, 1)
            )
            layer.weight.copy_(rows @ layer.weight @ columns)


@lru_cache
def _projection(taps: int, stride: int, dilation: int) -> Tensor:
    """The (taps, taps) orthogonal projection onto kernels whose sums over the taps of each phase are equal."""
    phases = torch.arange(taps) * dilation % stride
    sums = torch.stack([phases == phase for phase in range(stride)]).double()
    differences = sums[1:] - sums[:-1]
    held: Tensor = torch.eye(taps, dtype=torch.float64) - torch.linalg.pinv(differences) @ differences
    return held
