"""Width groups: which channels of a network can be narrowed, and which tensors follow them, read from its tape.

Every call is followed by a rule (`gancomp.elastic.rules`). An unsupported call freezes the groups that it reads, with
the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from gancomp.elastic.layouts import Dims, Group, Layout, freeze, join, resolved, single
from gancomp.elastic.rules import RULES
from gancomp.elastic.tape import Call, Tape, Value, Weight

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
            self.values[value] = {1: single(value.shape[1], f"the input's channels {GIVEN}")}
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

    def _read(self, call: Call) -> None:
        rule = RULES.get(call.name)
        if rule is None:
            self.freeze_read(call, f"{call.place} is not followed")
        else:
            rule(self, call)

    def dims(self, tensor: Any) -> Dims:
        """Layouts of a value or weight, in groups that are neither joined nor split."""
        known = self.values.get(tensor, {}) if isinstance(tensor, Value) else self.weights.get(tensor.name, {})
        return {dim: resolved(layout) for dim, layout in known.items()}

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

    # What rules read and set

    def own(self, tensor: Any) -> Dims:
        """Layouts of a tensor that is read; a weight's dimensions are groups from here on, which others may join."""
        if isinstance(tensor, Weight):
            known = self.weights.setdefault(tensor.name, {})
            for dim, size in enumerate(tensor.shape):
                if size > 1 and dim not in known:
                    known[dim] = single(size)
        return self.dims(tensor) if isinstance(tensor, (Value, Weight)) else {}

    def govern(self, weight: Weight, dim: int, layout: Layout) -> None:
        """*layout* is that of a weight's dimension; where the weight is used again, both uses are joined."""
        known = self.weights.setdefault(weight.name, {})
        if dim in known:
            join(known[dim], layout, f"{weight.name} is used twice")
        else:
            known[dim] = layout

    def freeze_read(self, call: Call, reason: str) -> None:
        """Freeze the groups that *call* reads; its outputs have no layout, so their channels are fixed."""
        for tensor in call.inputs():
            if isinstance(tensor, (Value, Weight)):
                for layout in self.dims(tensor).values():
                    freeze(layout, reason)
        for value in call.outputs:
            self.values[value] = {}
