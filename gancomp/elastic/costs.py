"""MACs and parameters of a graph, as polynomials in its widths."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from gancomp.elastic.graph import BATCH, Graph
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
    if call.name in CONVOLUTIONS | TRANSPOSED | {"linear"}:
        return _multiplied_by(graph, call, _pixels(call), places)
    if call.name in ("matmul", "bmm") and all(isinstance(value, Value) for value in call.args[:2]):
        over = call.args[0]
        shape = (*call.outputs[0].shape[1:], over.shape[-1])
        dims = {at - 1: layout for at, layout in graph.groups.dims(call.outputs[0]).items() if at}
        summed = graph.groups.dims(over).get(len(over.shape) - 1)
        return _product(shape, dims | ({len(shape) - 1: summed} if summed else {}), places)
    return {(): _of_fixed(call) // BATCH}


def _pixels(call: Call) -> int:
    """Places of one picture, or of what stands for one, at which a layer's weights multiply."""
    if call.name == "linear":
        return prod(call.args[0].shape[1:-1])
    return prod((call.args[0] if call.name in TRANSPOSED else call.outputs[0]).shape[2:])


def _multiplied_by(graph: Graph, call: Call, pixels: int, places: Mapping[Group, int]) -> Terms:
    """The weights of a layer, once for each of *pixels*. Weights that are computed are of fixed size, and the pictures
    of a batch may be in the channels of one (modulated convolutions)."""
    weight = call.argument(1, "weight")
    if isinstance(weight, Weight):
        return _times(_product(weight.shape, graph.weights.get(weight.name, {}), places), pixels)
    return {(): prod(weight.shape) * pixels * call.args[0].shape[0] // BATCH}


def _of_fixed(call: Call) -> int:
    """Multiply-accumulates of a product that no rule follows, so that all its sizes are fixed, for a whole batch."""
    shapes: list[tuple[int, ...]] = [tensor.shape for tensor in call.inputs()]
    if call.name in ("matmul", "bmm", "mm", "baddbmm", "addmm", "rmatmul") and call.outputs:
        return prod(call.outputs[0].shape) * shapes[-2 if call.name != "rmatmul" else -1][-1]
    if call.name == "scaled_dot_product_attention":
        query, key, value = shapes[:3]
        return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    if call.name == "einsum" and isinstance(call.args[0], str):
        sizes: dict[str, int] = {}
        for letters, shape in zip(call.args[0].split("->")[0].replace(" ", "").split(","), shapes, strict=True):
            # Letters after an ellipsis name the last dimensions.
            before, _, after = letters.partition("...")
            sizes |= dict(zip(before, shape, strict=False)) | dict(zip(reversed(after), reversed(shape), strict=False))
            sizes["..."] = max(sizes.get("...", 1), prod(shape[len(before) : len(shape) - len(after)]))
        return prod(sizes.values()) if len(shapes) > 1 else 0
    return 0


def _paper(graph: Graph, call: Call, places: Mapping[Group, int]) -> Terms:
    """The same as *GAN Compression* counts (`gancomp.measure.macs`)."""
    if call.name in TRANSPOSED:
        return _multiplied_by(graph, call, prod(call.outputs[0].shape[2:]), places)
    if call.name == "instance_norm":
        written = call.outputs[0]
        dims = {at - 1: layout for at, layout in graph.groups.dims(written).items() if at}
        return _product(written.shape[1:], dims, places)
    return exact_macs(graph, call, places)


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
