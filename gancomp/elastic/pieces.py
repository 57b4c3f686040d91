"""The part of the tensors for a narrower network: the leading channels of every piece."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancomp.elastic.graph import Graph, spans
from gancomp.elastic.layouts import Group, Layout


class Pieces:
    """The tensors' dimensions with several pieces, as after a concatenation, and the lengths of the pieces.

    Names of tensors begin with *prefix* in the network that contains the one of *graph*.
    """

    def __init__(self, graph: Graph, prefix: str = "") -> None:
        self._layouts: dict[str, dict[int, Layout]] = {}
        #: For each group a dimension that consists of it alone, which gives its length.
        self._known: dict[Group, tuple[str, int, int]] = {}
        for name, dims in graph.weights.items():
            for dim, layout in dims.items():
                if len(layout) > 1:
                    self._layouts.setdefault(prefix + name, {})[dim] = layout
                if len({group for group, _ in layout}) == 1:
                    total = sum(factor for _, factor in layout)
                    self._known.setdefault(layout[0][0], (prefix + name, dim, total))

    def spans(self, name: str, dim: int, shapes: Mapping[str, torch.Size]) -> list[tuple[int, int]]:
        """(offset, length) of each span that a network with *shapes* takes of the full dimension."""
        layout = self._layouts.get(name, {}).get(dim)
        if layout is None:
            return [(0, shapes[name][dim])]
        taken = []
        for offset, group, factor in spans(layout):
            known, at, total = self._known[group]
            taken.append((offset, shapes[known][at] // total * factor))
        return taken


def cut(tensors: Mapping[str, Tensor], skeleton: nn.Module, pieces: Pieces | None = None) -> dict[str, Tensor]:
    """The leading block of every tensor (of each of its *pieces*), in the shapes of *skeleton*.

    Views, so gradients reach the full tensors; with several pieces differentiable copies.

    Raises ValueError if the names differ, or if a tensor of the skeleton is larger than the whole's.
    """
    shapes = {name: tensor.shape for name, tensor in skeleton.state_dict(keep_vars=True).items()}
    if shapes.keys() != tensors.keys():
        raise ValueError(f"topologies differ in {sorted(shapes.keys() ^ tensors.keys())}")
    blocks = {}
    for name, shape in shapes.items():
        whole = tensors[name]
        if len(shape) != whole.dim() or any(part > all_ for part, all_ in zip(shape, whole.shape, strict=True)):
            raise ValueError(f"{name}: {tuple(shape)} is not a leading block of {tuple(whole.shape)}")
        for dim in range(len(shape)):
            taken = pieces.spans(name, dim, shapes) if pieces else [(0, shape[dim])]
            parts = [whole.narrow(dim, *span) for span in taken]
            whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
        blocks[name] = whole
    return blocks
