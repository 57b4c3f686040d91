"""A network's width groups, verified by narrowing them, and the network at narrower widths."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gancomp.elastic.groups import Groups
from gancomp.elastic.layouts import Dims, Group, Layout, freeze, resolved
from gancomp.elastic.rules.layers import CONVOLUTIONS, TRANSPOSED
from gancomp.elastic.tape import Call, Tape, Value, record
from gancomp.errors import GancompError, first_line

#: Channels of each group, by group.
Sizes = Mapping[Group, int]

#: Two pictures, because a batch of one looks like an added dimension.
BATCH = 2


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls, groups and outputs of *network* (on the meta device, at full width)."""

    network: nn.Module
    tape: Tape
    outputs: tuple[Value, ...]
    groups: Groups

    @property
    def free(self) -> list[Group]:
        """Groups that can be narrowed, in order of execution."""
        return self.groups.free()

    @property
    def frozen(self) -> list[Group]:
        """Groups that a layer makes and that stay at full width, each with its reason."""
        return self.groups.frozen()

    @cached_property
    def weights(self) -> dict[str, Dims]:
        """Layouts of the governed dimensions of every weight and buffer, under each of its names."""
        first = {id(tensor): name for name, tensor in reversed(_tensors(self.network)) if name in self.groups.weights}
        named = {name: first.get(id(tensor)) for name, tensor in _tensors(self.network)}
        return {
            name: {dim: resolved(layout) for dim, layout in self.groups.weights[same].items()}
            for name, same in named.items()
            if same is not None
        }

    def sizes_of(self, shapes: Mapping[str, torch.Size]) -> dict[Group, int]:
        """The free groups' channels in the same network at other widths, whose tensors have *shapes*.

        Raises ValueError if the names differ, or if a tensor is larger than the whole's or does not fit the groups.
        """
        whole = dict(_tensors(self.network))
        if shapes.keys() != whole.keys():
            raise ValueError(f"topologies differ in {sorted(shapes.keys() ^ whole.keys())}")
        sizes: dict[Group, int] = {}
        for name, dims in self.weights.items():
            for dim, layout in dims.items():
                (group, _), total = layout[0], sum(factor for _, factor in layout)
                if not group.reason and all(other is group for other, _ in layout):
                    sizes.setdefault(group, shapes[name][dim] // total)
        for name, tensor in whole.items():
            if tensor.numel() == 0:
                continue  # of a branch that vanished: no call reads it, so no group governs it
            dims = self.weights.get(name, {})
            expected = [channels(dims[at], sizes) if at in dims else size for at, size in enumerate(tensor.shape)]
            if list(shapes[name]) != expected or any(a > b for a, b in zip(expected, tensor.shape, strict=True)):
                raise ValueError(f"{name}: {tuple(shapes[name])} where the groups make {tuple(expected)}")
        return sizes


def read_graph(network: nn.Module, shape: tuple[int, int, int]) -> Graph:
    """The groups of *network* for inputs of *shape* (channels, height, width).

    Runs on the meta device, in evaluation mode; *network* is not changed. Groups with which the network does not run
    at half their width are frozen. Raises GancompError if the network does not run on such inputs.
    """
    network = copy.deepcopy(network).to("meta").eval()
    for parameter in network.parameters():
        parameter.grad = None
    x = torch.empty(BATCH, *shape, device="meta")
    try:
        tape, outputs = record(network, x)
    except Exception as error:
        size = "x".join(map(str, shape))
        raise GancompError(f"the network does not run on pictures of {size} on the meta device: {error}") from error
    graph = Graph(network, tape, tuple(outputs), Groups(network, tape, outputs))
    while (free := graph.free) and _freeze_what_fails(graph, free, x):
        pass
    return graph


def _freeze_what_fails(graph: Graph, free: Sequence[Group], x: Tensor) -> bool:
    """Run the network with every free group at half its width; whether a group was frozen by what happened."""
    for group in free:
        if group.full == 1:
            freeze([(group, 1)], "it has one channel")
            return True
    sizes = {group: max(group.full // 2, 1) for group in free}
    narrow = resized(graph, sizes)
    again = Tape(narrow, x)
    reason = "does not run at other widths"
    try:
        with torch.no_grad(), again.recording():
            narrow(x)
    except Exception as error:
        reason = f"does not run at other widths ({first_line(error)[:120]})"
    for old, new in zip(graph.tape.calls, again.calls, strict=False):
        same = old.name == new.name and len(old.outputs) == len(new.outputs)
        if not same or any(
            expected_shape(graph, value, sizes) != other.shape
            for value, other in zip(old.outputs, new.outputs, strict=True)
        ):
            return _freeze_at(graph, old, free, reason if not new.outputs else "has channel numbers in its code")
    if len(graph.tape.calls) != len(again.calls):
        return _freeze_at(graph, graph.tape.calls[min(len(again.calls), len(graph.tape.calls)) - 1], free, reason)
    return False


def _freeze_at(graph: Graph, call: Call, free: Sequence[Group], reason: str) -> bool:
    """Freeze the groups that *call* reads and writes, or every free group if there are none."""
    at = f"{call.name} in {call.module}" if call.module else call.name
    layouts = [layout for tensor in call.inputs() for layout in _dims(graph, tensor)]
    layouts += [layout for value in call.outputs for layout in graph.groups.dims(value).values()]
    touched = {group for layout in layouts for group, _ in layout if not group.reason}
    for group in touched or free:
        freeze([(group, 1)], f"{at} {reason}")
    return True


def _dims(graph: Graph, tensor: object) -> list[Layout]:
    return (
        [] if not hasattr(tensor, "name") and not isinstance(tensor, Value) else [*graph.groups.dims(tensor).values()]
    )


def channels(layout: Layout, sizes: Sizes) -> int:
    """Channels of *layout* where the groups have *sizes* (others are whole)."""
    return sum(sizes.get(group, group.full) * factor for group, factor in layout)


def expected_shape(graph: Graph, value: Value, sizes: Sizes) -> tuple[int, ...]:
    """The shape of *value* where the groups have *sizes*."""
    shape = list(value.shape)
    for dim, layout in graph.groups.dims(value).items():
        shape[dim] = channels(layout, sizes)
    return tuple(shape)


def resized(graph: Graph, sizes: Sizes) -> nn.Module:
    """The network with groups of *sizes*, on the meta device: a skeleton that has shapes and no weights."""
    network = copy.deepcopy(graph.network)
    narrowed: dict[int, Tensor] = {}  # a tensor with two names stays one tensor
    for name, tensor in _tensors(network):
        dims = graph.weights.get(name, {})
        shape = [channels(dims[at], sizes) if at in dims else size for at, size in enumerate(tensor.shape)]
        if id(tensor) not in narrowed:
            narrow: Tensor = torch.empty(shape, dtype=tensor.dtype, device="meta")
            if isinstance(tensor, nn.Parameter):
                narrow = nn.Parameter(narrow, requires_grad=tensor.requires_grad)
            narrowed[id(tensor)] = narrow
        owner, _, own = name.rpartition(".")
        setattr(network.get_submodule(owner), own, narrowed[id(tensor)])
    for call in graph.tape.calls:
        if call.outputs:
            _tell(graph, network.get_submodule(call.module), call, sizes)
    return network


def _tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]


def _tell(graph: Graph, module: nn.Module, call: Call, sizes: Sizes) -> None:
    """Set the attributes of *module* that are numbers of channels of *call*."""
    read = call.args[0] if call.args else None
    made = call.outputs[0]

    def change(attribute: str, value: object, dim: int) -> None:
        if isinstance(value, Value) and getattr(module, attribute, None) == value.shape[dim]:
            setattr(module, attribute, expected_shape(graph, value, sizes)[dim])

    if call.name in CONVOLUTIONS | TRANSPOSED and isinstance(module, nn.modules.conv._ConvNd):
        change("in_channels", read, 1)
        change("out_channels", made, 1)
        if module.groups > 1:  # a depthwise one has as many groups as channels
            change("groups", read, 1)
    elif call.name == "linear" and isinstance(module, nn.Linear):
        change("in_features", read, -1)
        change("out_features", made, -1)
    elif call.name in ("batch_norm", "instance_norm"):
        change("num_features", read, 1)
    elif call.name == "group_norm":
        change("num_channels", read, 1)
    elif call.name == "prelu":
        change("num_parameters", read, 1)


def spans(layout: Layout) -> Iterator[tuple[int, Group, int]]:
    """(offset, group, factor) of the pieces of *layout* at full width."""
    offset = 0
    for group, factor in layout:
        yield offset, group, factor
        offset += group.full * factor
