"""The width groups of a generator as a readable list: those that the search varies, and why others are frozen."""

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
    """One group: the first layer that produces it, its channels, and its width (None if it is frozen).

    *tensors* is the number of its weights and buffers, *macs* the share of the generator's exact MACs that scale with
    it. *energy* is the share of the stronger half of its filters in their L1 norms, 0.5 to 1, if
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
    """The groups of *spec*'s generator in order of execution, first searched, then frozen ones.

    *tensors* are its weights, if known.
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
    """The name of the width of each free group."""
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
    """The share of the exact MACs that scales with each group."""
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
