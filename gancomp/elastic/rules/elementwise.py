"""Rules for functions that keep the channels of a dimension: elementwise, spatial, norms, and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gancomp.elastic.layouts import Layout, equal_parts, freeze, join
from gancomp.elastic.tape import Call, Constant, Value, Weight

if TYPE_CHECKING:
    from gancomp.elastic.groups import Groups


def elementwise(groups: Groups, call: Call) -> None:
    reason = f"{call.place} does not fit"
    for value in call.outputs:
        groups.values[value] = {}
        for dim in range(1, len(value.shape)):
            layout = broadcast(groups, call, value, dim, reason)
            if layout is not None:
                groups.values[value][dim] = layout


def broadcast(groups: Groups, call: Call, value: Value, dim: int, reason: str) -> Layout | None:
    """The layout of *value*'s dimension, to which all operands of that size are joined."""
    size = value.shape[dim]
    found: Layout | None = None
    rest: list[Any] = []
    for tensor in call.inputs():
        own = dim - len(value.shape) + len(tensor.shape)
        if own < 0 or tensor.shape[own] != size or size == 1:
            continue
        layout = groups.dims(tensor).get(own) if isinstance(tensor, Value) else None
        if layout is None:
            rest.append((tensor, own))
        elif found is None:
            found = layout
        else:
            join(found, layout, reason)
    if found is None:
        weight = next((one for one in rest if isinstance(one[0], Weight)), None)
        found = groups.own(weight[0])[weight[1]] if weight else None
    if found is None:
        return None
    for tensor, own in rest:
        if isinstance(tensor, Weight):
            groups.govern(tensor, own, found)
        else:
            freeze(found, f"{call.place} uses a tensor of as many channels that is fixed")
    return found


def spatial(groups: Groups, call: Call) -> None:
    x = call.args[0] if call.args else call.kwargs.get("input")
    if not isinstance(x, Value) or any(value.shape[:2] != x.shape[:2] for value in call.outputs):
        groups.freeze_read(call, f"{call.place} changes channels")
        return
    for value in call.outputs:
        groups.values[value] = {dim: layout for dim, layout in groups.dims(x).items() if dim < 2}


def norm(groups: Groups, call: Call) -> None:
    x = call.args[0] if call.args else call.kwargs["input"]
    layout = groups.dims(x).get(1)
    groups.values[call.outputs[0]] = groups.dims(x)
    for tensor in call.inputs()[1:]:
        if layout is not None and isinstance(tensor, Weight):
            groups.govern(tensor, 0, layout)
        elif layout is not None:
            freeze(layout, f"{call.place} uses statistics or scales that are computed")


def prelu(groups: Groups, call: Call) -> None:
    x, weight = call.args[0], call.argument(1, "weight")
    layout = groups.dims(x).get(1)
    groups.values[call.outputs[0]] = groups.dims(x)
    if layout is not None and isinstance(weight, Weight) and weight.shape[0] > 1:
        groups.govern(weight, 0, layout)


def group_norm(groups: Groups, call: Call) -> None:
    x, count = call.args[0], call.argument(1, "num_groups")
    layout = groups.dims(x).get(1)
    if layout is not None:
        equal_parts(layout, count, f"{call.place} has {count} groups that do not fit")
    norm(groups, call)


def layer_norm(groups: Groups, call: Call) -> None:
    x, shape = call.args[0], call.argument(1, "normalized_shape")
    dims = groups.dims(x)
    groups.values[call.outputs[0]] = dims
    first = len(x.shape) - len(shape)
    for dim, layout in dims.items():
        if dim >= first:
            freeze(layout, f"{call.place} names its shape")


def reduction(groups: Groups, call: Call) -> None:
    x = call.args[0]
    dim, keep = call.argument(1, "dim", None), bool(call.kwargs.get("keepdim", False))
    keep = keep or any(argument is True for argument in call.args[2:])
    dims = groups.dims(x) if isinstance(x, Value) else {}
    if isinstance(dim, (Value, Constant, Weight)):  # torch.max(a, b)
        elementwise(groups, call)
        return
    if dim is None:
        gone = set(range(len(x.shape)))
    else:
        gone = {one % len(x.shape) for one in ([dim] if isinstance(dim, int) else dim)}
    places = [at for at in range(len(x.shape)) if keep or at not in gone]
    for value in call.outputs:
        kept = {new: dims[old] for new, old in enumerate(places) if old in dims and old not in gone}
        groups.values[value] = kept if len(value.shape) == len(places) else {}
