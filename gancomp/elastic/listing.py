"""The width groups of a generator as a list for people: what the search will vary, what it leaves whole, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor

from gancomp.elastic.costs import costs_of
from gancomp.elastic.graph import Graph
from gancomp.elastic.groups import GIVEN
from gancomp.elastic.layouts import Group
from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.pruning import energies
from gancomp.nets import build_skeleton
from gancomp.nets.module import PREFIX
from gancomp.spec import GeneratorSpec


@dataclass(frozen=True)
class Listed:
    """One group: the first layer that makes it, its channels, the width that it belongs to (none, where it is frozen).

    *tensors* counts the weights and buffers that follow it, *macs* is the share of the generator's exact MACs that it
    is a factor of. *energy* is the share of its filters' L1 norms that the stronger half of them has, 0.5 to 1, where
    weights are known; *reason* says why it is frozen.
    """

    name: str
    channels: int
    width: str
    tensors: int
    macs: float
    energy: float | None
    reason: str


def list_groups(spec: GeneratorSpec, tensors: Mapping[str, Tensor] | None = None) -> list[Listed]:
    """The groups of *spec*'s generator in order of execution, first those that are searched, then those that are not.

    *tensors* are its weights, if there are any.
    """
    graph = graph_of(spec)
    widths = _widths(graph, spec)
    strengths = energies(graph, dict(tensors)) if tensors else {}
    frozen = [group for group in graph.frozen if not group.reason.endswith(GIVEN)]
    shares = _shares(graph, [*graph.free, *frozen])

    def listed(group: Group) -> Listed:
        return Listed(
            name=group.name.removeprefix(PREFIX),
            channels=group.full,
            width=widths.get(group, ""),
            tensors=sum(
                any(group is own for layout in dims.values() for own, _ in layout) for dims in graph.weights.values()
            ),
            macs=shares[group],
            energy=_stronger_half(strengths[group]) if group in strengths else None,
            reason=group.reason,
        )

    return [listed(group) for group in (*graph.free, *frozen)]


def _widths(graph: Graph, spec: GeneratorSpec) -> dict[Group, str]:
    """The name of the width that each free group follows."""
    found: dict[Group, str] = {}
    for at, name in enumerate(spec.width_names):
        if spec.widths[at] == 1 or at in spec.unused:
            continue
        narrow = spec.with_widths((*spec.widths[:at], spec.widths[at] // 2, *spec.widths[at + 1 :]))
        shapes = {name: tensor.shape for name, tensor in build_skeleton(narrow).state_dict().items()}
        for group, size in graph.sizes_of(shapes).items():
            if size != group.full:
                found[group] = name
    return found


def _shares(graph: Graph, groups: list[Group]) -> dict[Group, float]:
    """Of each group, the share of the exact MACs that would be none without it."""
    places = {group: at for at, group in enumerate(groups)}
    full = [group.full for group in groups]
    totals, whole = dict.fromkeys(groups, 0), 0
    for term in costs_of(graph, places).macs:
        value = term.times * prod(full[at] for at in term.widths)
        whole += value
        for at in set(term.widths):
            totals[groups[at]] += value
    return {group: total / whole for group, total in totals.items()}


def _stronger_half(norms: Tensor) -> float:
    ordered = norms.double().sort(descending=True).values
    return float(ordered[: -(-len(ordered) // 2)].sum() / ordered.sum().clamp_min(1e-300))
