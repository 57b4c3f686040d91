"""The picture sizes that a network accepts."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any

import torch

from gancomp.elastic.graph import Graph

#: The largest stride that is tried.
MOST_STRIDE = 512


def _runs(graph: Graph, channels: int, size: tuple[int, int]) -> bool:
    """Whether the network's outputs have the size of its inputs."""
    try:
        with torch.no_grad():
            made: Any = graph.network(torch.empty(2, channels, *size, device="meta"))
    except Exception:  # the user's code may raise anything
        return False
    return isinstance(made, torch.Tensor) and tuple(made.shape[2:]) == size


def _strides(size: tuple[int, int]) -> Iterator[int]:
    both = gcd(*size)
    stride = 1
    while stride < MOST_STRIDE and both % stride == 0:
        yield stride
        stride *= 2


def stride_of(graph: Graph, channels: int, size: tuple[int, int]) -> int:
    """The smallest power of two whose multiples the network accepts and returns as sizes; the greatest common divisor
    of both sides if it accepts only its own size."""
    for stride in _strides(size):
        height, width = (side if side // stride % 2 else side + stride for side in size)
        if _runs(graph, channels, (height, width)):
            return stride
    return gcd(*size)


def least_size(graph: Graph, channels: int, stride: int, size: tuple[int, int]) -> int:
    """The smallest side that works among *stride* times powers of two."""
    side = stride
    while side < min(size) and not _runs(graph, channels, (side, side)):
        side *= 2
    return min(side, min(size))
