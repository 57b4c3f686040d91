"""The student's first weights: the teacher's filters of largest L1 norm, in descending order (Section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from gancomp.elastic.graph import Graph, Sizes, spans
from gancomp.elastic.layouts import Group, Layout, resolved
from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.tape import Call, Weight
from gancomp.nets import build_skeleton
from gancomp.spec import GeneratorSpec

Tensors = dict[str, Tensor]


def prune(tensors: Tensors, whole: GeneratorSpec, student: GeneratorSpec) -> Tensors:
    """The weights of *whole*'s generator narrowed to *student*, the same architecture at other widths.

    Raises ValueError if the student is wider, or of another architecture.
    """
    graph = graph_of(whole)
    shapes = {name: tensor.shape for name, tensor in build_skeleton(student).state_dict().items()}
    return pruned(graph, tensors, graph.sizes_of(shapes))


def pruned(graph: Graph, tensors: Tensors, sizes: Sizes, scores: Mapping[Group, Tensor] | None = None) -> Tensors:
    """*tensors* narrowed to groups of *sizes*: for each group the channels whose filters have the largest L1 norms, or
    the largest *scores* (channels,) if it has them.

    A norm covers only input channels that the student keeps. Channels are in descending order, because the
    once-for-all network's slicing needs the important ones first. Depthwise filters, norms and buffers of a channel
    move with it. If several layers produce one group, like the blocks of a residual
    trunk, the first of those with the largest kernel ranks it.
    """
    ranking = _Ranking(graph, tensors, sizes, scores)
    result = {}
    for name, tensor in tensors.items():
        for dim, layout in graph.weights.get(name, {}).items():
            tensor = tensor.index_select(dim, ranking.order(layout))
        result[name] = tensor.clone()
    return result


def energies(graph: Graph, tensors: Tensors) -> dict[Group, Tensor]:
    """The L1 norms that rank the channels of each free group if no group is narrowed."""
    ranking = _Ranking(graph, tensors, {group: group.full for group in graph.free})
    return {group: ranking.norms(group) for group in graph.free}


class _Ranking:
    """Orders of the groups' channels, computed on first use and cached."""

    def __init__(
        self, graph: Graph, tensors: Tensors, sizes: Sizes, scores: Mapping[Group, Tensor] | None = None
    ) -> None:
        self.graph, self.tensors, self.sizes, self.scores = graph, tensors, sizes, scores or {}
        self._orders: dict[Group, Tensor] = {}
        self._asked: set[Group] = set()
        self._makers: dict[Group, Call] = {}
        for call, layout in graph.groups.producers:
            for group, _ in resolved(layout):
                first = self._makers.setdefault(group, call)
                if _kernel(call) > _kernel(first):
                    self._makers[group] = call

    def order(self, layout: Layout) -> Tensor:
        """Indices of the channels of *layout* that are kept, in their new order."""
        return torch.cat(
            [
                offset + (self._order(group)[:, None] * factor + torch.arange(factor)).flatten()
                for offset, group, factor in spans(layout)
            ]
        )

    def _order(self, group: Group) -> Tensor:
        if group.reason:
            return torch.arange(group.full)
        if group not in self._orders:
            scores = self.scores[group] if group in self.scores else self.norms(group)
            ranked = scores.argsort(descending=True, stable=True)
            self._orders[group] = ranked[: self.sizes[group]].cpu()
        return self._orders[group]

    def norms(self, group: Group) -> Tensor:
        """L1 norms (channels,) of the filters that make *group*."""
        self._asked.add(group)
        call = self._makers[group]
        weight = _weight(call)
        values, dims = self.tensors[weight.name], self.graph.weights[weight.name]
        outputs, inputs = (1, 0) if call.name.startswith("conv_transpose") else (0, 1)
        # Of a layer that reads what it makes, all inputs count.
        if inputs in dims and not any(other in self._asked for other, _ in dims[inputs] if other not in self._orders):
            values = values.index_select(inputs, self.order(dims[inputs]).to(values.device))
        of_filters = values.abs().sum(dim=[axis for axis in range(values.dim()) if axis != outputs])
        own = [
            of_filters[offset : offset + piece.full * factor].view(piece.full, factor).sum(1)
            for offset, piece, factor in spans(dims[outputs])
            if piece is group
        ]
        return torch.stack(own).sum(0)


def _weight(call: Call) -> Weight:
    weight: Weight = call.args[1] if len(call.args) > 1 else call.kwargs["weight"]
    return weight


def _kernel(call: Call) -> int:
    return prod(_weight(call).shape[2:])
