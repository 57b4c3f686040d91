"""The graph of a spec's generator."""

from __future__ import annotations

from functools import lru_cache

from gancomp.elastic.graph import Graph, read_graph
from gancomp.nets import build_skeleton
from gancomp.spec import GeneratorSpec


@lru_cache(8)
def graph_of(spec: GeneratorSpec) -> Graph:
    """The width groups of *spec*'s generator, read from its forward pass at its size."""
    return read_graph(build_skeleton(spec), (spec.in_channels, *spec.size))
