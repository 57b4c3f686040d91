"""Which picture sizes a network takes."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any

import torch

from gancomp.elastic.graph import Graph

#: The largest stride that is looked for.
MOST_STRIDE = 512


def _runs(graph: Graph, channels: int, size: tuple[int, int]) -> bool:
    """Whether the network makes pictures of the size of its inputs."""
    try:
        with torch.no_grad():
            made: Any = graph.network(torch.empty(2, channels, *size, device="meta"))
    except Exception:  # anybody's code
        return False
    return isinstance(made, torch.Tensor) and tuple(made.shape[2:]) == size


def _strides(size: tuple[int, int]) -> Iterator[int]:
    both = gcd(*size)
    stride = 1
    while stride < MOST_STRIDE and both % stride == 0:
        yield stride
        stride *= 2


def stride_of(graph: Graph, channels: int, size: tuple[int, int]) -> int:
    """The least power of two whose multiples are sizes of pictures that the network makes of their like; both sides'
    common divisor where it knows its own size alone."""
    for stride in _strides(size):
        height, width = (side if side // stride % 2 else side + stride for side in size)
        if _runs(graph, channels, (height, width)):
            return stride
    return gcd(*size)


def least_size(graph: Graph, channels: int, stride: int, size: tuple[int, int]) -> int:
    """The least multiple of *stride* that runs as a side, tried in doublings."""
    side = stride
    while side < min(size) and not _runs(graph, channels, (side, side)):
        side *= 2
    return min(side, min(size))
