"""Selects the distilled activations, and the convolutions that a separable student decomposes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import prod

from torch import nn

from gancomp.elastic.costs import exact_macs
from gancomp.elastic.graph import Graph, read_graph
from gancomp.elastic.groups import GIVEN
from gancomp.elastic.layouts import Group
from gancomp.elastic.tape import Value
from gancomp.errors import GancompError
from gancomp.nets.module import decompose
from gancomp.spec import Norm

#: The MACs are divided into this many equal parts, and the activations between are distilled: four, as in the paper.
DISTILLED = 5


#: Maximum number of widths for a sequence of like groups, such as those of residual blocks.
PARTS = 3


def distilled_layers(graph: Graph, places: Mapping[Group, int]) -> tuple[str, ...]:
    """The modules whose outputs are nearest to equal parts of the exact MACs, in the trunk if it has enough.

    Only activations (n, c, h, w) other than inputs and outputs, by the outermost module that returns them; fewer if
    the network has few.
    """
    full = {place: group.full for group, place in places.items()}
    done, so_far = [], 0
    for call in graph.tape.calls:
        terms = exact_macs(graph, call, places)
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


def separable_parts(graph: Graph, norm: Norm, shape: tuple[int, int, int]) -> tuple[tuple[str, ...], Graph] | None:
    """The convolutions to decompose, and the groups of the decomposed network; None if that is not possible."""
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
