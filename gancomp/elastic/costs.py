"""MACs and parameters of a graph, as polynomials in its widths."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from gancomp.elastic.graph import Graph
from gancomp.elastic.layouts import Dims, Group, Layout
from gancomp.elastic.rules.layers import CONVOLUTIONS, TRANSPOSED
from gancomp.elastic.tape import Call, Value, Weight
from gancomp.network import Costs, polynomial_of

#: Sums of products of widths: the coefficient of each product (sorted positions).
Terms = dict[tuple[int, ...], int]


def costs_of(graph: Graph, places: Mapping[Group, int], owned: str | None = None) -> Costs:
    """Parameters and multiply-accumulates of the network for one picture, in the widths at *places*.

    If *owned* names a module, only those of that module's own tensors and calls.
    """
    params, macs, paper = Counter[tuple[int, ...]](), Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for name, parameter in graph.network.named_parameters():
        if owned is None or name.rpartition(".")[0] == owned:
            params.update(_product(parameter.shape, graph.weights.get(name, {}), places))
    for call in graph.tape.calls:
        if owned is None or call.module == owned:
            macs.update(exact_macs(graph, call, places))
            paper.update(_paper(graph, call, places))
    return Costs(params=polynomial_of(params), macs=polynomial_of(macs), macs_paper=polynomial_of(paper))


def exact_macs(graph: Graph, call: Call, places: Mapping[Group, int]) -> Terms:
    """Multiply-accumulates of one call for one picture, each convolution at the resolution at which it multiplies."""
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
    return exact_macs(graph, call, places)


def _weight(call: Call) -> Weight | None:
    weight = call.args[1] if len(call.args) > 1 else call.kwargs.get("weight")
    return weight if isinstance(weight, Weight) else None


def _of_weight(graph: Graph, weight: Weight, places: Mapping[Group, int]) -> Terms:
    return _product(weight.shape, graph.weights.get(weight.name, {}), places)


def _product(shape: Sequence[int], dims: Dims, places: Mapping[Group, int]) -> Terms:
    """Number of elements of a tensor of *shape*, in the widths that govern its dimensions *dims*."""
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
