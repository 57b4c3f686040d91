"""Width groups: which channels of a network can be narrowed, and which tensors follow them, read from its tape.

There is one rule for each function that a network may call. An unsupported call freezes the groups that it reads,
with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from torch import nn

from gancomp.elastic.layouts import Dims, Group, Layout, divided, equal_parts, freeze, join, length, resolved
from gancomp.elastic.tape import Call, Constant, Tape, Value, Weight

#: Functions that keep every dimension and do not mix channels of one input.
SAME = {
    *("relu", "relu6", "leaky_relu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
    *("hardtanh", "hardsigmoid", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid", "tanhshrink", "threshold"),
    *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
    *("clamp", "clip", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "negative", "square", "pow", "sin", "cos", "erf"),
    *("reciprocal", "sign", "round", "floor", "ceil", "nan_to_num", "identity", "detach", "clone", "contiguous"),
    *("to", "type", "float", "half", "double", "bfloat16", "type_as", "requires_grad", "zeros_like", "ones_like"),
    *("rand_like", "randn_like", "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide"),
    *("iadd", "isub", "imul", "itruediv", "radd", "rsub", "rmul", "rtruediv", "truediv", "maximum", "minimum"),
    *("lerp", "where", "addcmul", "addcdiv", "eq", "ne", "gt", "lt", "ge", "le", "softmax", "log_softmax", "copy"),
}
#: Functions that change rows and columns alone.
SPATIAL = {
    *("pad", "interpolate", "upsample", "upsample_nearest", "upsample_bilinear", "grid_sample", "max_pool2d"),
    *("boolean_dispatch", "fn", "avg_pool2d", "lp_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    *("max_pool2d_with_indices", "adaptive_max_pool2d_with_indices"),
}
REDUCTIONS = {"mean", "sum", "amax", "amin", "var", "std", "norm", "max", "min", "logsumexp"}
RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
TRANSPOSED = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
#: The end of the reason for which a picture's channels are frozen.
GIVEN = "are given"


class Groups:
    """Layouts of every value and weight of *tape*.

    `weights` holds the layouts of a weight's governed dimensions, `values` those of an activation. The picture's
    channels are frozen at both ends.
    """

    def __init__(self, network: nn.Module, tape: Tape, outputs: Sequence[Value]) -> None:
        self.network = network
        self.values: dict[Value, Dims] = {}
        self.weights: dict[str, Dims] = {}
        #: Calls that make a group's channels, in order of execution.
        self.producers: list[tuple[Call, Layout]] = []
        for value in tape.inputs:
            self.values[value] = {1: [(Group(value.shape[1], f"the input's channels {GIVEN}"), 1)]}
        for call in tape.calls:
            if call.outputs:
                self._read(call)
        made = {group for _, layout in self.producers for group, _ in resolved(layout)}
        for dims in self.weights.values():
            for layout in dims.values():
                freeze([piece for piece in resolved(layout) if piece[0] not in made], "no layer makes these channels")
        for value in outputs:
            for layout in self.values.get(value, {}).values():
                freeze(layout, f"the output's channels {GIVEN}")
        named: set[Group] = set()
        for call, layout in self.producers:  # a group is called after the first layer that makes it
            for group, _ in resolved(layout):
                if group not in named:
                    group.name = call.module or call.name
                    named.add(group)

    def dims(self, tensor: Any) -> Dims:
        """Layouts of a value or weight, in groups that are neither joined nor split."""
        known = self.values.get(tensor, {}) if isinstance(tensor, Value) else self.weights.get(tensor.name, {})
        return {dim: resolved(layout) for dim, layout in known.items()}

    def _own(self, tensor: Any) -> Dims:
        """Layouts of a tensor that is read; a weight's dimensions are groups from here on, which others may join."""
        if isinstance(tensor, Weight):
            known = self.weights.setdefault(tensor.name, {})
            for dim, size in enumerate(tensor.shape):
                if size > 1 and dim not in known:
                    known[dim] = self._made(size)
        return self.dims(tensor) if isinstance(tensor, (Value, Weight)) else {}

    # Reading calls

    def _read(self, call: Call) -> None:
        rule = getattr(self, f"_{call.name}", None)
        if call.name in SAME:
            self._elementwise(call)
        elif call.name in SPATIAL:
            self._spatial(call)
        elif call.name in REDUCTIONS:
            self._reduction(call)
        elif call.name in RESHAPES:
            self._reshape(call)
        elif call.name in CONVOLUTIONS | TRANSPOSED:
            self._convolution(call, transposed=call.name in TRANSPOSED)
        elif rule is not None:
            rule(call)
        else:
            self._unknown(call, f"{_at(call)} is not followed")

    def _unknown(self, call: Call, reason: str) -> None:
        """Freeze the groups that *call* reads; its outputs have no layout, so their channels are fixed."""
        for tensor in call.inputs():
            if isinstance(tensor, (Value, Weight)):
                for layout in self.dims(tensor).values():
                    freeze(layout, reason)
        for value in call.outputs:
            self.values[value] = {}

    def _fixed(self, size: int, reason: str) -> Layout:
        return [(Group(size, reason), 1)]

    def _govern(self, weight: Weight, dim: int, layout: Layout) -> None:
        """*layout* is that of a weight's dimension; where the weight is used again, both uses are joined."""
        known = self.weights.setdefault(weight.name, {})
        if dim in known:
            join(known[dim], layout, f"{weight.name} is used twice")
        else:
            known[dim] = layout

    def _elementwise(self, call: Call) -> None:
        reason = f"{_at(call)} does not fit"
        for value in call.outputs:
            self.values[value] = {}
            for dim in range(1, len(value.shape)):
                layout = self._broadcast(call, value, dim, reason)
                if layout is not None:
                    self.values[value][dim] = layout

    def _broadcast(self, call: Call, value: Value, dim: int, reason: str) -> Layout | None:
        """The layout of *value*'s dimension, to which all operands of that size are joined."""
        size = value.shape[dim]
        found: Layout | None = None
        rest: list[Any] = []
        for tensor in call.inputs():
            own = dim - len(value.shape) + len(tensor.shape)
            if own < 0 or tensor.shape[own] != size or size == 1:
                continue
            layout = self.dims(tensor).get(own) if isinstance(tensor, Value) else None
            if layout is None:
                rest.append((tensor, own))
            elif found is None:
                found = layout
            else:
                join(found, layout, reason)
        if found is None:
            weight = next((one for one in rest if isinstance(one[0], Weight)), None)
            found = self._own(weight[0])[weight[1]] if weight else None
        if found is None:
            return None
        for tensor, own in rest:
            if isinstance(tensor, Weight):
                self._govern(tensor, own, found)
            else:
                freeze(found, f"{_at(call)} uses a tensor of as many channels that is fixed")
        return found

    def _spatial(self, call: Call) -> None:
        x = call.args[0] if call.args else call.kwargs.get("input")
        if not isinstance(x, Value) or any(value.shape[:2] != x.shape[:2] for value in call.outputs):
            self._unknown(call, f"{_at(call)} changes channels")
            return
        for value in call.outputs:
            self.values[value] = {dim: layout for dim, layout in self.dims(x).items() if dim < 2}

    _instance_norm = _batch_norm = lambda self, call: self._norm(call)

    def _norm(self, call: Call) -> None:
        x = call.args[0] if call.args else call.kwargs["input"]
        layout = self.dims(x).get(1)
        self.values[call.outputs[0]] = self.dims(x)
        for tensor in call.inputs()[1:]:
            if layout is not None and isinstance(tensor, Weight):
                self._govern(tensor, 0, layout)
            elif layout is not None:
                freeze(layout, f"{_at(call)} uses statistics or scales that are computed")

    def _prelu(self, call: Call) -> None:
        x, weight = call.args[0], _argument(call, 1, "weight")
        layout = self.dims(x).get(1)
        self.values[call.outputs[0]] = self.dims(x)
        if layout is not None and isinstance(weight, Weight) and weight.shape[0] > 1:
            self._govern(weight, 0, layout)

    def _group_norm(self, call: Call) -> None:
        x, count = call.args[0], _argument(call, 1, "num_groups")
        layout = self.dims(x).get(1)
        if layout is not None:
            equal_parts(layout, count, f"{_at(call)} has {count} groups that do not fit")
        self._norm(call)

    def _layer_norm(self, call: Call) -> None:
        x, shape = call.args[0], _argument(call, 1, "normalized_shape")
        dims = self.dims(x)
        self.values[call.outputs[0]] = dims
        first = len(x.shape) - len(shape)
        for dim, layout in dims.items():
            if dim >= first:
                freeze(layout, f"{_at(call)} names its shape")

    def _convolution(self, call: Call, *, transposed: bool) -> None:
        x, weight = call.args[0], _argument(call, 1, "weight")
        bias = _argument(call, 2, "bias")
        count = _argument(call, 6, "groups", 1)
        inputs = self.dims(x).get(1) if isinstance(x, Value) else None
        written = call.outputs[0]
        if not isinstance(weight, Weight):
            self._unknown(call, f"the weights of {_at(call)} are computed")
            return
        if inputs is None:
            inputs = self._fixed(weight.shape[0] if transposed else weight.shape[1] * count, "what it reads is fixed")
        channels = written.shape[1]
        if count > 1 and count == x.shape[1]:
            # Depthwise: its channels are the input's.
            times = channels // count
            outputs = [(group, factor * times) for group, factor in inputs]
            self._govern(weight, 0, inputs if transposed else outputs)
        elif count > 1:
            part = equal_parts(inputs, count, f"{_at(call)} has {count} groups that do not fit")
            if length(part) * count != length(inputs):
                part = self._fixed(length(inputs) // count, f"{_at(call)} has {count} groups that do not fit")
            own: Layout = self._made(channels // count)
            outputs = own * count
            self._govern(weight, 0, part * count if transposed else outputs)
            self._govern(weight, 1, own if transposed else part)
        else:
            outputs = self._made(channels)
            self._govern(weight, 1 if transposed else 0, outputs)
            self._govern(weight, 0 if transposed else 1, inputs)
        # A weight that is used twice may have had its outputs' layout before.
        if not (count > 1 and count == x.shape[1]):
            self.producers.append((call, outputs))
        if isinstance(bias, Weight):
            self._govern(bias, 0, outputs)
        elif isinstance(bias, (Value, Constant)):
            freeze(outputs, f"the bias of {_at(call)} is computed")
        self.values[written] = {1: outputs}

    def _made(self, channels: int) -> Layout:
        return [(Group(channels), 1)]

    def _linear(self, call: Call) -> None:
        x, weight, bias = call.args[0], _argument(call, 1, "weight"), _argument(call, 2, "bias")
        dims = self.dims(x) if isinstance(x, Value) else {}
        last = len(x.shape) - 1
        if not isinstance(weight, Weight):
            self._unknown(call, f"the weights of {_at(call)} are computed")
            return
        outputs = self._made(weight.shape[0])
        self.producers.append((call, outputs))
        self._govern(weight, 0, outputs)
        self._govern(weight, 1, dims.get(last) or self._fixed(weight.shape[1], "what it reads is fixed"))
        if isinstance(bias, Weight):
            self._govern(bias, 0, outputs)
        self.values[call.outputs[0]] = {**{dim: own for dim, own in dims.items() if dim != last}, last: outputs}

    def _cat(self, call: Call) -> None:
        tensors = list(_argument(call, 0, "tensors"))
        written = call.outputs[0]
        dim = _argument(call, 1, "dim", call.kwargs.get("axis", 0)) % len(written.shape)
        result: Dims = {}
        for at in range(1, len(written.shape)):
            own = [self.dims(tensor).get(at) if isinstance(tensor, Value) else None for tensor in tensors]
            if not any(own):
                continue
            if at == dim:
                result[at] = [
                    piece
                    for tensor, layout in zip(tensors, own, strict=True)
                    for piece in layout or self._fixed(tensor.shape[at], f"{_at(call)} joins a fixed tensor")
                ]
                continue
            layout = next(layout for layout in own if layout)
            for other in own:
                if other is None:
                    freeze(layout, f"{_at(call)} joins a fixed tensor")
                else:
                    join(layout, other, f"{_at(call)} does not fit")
            result[at] = layout
        self.values[written] = result

    _concat = _concatenate = _cat

    def _chunk(self, call: Call) -> None:
        x, count = call.args[0], _argument(call, 1, "chunks")
        dim = _argument(call, 2, "dim", 0) % len(x.shape)
        dims = self.dims(x)
        if dim in dims:
            part = equal_parts(dims[dim], count, f"{_at(call)} divides unevenly")
            dims = {**dims, dim: part}
        for value in call.outputs:
            self.values[value] = dict(dims)

    def _pixel_shuffle(self, call: Call) -> None:
        x, factor = call.args[0], _argument(call, 1, "upscale_factor")
        layout = self.dims(x).get(1)
        self.values[call.outputs[0]] = {1: divided(layout, factor**2, f"{_at(call)} does not fit")} if layout else {}

    def _pixel_unshuffle(self, call: Call) -> None:
        x, factor = call.args[0], _argument(call, 1, "downscale_factor")
        layout = self.dims(x).get(1) or []
        self.values[call.outputs[0]] = {1: [(group, times * factor**2) for group, times in layout]}

    def _reduction(self, call: Call) -> None:
        x = call.args[0]
        dim, keep = _argument(call, 1, "dim", None), bool(call.kwargs.get("keepdim", False))
        keep = keep or any(argument is True for argument in call.args[2:])
        dims = self.dims(x) if isinstance(x, Value) else {}
        if isinstance(dim, (Value, Constant, Weight)):  # torch.max(a, b)
            self._elementwise(call)
            return
        if dim is None:
            gone = set(range(len(x.shape)))
        else:
            gone = {one % len(x.shape) for one in ([dim] if isinstance(dim, int) else dim)}
        places = [at for at in range(len(x.shape)) if keep or at not in gone]
        for value in call.outputs:
            kept = {new: dims[old] for new, old in enumerate(places) if old in dims and old not in gone}
            self.values[value] = kept if len(value.shape) == len(places) else {}

    def _reshape(self, call: Call) -> None:
        x, written = call.args[0], call.outputs[0]
        dims = self._own(x)
        given = call.args[1] if len(call.args) == 2 and isinstance(call.args[1], (tuple, list)) else call.args[1:]
        open_dim = list(given).index(-1) if call.name in ("view", "reshape") and -1 in given else None
        self.values[written] = {}
        for old, new in _blocks(x.shape, written.shape):
            governed = [at for at in old if at in dims]
            if not governed:
                continue
            layout = dims[governed[0]]
            leading = all(x.shape[at] == 1 for at in old if at < governed[0])
            if len(governed) > 1 or not leading:
                for at in governed:
                    freeze(dims[at], f"{_at(call)} mixes channels with other dimensions")
                continue
            layout = [(group, times * prod(x.shape[at] for at in old if at != governed[0])) for group, times in layout]
            wide = [at for at in new if written.shape[at] != 1]
            if len(wide) <= 1:
                self.values[written][wide[0] if wide else new[0]] = layout
            elif open_dim == wide[0] or (open_dim is None and call.name == "unflatten"):
                inner = prod(written.shape[at] for at in wide[1:])
                self.values[written][wide[0]] = divided(layout, inner, f"{_at(call)} does not fit")
            elif len(wide) == 2:
                part = equal_parts(layout, written.shape[wide[0]], f"{_at(call)} does not fit")
                self.values[written][wide[1]] = part
            else:
                freeze(layout, f"{_at(call)} does not fit")

    def _permute(self, call: Call) -> None:
        x = call.args[0]
        order = call.args[1] if isinstance(_argument(call, 1, "dims"), (tuple, list)) else call.args[1:]
        order = [at % len(x.shape) for at in (order or call.kwargs["dims"])]
        dims = self._own(x)
        self.values[call.outputs[0]] = {new: dims[old] for new, old in enumerate(order) if old in dims}

    def _transpose(self, call: Call) -> None:
        x, one, other = call.args[0], _argument(call, 1, "dim0"), _argument(call, 2, "dim1")
        order = list(range(len(x.shape)))
        order[one], order[other] = order[other], order[one]
        dims = self._own(x)
        self.values[call.outputs[0]] = {new: dims[old] for new, old in enumerate(order) if old in dims}

    _swapaxes = _swapdims = _transpose

    def _matmul(self, call: Call) -> None:
        x, y = call.args[0], call.args[1]
        if not (isinstance(x, Value) and isinstance(y, Value) and len(x.shape) == len(y.shape) >= 2):
            self._unknown(call, f"{_at(call)} is not followed")
            return
        dims, others, last = self.dims(x), self.dims(y), len(x.shape) - 1
        over, under = dims.get(last), others.get(last - 1)
        if over and under:
            join(over, under, f"{_at(call)} does not fit")
        elif over or under:
            freeze(over or under or [], f"{_at(call)} multiplies with a fixed tensor")
        result = {at: layout for at, layout in dims.items() if at < last}
        self.values[call.outputs[0]] = result | ({last: others[last]} if last in others else {})

    _bmm = _matmul

    def _expand(self, call: Call) -> None:
        x, written = call.args[0], call.outputs[0]
        dims, shift = self._own(x), len(written.shape) - len(x.shape)
        self.values[written] = {at + shift: layout for at, layout in dims.items()}

    _expand_as = _expand

    def _getitem(self, call: Call) -> None:
        x, index = call.args[0], call.args[1]
        index = list(index) if isinstance(index, tuple) else [index]
        dims = self.dims(x) if isinstance(x, Value) else {}
        whole = [one == slice(None) if isinstance(one, slice) else False for one in index]
        plain = all(isinstance(one, slice) for one in index)
        if not plain or any(at < len(whole) and not whole[at] for at in dims):
            self._unknown(call, f"{_at(call)} takes channels by number")
            return
        self.values[call.outputs[0]] = dims

    def free(self) -> list[Group]:
        """The groups that can be narrowed, in the order in which their channels are first made."""
        found: dict[Group, None] = {}
        for _, layout in self.producers:
            for group, _ in resolved(layout):
                if not group.reason:
                    found.setdefault(group)
        return list(found)

    def frozen(self) -> list[Group]:
        """The groups that are kept at full width, of those that a layer makes."""
        found: dict[Group, None] = {}
        for _, layout in self.producers:
            for group, _ in resolved(layout):
                if group.reason:
                    found.setdefault(group)
        return list(found)


def _at(call: Call) -> str:
    return f"{call.name} in {call.module}" if call.module else call.name


def _argument(call: Call, place: int, name: str, default: Any = None) -> Any:
    return call.args[place] if len(call.args) > place else call.kwargs.get(name, default)


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
