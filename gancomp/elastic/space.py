"""The search space: every combination of the choices of each width, in tree order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import contains

import numpy as np

from gancomp.measure.macs import Totals, totals_of
from gancomp.spec import GeneratorSpec

Widths = tuple[int, ...]


@dataclass(frozen=True)
class Subnet:
    """One point of the space; *index* is its place in tree order."""

    index: int
    widths: Widths
    profile: Totals


def in_space(widths: Sequence[int], space: Sequence[Sequence[int]]) -> bool:
    """Whether *widths* are one choice of each width of *space*."""
    return len(widths) == len(space) and all(map(contains, space, widths))


def enumerate_widths(space: Sequence[Sequence[int]]) -> Iterator[Widths]:
    """All subnets in tree order: the last width changes fastest, so neighbours share the longest prefix."""
    return itertools.product(*space)


def draw_widths(space: Sequence[Sequence[int]], rng: np.random.Generator) -> Widths:
    """One random subnet, each width sampled uniformly and independently."""
    return tuple(choices[int(rng.integers(len(choices)))] for choices in space)


def under_budget(space: Sequence[Sequence[int]], student: GeneratorSpec, limit: float) -> list[Subnet]:
    """Every subnet of at most *limit* exact MACs, in tree order; the configuration rejects a space without one."""
    every = list(enumerate_widths(space))
    counted = totals_of(student, np.array(every))
    return [
        Subnet(index, widths, totals)
        for index, (widths, totals) in enumerate(zip(every, counted, strict=True))
        if totals.macs <= limit
    ]
