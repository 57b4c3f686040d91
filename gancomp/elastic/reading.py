"""What there is to know of a network of one's own before it is compressed, read from its forward pass once."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import gcd, prod
from typing import Any

import torch
from torch import nn

from gancomp.elastic.graph import Graph, read_graph
from gancomp.elastic.groups import CONVOLUTIONS, GIVEN, TRANSPOSED, Dims, Group, Layout, resolved
from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.tape import Call, Value, Weight
from gancomp.errors import GancompError
from gancomp.nets.generator import Generator
from gancomp.nets.module import decompose, shapes_by, whole_graph
from gancomp.network import Costs, Network, Width, polynomial_of
from gancomp.spec import GeneratorSpec, Norm

#: Widths of like groups in a row, such as those of residual blocks, are searched as so many at most.
PARTS = 3
#: Of so many even parts of the MACs, the activations between are distilled: four, as in the paper's ResNet.
DISTILLED = 5
#: The largest stride that is looked for.
MOST_STRIDE = 512

#: Sums of products of widths: how often each product (sorted positions) counts.
Terms = dict[tuple[int, ...], int]


def read_network(
    builder: str,
    arguments: Mapping[str, Any] | None = None,
    size: tuple[int, int] = (256, 256),
    channels: int | None = None,
) -> Network:
    """The widths, costs and distilled activations of what *builder* makes, for inputs of *size* (height, width).

    *channels* are the input's; by the first convolution's if not given. Groups of like layers in a row become few
    widths (`PARTS`). Raises GancompError where the network does not run, makes pictures of another size, or has no
    group that can be narrowed.
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
    separable = _separable(graph, norm, (channels, *size))
    stride = _stride(graph, channels, size)
    return Network(
        builder=builder,
        arguments=json.dumps(dict(arguments or {}), sort_keys=True),
        size=size,
        in_channels=channels,
        out_channels=made.shape[1],
        norm=norm,
        stride=stride,
        least=_least(graph, channels, stride, size),
        widths=widths,
        distilled=_distilled(graph, places),
        decomposed=separable[0] if separable else (),
        dense=costs_of(graph, places),
        separable=costs_of(separable[1], _same_places(places, graph, separable[1])) if separable else None,
    )


def by_groups(spec: GeneratorSpec) -> GeneratorSpec:
    """*spec*'s generator as a network that has a width for each of its groups, so that each can be narrowed alone.

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
    )


def _vanishing(graph: Graph) -> Iterator[int]:
    """The free groups that may have no channels left: all that makes them lies in a module that does without (its
    attribute `vanishes`)."""
    modules = dict(graph.network.named_modules())
    for at, group in enumerate(graph.free):
        makers = [call.module for call, layout in graph.groups.producers if group in dict(resolved(layout))]
        if all(any(getattr(modules[name], "vanishes", False) for name in _with_owners(maker)) for maker in makers):
            yield at


def _with_owners(module: str) -> Iterator[str]:
    """The name of a module, and of those that it is part of."""
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
    """One width a group; of like groups in a row (as many channels, names that differ in numbers) at most `PARTS`."""

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


# --- costs -------------------------------------------------------------------------------------


def costs_of(graph: Graph, places: Mapping[Group, int], owned: str | None = None) -> Costs:
    """Parameters and multiply-accumulates of the network for one picture, in the widths at *places*.

    Of *owned* alone, where it names a module: what that itself has and calls.
    """
    params, macs, paper = Counter[tuple[int, ...]](), Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for name, parameter in graph.network.named_parameters():
        if owned is None or name.rpartition(".")[0] == owned:
            params.update(_product(parameter.shape, graph.weights.get(name, {}), places))
    for call in graph.tape.calls:
        if owned is None or call.module == owned:
            macs.update(_exact(graph, call, places))
            paper.update(_paper(graph, call, places))
    return Costs(params=polynomial_of(params), macs=polynomial_of(macs), macs_paper=polynomial_of(paper))


def _exact(graph: Graph, call: Call, places: Mapping[Group, int]) -> Terms:
    """Multiply-accumulates of one call for one picture, every convolution where it multiplies."""
    weight = _weight(call)
    if call.name in CONVOLUTIONS and weight:
        return _times(_of_weight(graph, weight, places), prod(call.outputs[0].shape[2:]))
    if call.name in TRANSPOSED and weight:
        return _times(_of_weight(graph, weight, places), prod(call.args[0].shape[2:]))
    if call.name == "linear" and weight:
        return _times(_of_weight(graph, weight, places), prod(call.args[0].shape[1:-1]))
    if call.name in ("matmul", "bmm") and all(isinstance(value, Value) for value in call.args[:2]):
        over = call.args[0]
        shape = (*call.outputs[0].shape[1:], over.shape[-1])
        dims = {at - 1: layout for at, layout in graph.groups.dims(call.outputs[0]).items() if at}
        summed = graph.groups.dims(over).get(len(over.shape) - 1)
        return _product(shape, dims | ({len(shape) - 1: summed} if summed else {}), places)
    return {}


def _paper(graph: Graph, call: Call, places: Mapping[Group, int]) -> Terms:
    """The same as *GAN Compression* counts (`gancomp.measure.macs`)."""
    weight = _weight(call)
    if call.name in TRANSPOSED and weight:
        return _times(_of_weight(graph, weight, places), prod(call.outputs[0].shape[2:]))
    if call.name == "instance_norm":
        written = call.outputs[0]
        dims = {at - 1: layout for at, layout in graph.groups.dims(written).items() if at}
        return _product(written.shape[1:], dims, places)
    return _exact(graph, call, places)


def _weight(call: Call) -> Weight | None:
    weight = call.args[1] if len(call.args) > 1 else call.kwargs.get("weight")
    return weight if isinstance(weight, Weight) else None


def _of_weight(graph: Graph, weight: Weight, places: Mapping[Group, int]) -> Terms:
    return _product(weight.shape, graph.weights.get(weight.name, {}), places)


def _product(shape: Sequence[int], dims: Dims, places: Mapping[Group, int]) -> Terms:
    """How many elements a tensor of *shape* has, whose dimensions *dims* are governed."""
    product: Terms = {(): prod(size for at, size in enumerate(shape) if at not in dims)}
    for layout in dims.values():
        product = _multiplied(product, _sum(layout, places))
    return product


def _sum(layout: Layout, places: Mapping[Group, int]) -> Terms:
    total = Counter[tuple[int, ...]]()
    for group, factor in layout:
        total.update({(places[group],): factor} if group in places else {(): group.full * factor})
    return total


def _multiplied(one: Terms, other: Terms) -> Terms:
    product = Counter[tuple[int, ...]]()
    for (a, times), (b, others) in itertools.product(one.items(), other.items()):
        product[tuple(sorted(a + b))] += times * others
    return product


def _times(terms: Terms, times: int) -> Terms:
    return {widths: own * times for widths, own in terms.items()}


# --- what is distilled, and what is decomposed -------------------------------------------------


def _distilled(graph: Graph, places: Mapping[Group, int]) -> tuple[str, ...]:
    """The modules whose outputs lie nearest to even parts of the exact MACs: of the trunk, if that has enough.

    Activations (n, c, h, w) alone, but neither inputs nor pictures, and by the outermost module that returns them; of
    a network of few such, fewer.
    """
    full = {place: group.full for group, place in places.items()}
    done, so_far = [], 0
    for call in graph.tape.calls:
        terms = _exact(graph, call, places)
        so_far += sum(times * prod(full[at] for at in widths) for widths, times in terms.items())
        done.append(so_far)
    made = {value: at for at, call in enumerate(graph.tape.calls) for value in call.outputs}
    named: dict[Value, str] = {}
    for name, values in sorted(graph.tape.modules.items(), key=lambda one: one[0].count(".")):
        if name and len(values) == 1 and values[0] in made and len(values[0].shape) == 4:
            layout = graph.groups.dims(values[0]).get(1, [])
            if any(not group.reason.endswith(GIVEN) for group, _ in layout):
                named.setdefault(values[0], name)
    if not named:
        raise GancompError(
            "no module of the network returns an activation between its input and its pictures, so that there is "
            "nothing to distil; make a module of what lies between its convolutions"
        )
    branches = _branches(graph)
    trunk = {value: name for value, name in named.items() if made[value] not in branches}
    places_of = trunk if len(trunk) >= DISTILLED - 1 else named
    found = [(done[made[value]], made[value], name) for value, name in places_of.items()]
    chosen: dict[str, None] = {}
    for part in range(1, DISTILLED):
        nearest = min(found, key=lambda one: (abs(one[0] - so_far * part / DISTILLED), -one[1]))
        chosen.setdefault(nearest[2])
    return tuple(chosen)


def _separable(graph: Graph, norm: Norm, shape: tuple[int, int, int]) -> tuple[tuple[str, ...], Graph] | None:
    """The convolutions to decompose, and the groups of the network where they are; None where that does not go."""
    names = _decomposed(graph)
    if not names:
        return None
    whole = copy.deepcopy(graph.network)
    decompose(whole, names, norm)
    try:
        other = read_graph(whole, shape)
    except GancompError:
        return None
    same = [group.full for group in graph.free] == [group.full for group in other.free]
    return (names, other) if same else None


def _decomposed(graph: Graph) -> tuple[str, ...]:
    """The 3x3 or larger convolutions of stride 1 in residual branches."""
    found: dict[str, None] = {}
    for at in sorted(_branches(graph)):
        call = graph.tape.calls[at]
        layer = graph.network.get_submodule(call.module)
        if call.name == "conv2d" and type(layer) is nn.Conv2d and layer.groups == 1 and set(layer.stride) == {1}:
            found |= {call.module: None} if min(layer.kernel_size) >= 3 else {}
    return tuple(found)


def _branches(graph: Graph) -> set[int]:
    """The calls in residual branches: between a value and its addition to what was made of it. The network's input does
    not begin one."""
    calls = graph.tape.calls
    made = {value: at for at, call in enumerate(calls) for value in call.outputs}
    reads = [{made[value] for value in call.inputs() if value in made} for call in calls]
    within: set[int] = set()
    for at, call in enumerate(calls):
        if call.name in ("add", "iadd", "radd") and len(reads[at]) == 2:
            one, other = sorted(reads[at])
            within |= _between(reads, one, other) - {one}
    return within


def _between(reads: Sequence[set[int]], first: int, last: int) -> set[int]:
    """The calls that depend on call *first* and that call *last* depends on, *first* among them if there are any."""
    depend = {first}
    for at in range(first + 1, last + 1):
        if reads[at] & depend:
            depend.add(at)
    if last not in depend:
        return set()
    needed = {last}
    for at in range(last, first, -1):
        if at in needed:
            needed |= {place for place in reads[at] if place in depend}
    return needed


# --- sizes -------------------------------------------------------------------------------------


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


def _stride(graph: Graph, channels: int, size: tuple[int, int]) -> int:
    """The least power of two whose multiples are sizes of pictures that the network makes of their like; both sides'
    common divisor where it knows its own size alone."""
    for stride in _strides(size):
        height, width = (side if side // stride % 2 else side + stride for side in size)
        if _runs(graph, channels, (height, width)):
            return stride
    return gcd(*size)


def _least(graph: Graph, channels: int, stride: int, size: tuple[int, int]) -> int:
    """The least multiple of *stride* that runs as a side, tried in doublings."""
    side = stride
    while side < min(size) and not _runs(graph, channels, (side, side)):
        side *= 2
    return min(side, min(size))
