"""Rules for layers that make channels, convolutions and linear layers, and for products of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancomp.elastic.layouts import Layout, equal_parts, freeze, join, length, single
from gancomp.elastic.tape import Call, Constant, Value, Weight

if TYPE_CHECKING:
    from gancomp.elastic.groups import Groups

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
TRANSPOSED = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}


def convolution(groups: Groups, call: Call) -> None:
    transposed = call.name in TRANSPOSED
    x, weight = call.args[0], call.argument(1, "weight")
    bias = call.argument(2, "bias")
    count = call.argument(6, "groups", 1)
    inputs = groups.dims(x).get(1) if isinstance(x, Value) else None
    written = call.outputs[0]
    if not isinstance(weight, Weight):
        groups.freeze_read(call, f"the weights of {call.place} are computed")
        return
    if inputs is None:
        inputs = single(weight.shape[0] if transposed else weight.shape[1] * count, "what it reads is fixed")
    channels = written.shape[1]
    if count > 1 and count == x.shape[1]:
        # Depthwise: its channels are the input's.
        times = channels // count
        outputs = [(group, factor * times) for group, factor in inputs]
        groups.govern(weight, 0, inputs if transposed else outputs)
    elif count > 1:
        part = equal_parts(inputs, count, f"{call.place} has {count} groups that do not fit")
        if length(part) * count != length(inputs):
            part = single(length(inputs) // count, f"{call.place} has {count} groups that do not fit")
        own: Layout = single(channels // count)
        outputs = own * count
        groups.govern(weight, 0, part * count if transposed else outputs)
        groups.govern(weight, 1, own if transposed else part)
    else:
        outputs = single(channels)
        groups.govern(weight, 1 if transposed else 0, outputs)
        groups.govern(weight, 0 if transposed else 1, inputs)
    # A weight that is used twice may have had its outputs' layout before.
    if not (count > 1 and count == x.shape[1]):
        groups.producers.append((call, outputs))
    if isinstance(bias, Weight):
        groups.govern(bias, 0, outputs)
    elif isinstance(bias, (Value, Constant)):
        freeze(outputs, f"the bias of {call.place} is computed")
    groups.values[written] = {1: outputs}


def linear(groups: Groups, call: Call) -> None:
    x, weight, bias = call.args[0], call.argument(1, "weight"), call.argument(2, "bias")
    dims = groups.dims(x) if isinstance(x, Value) else {}
    last = len(x.shape) - 1
    if not isinstance(weight, Weight):
        groups.freeze_read(call, f"the weights of {call.place} are computed")
        return
    outputs = single(weight.shape[0])
    groups.producers.append((call, outputs))
    groups.govern(weight, 0, outputs)
    groups.govern(weight, 1, dims.get(last) or single(weight.shape[1], "what it reads is fixed"))
    if isinstance(bias, Weight):
        groups.govern(bias, 0, outputs)
    groups.values[call.outputs[0]] = {**{dim: own for dim, own in dims.items() if dim != last}, last: outputs}


def matmul(groups: Groups, call: Call) -> None:
    x, y = call.args[0], call.args[1]
    if not (isinstance(x, Value) and isinstance(y, Value) and len(x.shape) == len(y.shape) >= 2):
        groups.freeze_read(call, f"{call.place} is not followed")
        return
    dims, others, last = groups.dims(x), groups.dims(y), len(x.shape) - 1
    over, under = dims.get(last), others.get(last - 1)
    if over and under:
        join(over, under, f"{call.place} does not fit")
    elif over or under:
        freeze(over or under or [], f"{call.place} multiplies with a fixed tensor")
    result = {at: layout for at, layout in dims.items() if at < last}
    groups.values[call.outputs[0]] = result | ({last: others[last]} if last in others else {})
