"""Rules for functions that move channels: joining, splitting, reshaping, and taking parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING

from gancomp.elastic.layouts import Dims, divided, equal_parts, freeze, join, single
from gancomp.elastic.tape import Call, Value

if TYPE_CHECKING:
    from gancomp.elastic.groups import Groups


def cat(groups: Groups, call: Call) -> None:
    tensors = list(call.argument(0, "tensors"))
    written = call.outputs[0]
    dim = call.argument(1, "dim", call.kwargs.get("axis", 0)) % len(written.shape)
    result: Dims = {}
    for at in range(1, len(written.shape)):
        own = [groups.dims(tensor).get(at) if isinstance(tensor, Value) else None for tensor in tensors]
        if not any(own):
            continue
        if at == dim:
            result[at] = [
                piece
                for tensor, layout in zip(tensors, own, strict=True)
                for piece in layout or single(tensor.shape[at], f"{call.place} joins a fixed tensor")
            ]
            continue
        layout = next(layout for layout in own if layout)
        for other in own:
            if other is None:
                freeze(layout, f"{call.place} joins a fixed tensor")
            else:
                join(layout, other, f"{call.place} does not fit")
        result[at] = layout
    groups.values[written] = result


def chunk(groups: Groups, call: Call) -> None:
    x, count = call.args[0], call.argument(1, "chunks")
    dim = call.argument(2, "dim", 0) % len(x.shape)
    dims = groups.dims(x)
    if dim in dims:
        part = equal_parts(dims[dim], count, f"{call.place} divides unevenly")
        dims = {**dims, dim: part}
    for value in call.outputs:
        groups.values[value] = dict(dims)


def pixel_shuffle(groups: Groups, call: Call) -> None:
    x, factor = call.args[0], call.argument(1, "upscale_factor")
    layout = groups.dims(x).get(1)
    groups.values[call.outputs[0]] = {1: divided(layout, factor**2, f"{call.place} does not fit")} if layout else {}


def pixel_unshuffle(groups: Groups, call: Call) -> None:
    x, factor = call.args[0], call.argument(1, "downscale_factor")
    layout = groups.dims(x).get(1) or []
    groups.values[call.outputs[0]] = {1: [(group, times * factor**2) for group, times in layout]}


def reshape(groups: Groups, call: Call) -> None:
    x, written = call.args[0], call.outputs[0]
    dims = groups.own(x)
    given = call.args[1] if len(call.args) == 2 and isinstance(call.args[1], (tuple, list)) else call.args[1:]
    open_dim = list(given).index(-1) if call.name in ("view", "reshape") and -1 in given else None
    groups.values[written] = {}
    for old, new in _blocks(x.shape, written.shape):
        governed = [at for at in old if at in dims]
        if not governed:
            continue
        layout = dims[governed[0]]
        leading = all(x.shape[at] == 1 for at in old if at < governed[0])
        if len(governed) > 1 or not leading:
            for at in governed:
                freeze(dims[at], f"{call.place} mixes channels with other dimensions")
            continue
        layout = [(group, times * prod(x.shape[at] for at in old if at != governed[0])) for group, times in layout]
        wide = [at for at in new if written.shape[at] != 1]
        if len(wide) <= 1:
            groups.values[written][wide[0] if wide else new[0]] = layout
        elif open_dim == wide[0] or (open_dim is None and call.name == "unflatten"):
            inner = prod(written.shape[at] for at in wide[1:])
            groups.values[written][wide[0]] = divided(layout, inner, f"{call.place} does not fit")
        elif len(wide) == 2:
            part = equal_parts(layout, written.shape[wide[0]], f"{call.place} does not fit")
            groups.values[written][wide[1]] = part
        else:
            freeze(layout, f"{call.place} does not fit")


def permute(groups: Groups, call: Call) -> None:
    x = call.args[0]
    order = call.args[1] if isinstance(call.argument(1, "dims"), (tuple, list)) else call.args[1:]
    order = [at % len(x.shape) for at in (order or call.kwargs["dims"])]
    dims = groups.own(x)
    groups.values[call.outputs[0]] = {new: dims[old] for new, old in enumerate(order) if old in dims}


def transpose(groups: Groups, call: Call) -> None:
    x, one, other = call.args[0], call.argument(1, "dim0"), call.argument(2, "dim1")
    order = list(range(len(x.shape)))
    order[one], order[other] = order[other], order[one]
    dims = groups.own(x)
    groups.values[call.outputs[0]] = {new: dims[old] for new, old in enumerate(order) if old in dims}


def expand(groups: Groups, call: Call) -> None:
    x, written = call.args[0], call.outputs[0]
    dims, shift = groups.own(x), len(written.shape) - len(x.shape)
    groups.values[written] = {at + shift: layout for at, layout in dims.items()}


def getitem(groups: Groups, call: Call) -> None:
    x, index = call.args[0], call.args[1]
    index = list(index) if isinstance(index, tuple) else [index]
    dims = groups.dims(x) if isinstance(x, Value) else {}
    whole = [one == slice(None) if isinstance(one, slice) else False for one in index]
    plain = all(isinstance(one, slice) for one in index)
    if not plain or any(at < len(whole) and not whole[at] for at in dims):
        groups.freeze_read(call, f"{call.place} takes channels by number")
        return
    groups.values[call.outputs[0]] = dims


def _blocks(old: Sequence[int], new: Sequence[int]) -> Iterable[tuple[list[int], list[int]]]:
    """The smallest groups of dimensions of two shapes of one tensor that have the same elements."""
    at = to = 0
    while at < len(old) or to < len(new):
        left, right = [], []
        mine = theirs = 1
        if at < len(old):
            left.append(at)
            mine, at = old[at], at + 1
        if to < len(new):
            right.append(to)
            theirs, to = new[to], to + 1
        while mine != theirs:
            if mine < theirs:
                left.append(at)
                mine, at = mine * old[at], at + 1
            else:
                right.append(to)
                theirs, to = theirs * new[to], to + 1
        yield left, right
