"""Pruning in one step: one threshold for the norms' scales sets every width, as in CAT (Jin et al., CVPR 2021)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor

from gancomp.elastic.graph import Graph, spans
from gancomp.elastic.layouts import Group
from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.pruning import Tensors, pruned
from gancomp.elastic.reading import by_groups
from gancomp.elastic.tape import Weight
from gancomp.errors import GancompError
from gancomp.nets.module import PREFIX
from gancomp.network import value_of
from gancomp.spec import GeneratorSpec

#: The position of the scales in a norm's arguments.
SCALES = {"batch_norm": 3, "instance_norm": 3, "group_norm": 2}


@dataclass(frozen=True)
class Remainder:
    """The generator pruned at *threshold*, and its tensors."""

    threshold: float
    spec: GeneratorSpec
    tensors: Tensors


def above_threshold(tensors: Tensors, spec: GeneratorSpec, macs: float, least: int) -> Remainder:
    """Prune *spec*'s generator at the smallest threshold for its scales at which it needs at most *macs* (exact).

    All scales are compared with the same threshold. A group of channels keeps at least *least* of them, except
    branches that may vanish (`Network.vanishing`); groups without a norm keep all. Kept
    channels are in descending order of their scales.

    Raises GancompError if norms have no scales, or if *macs* are fewer than the minimum that can remain.
    """
    own = by_groups(spec)
    graph, network = graph_of(own), own.network
    assert network
    if len(graph.free) != len(own.widths):
        raise GancompError(
            "distill.prune: the teacher has groups of one channel or none, beside which a threshold cannot prune; "
            "prune its whole network, or set distill.prune: true"
        )
    tensors = tensors if spec.network else {PREFIX + name: tensor for name, tensor in tensors.items()}
    scales = scales_of(graph, tensors)
    floors = [0 if at in network.vanishing else min(least, group.full) for at, group in enumerate(graph.free)]

    def widths(threshold: float) -> tuple[int, ...]:
        return tuple(
            max(int((scales[group] > threshold).sum()), floor) if group in scales else group.full
            for group, floor in zip(graph.free, floors, strict=True)
        )

    counted = network.costs(own.block).macs
    thresholds = sorted({-1.0, *torch.cat(list(scales.values())).tolist()})  # above the first lies everything
    # As the threshold rises no width does, and so no count.
    at = bisect_left(thresholds, True, key=lambda threshold: value_of(counted, widths(threshold)) <= macs)
    if at == len(thresholds):
        fewest = value_of(counted, widths(thresholds[-1]))
        whole = ", ".join(group.name.removeprefix(PREFIX) for group in graph.free if group not in scales)
        raise GancompError(
            f"distill.prune.budget: allows {macs:,.0f} exact MACs, and {fewest:,} are left of the teacher where every "
            f"layer has the {least} channels that it keeps at least"
            + (f", and what no norm reads stays whole ({whole})" if whole else "")
            + "; raise the budget, or lower distill.prune.least"
        )
    left = own.with_widths(widths(thresholds[at]))
    sizes = dict(zip(graph.free, left.widths, strict=True))
    return Remainder(thresholds[at], left, pruned(graph, tensors, sizes, scales))


def scales_of(graph: Graph, tensors: Tensors) -> dict[Group, Tensor]:
    """|γ| (channels,) of the first norm that scales each free group; groups that no norm reads have none.

    Raises GancompError with the layer if all norms that read a group have no scales.
    """
    scales: dict[Group, Tensor] = {}
    bare: dict[Group, None] = {}
    for call in graph.tape.calls:
        if call.name not in SCALES:
            continue
        place, read = SCALES[call.name], call.args[0] if call.args else call.kwargs["input"]
        weight = call.args[place] if len(call.args) > place else call.kwargs.get("weight")
        for offset, group, factor in spans(graph.groups.dims(read).get(1, [])):
            if group.reason or group in scales:
                continue
            if not isinstance(weight, Weight):
                bare.setdefault(group)
                continue
            own = tensors[weight.name][offset : offset + group.full * factor].detach().double().abs()
            scales[group] = own.view(group.full, factor).mean(1)
    unscaled = [group.name.removeprefix(PREFIX) for group in bare if group not in scales]
    if unscaled or not scales:
        which = f"the teacher's norm after {unscaled[0]} has" if unscaled else "the teacher's norms have"
        raise GancompError(
            f"distill.prune: {which} no scales (γ), by which a threshold prunes; train it with generator.norm: affine "
            "or batch (a network of one's own with affine norms), or set distill.prune: true"
        )
    return scales
