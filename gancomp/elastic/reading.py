"""The description of a custom network: its widths, costs, distilled activations and sizes."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from gancomp.elastic.chosen import PARTS, distilled_layers, separable_parts
from gancomp.elastic.costs import costs_of
from gancomp.elastic.graph import Graph, read_graph
from gancomp.elastic.layouts import Group, resolved
from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.sizes import least_size, stride_of
from gancomp.errors import GancompError
from gancomp.nets.generator import Generator
from gancomp.nets.module import shapes_by, whole_graph
from gancomp.network import Network, Width
from gancomp.spec import GeneratorSpec, Norm


def read_network(
    builder: str,
    arguments: Mapping[str, Any] | None = None,
    size: tuple[int, int] = (256, 256),
    channels: int | None = None,
) -> Network:
    """The widths, costs and distilled activations of the network of *builder*, for inputs of *size* (height, width).

    *channels* are the input's; default: the first convolution's. A sequence of like groups gets few
    widths (`PARTS`). Raises GancompError if the network does not run, its outputs have another size, or no
    group can be narrowed.
    """
    whole = shapes_by(builder, arguments or {})
    channels = channels or _channels_of(whole)
    graph = read_graph(whole, (channels, *size))
    made = graph.outputs[0] if len(graph.outputs) == 1 else None
    if made is None or len(made.shape) != 4 or tuple(made.shape[2:]) != tuple(size):
        found = ", ".join("x".join(map(str, value.shape[1:])) for value in graph.outputs) or "nothing"
        raise GancompError(
            f"builder {builder}: of pictures of {channels}x{size[0]}x{size[1]} the network makes {found} (channels x "
            "height x width), and pictures of the same size are needed"
        )
    free = graph.free
    if not free:
        reasons = "; ".join(f"{group.name}: {group.reason}" for group in graph.frozen[:3])
        raise GancompError(f"builder {builder}: the network has no channels that can be narrowed ({reasons})")
    widths = _widths(free)
    places = {free[at]: place for place, width in enumerate(widths) for at in width.groups}
    norm = _norm(whole)
    separable = separable_parts(graph, norm, (channels, *size))
    stride = stride_of(graph, channels, size)
    return Network(
        builder=builder,
        arguments=json.dumps(dict(arguments or {}), sort_keys=True),
        size=size,
        in_channels=channels,
        out_channels=made.shape[1],
        norm=norm,
        stride=stride,
        least=least_size(graph, channels, stride, size),
        widths=widths,
        distilled=distilled_layers(graph, places),
        decomposed=separable[0] if separable else (),
        dense=costs_of(graph, places),
        separable=costs_of(separable[1], _same_places(places, graph, separable[1])) if separable else None,
    )


def by_groups(spec: GeneratorSpec) -> GeneratorSpec:
    """*spec*'s generator as a network with a width for each of its groups, so that each can be narrowed separately.

    A generator of a family becomes one of `gancomp.nets.declared`; its tensors' names then begin with `PREFIX`.
    """
    if spec.network:
        whole, distilled = whole_graph(spec.network, spec.block, spec.between), spec.network.distilled
        block, known = spec.block, spec.network.model_dump()
        per_group = {at: own for one, own in zip(spec.network.widths, spec.widths, strict=True) for at in one.groups}
    else:
        whole = graph_of(spec)
        assert isinstance(whole.network, Generator)
        block, per_group, distilled = "dense", {}, tuple(whole.network.distilled)
        shared = ("size", "in_channels", "out_channels", "norm", "stride", "least")
        known = {name: getattr(spec, name) for name in shared}
        known |= {"builder": "gancomp.nets.declared:build", "arguments": spec.model_dump_json()}
    free = whole.free
    widths = tuple(Width(name=group.name, full=group.full, groups=(at,)) for at, group in enumerate(free))
    costs = costs_of(whole, {group: at for at, group in enumerate(free)})
    known |= {"widths": widths, "distilled": distilled, "vanishing": tuple(_vanishing(whole))}
    known |= {"dense": costs, "separable": costs if block == "separable" else None}
    return GeneratorSpec(
        family="module",
        block=block,
        network=Network.model_validate(known),
        widths=tuple(per_group.get(at, group.full) for at, group in enumerate(free)),
        statistics=spec.statistics,
        separable_norm=spec.separable_norm,
        up=spec.up,
    )


def _vanishing(graph: Graph) -> Iterator[int]:
    """The free groups that may be pruned to no channels: everything that produces them is in a module with the
    attribute `vanishes`."""
    modules = dict(graph.network.named_modules())
    for at, group in enumerate(graph.free):
        makers = [call.module for call, layout in graph.groups.producers if group in dict(resolved(layout))]
        if all(any(getattr(modules[name], "vanishes", False) for name in _with_owners(maker)) for maker in makers):
            yield at


def _with_owners(module: str) -> Iterator[str]:
    """The names of a module and of the modules that contain it."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _channels_of(network: nn.Module) -> int:
    """Input channels of the first convolution."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            return layer.in_channels
    raise GancompError("the network has no convolution; gancomp compresses convolutional generators")


def _norm(network: nn.Module) -> Norm:
    kinds = {type(layer).__name__ for layer in network.modules()}
    if any("BatchNorm" in kind for kind in kinds):
        return "batch"
    return "instance" if "InstanceNorm2d" in kinds else "none"


# --- widths ------------------------------------------------------------------------------------


def _widths(free: Sequence[Group]) -> tuple[Width, ...]:
    """One width per group; at most `PARTS` for a sequence of like groups (equal channels, names that differ in
    numbers)."""

    def kind(at: int) -> tuple[str, int]:
        return re.sub(r"\d+", "#", free[at].name), free[at].full

    found: list[tuple[int, ...]] = []
    for _, run in itertools.groupby(range(len(free)), kind):
        row = list(run)
        third = max(len(row) // PARTS, 1)
        parts = [row[:third], row[third : 2 * third], row[2 * third :]]
        found += [tuple(part) for part in parts if part]
    named = [(free[part[0]].name, part) for part in found]
    twice = {name for name, count in Counter(name for name, _ in named).items() if count > 1}
    counted = Counter[str]()
    widths = []
    for name, part in named:
        counted[name] += 1
        own = f"{name}#{counted[name]}" if name in twice else name
        widths.append(Width(name=own, full=free[part[0]].full, groups=part))
    return tuple(widths)


def _same_places(places: Mapping[Group, int], graph: Graph, other: Graph) -> dict[Group, int]:
    """*places* of the groups of the same network with decomposed convolutions."""
    return {theirs: places[own] for own, theirs in zip(graph.free, other.free, strict=True)}
