"""Evolutionary search under a budget, for spaces too large to enumerate (after Fast GAN Compression). No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gancomp import rng
from gancomp.config.searching import Evolution
from gancomp.elastic.space import Subnet, Widths, draw_widths
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.report.metrics import BY_KEY
from gancomp.report.searched import SubnetRow
from gancomp.spec import GeneratorSpec

Space = Sequence[Sequence[int]]
#: Random proposals over the budget before the search fails.
PATIENCE = 20_000


def place_of(space: Space, widths: Widths) -> int:
    """The index of *widths* in tree order."""
    place = 0
    for choices, width in zip(space, widths, strict=True):
        place = place * len(choices) + tuple(choices).index(width)
    return place


class Candidates:
    """Random, mutated and crossed subnets of a space under a limit of exact MACs; each is profiled once."""

    def __init__(self, space: Space, student: GeneratorSpec, limit: float) -> None:
        self._space, self._student, self._limit = space, student, limit
        self._known: dict[Widths, Subnet] = {}

    def subnet(self, widths: Widths) -> Subnet:
        if widths not in self._known:
            counted = profile(self._student.with_widths(widths))
            self._known[widths] = Subnet(place_of(self._space, widths), widths, counted)
        return self._known[widths]

    def drawn(self, propose: Callable[[], Widths]) -> Widths:
        """The first proposal under the limit. Raises GancompError after `PATIENCE` proposals."""
        for _ in range(PATIENCE):
            widths = propose()
            if self.subnet(widths).profile.macs <= self._limit:
                return widths
        raise GancompError(
            f"search: {PATIENCE:,} random subnets were over the budget of {self._limit / 1e6:.1f}M exact MACs; raise "
            "it, or remove the largest choices from supernet.space"
        )

    def random(self, draw: np.random.Generator) -> Widths:
        return self.drawn(lambda: draw_widths(self._space, draw))

    def mutated(self, parent: Widths, rate: float, draw: np.random.Generator) -> Widths:
        """*parent* with each width redrawn with probability *rate*."""

        def propose() -> Widths:
            fresh = draw_widths(self._space, draw)
            changed = draw.random(len(parent)) < rate
            return tuple(new if change else old for new, old, change in zip(fresh, parent, changed, strict=True))

        return self.drawn(propose)

    def crossed(self, parents: Sequence[Widths], draw: np.random.Generator) -> Widths:
        """A subnet with each width from one of two random *parents*."""

        def propose() -> Widths:
            one, other = (parents[int(draw.integers(len(parents)))] for _ in range(2))
            picked = draw.random(len(one)) < 0.5
            return tuple(a if first else b for a, b, first in zip(one, other, picked, strict=True))

        return self.drawn(propose)


def evolve(
    candidates: Candidates,
    cost: Callable[[Sequence[Subnet]], Sequence[float]],
    settings: Evolution,
    draw: np.random.Generator,
) -> Iterator[Mapping[Widths, float]]:
    """The costs (less is better) of all subnets scored so far, after each generation.

    *cost* scores subnets in tree order, each at most once. Parents are the best of all generations; a generation
    consists of a share of mutants and of crossings of two parents.
    """
    costs: dict[Widths, float] = {}

    def score(population: Sequence[Widths]) -> None:
        fresh = sorted({candidates.subnet(widths) for widths in population if widths not in costs}, key=_place)
        costs.update(zip((subnet.widths for subnet in fresh), cost(fresh), strict=True) if fresh else ())

    score([candidates.random(draw) for _ in range(settings.population)])
    yield costs
    mutants = round(settings.population * settings.mutants)
    for _ in range(settings.generations):
        parents = sorted(costs, key=lambda widths: (costs[widths], widths))[: settings.parents]
        children = [
            candidates.mutated(parents[int(draw.integers(len(parents)))], settings.mutation_rate, draw)
            for _ in range(mutants)
        ]
        children += [candidates.crossed(parents, draw) for _ in range(settings.population - mutants)]
        score(children)
        yield costs


def _place(subnet: Subnet) -> int:
    return subnet.index


# --- simulation on known scores ----------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """One simulated run: the number of subnets scored, the score found, and the best score of the space."""

    seed: int
    scored: int
    found: float
    best: float
    rank: int


def simulate(
    rows: Sequence[SubnetRow],
    metric: str,
    settings: Evolution,
    student: GeneratorSpec,
    seed: int,
    limit: float = math.inf,
) -> Trial:
    """Simulate the evolution with the scores in *rows*: every subnet of a space up to *limit* exact MACs.

    `rank` 1 is the best of all by *metric*. Raises GancompError if a proposed subnet has no row.
    """
    known = {row.widths: row for row in rows if row.macs <= limit}
    space = [sorted({widths[place] for widths in known}, reverse=True) for place in range(len(rows[0].widths))]
    turn = BY_KEY[metric]

    def cost(subnets: Sequence[Subnet]) -> list[float]:
        return [_known_cost(known, subnet.widths, metric) for subnet in subnets]

    *_, costs = evolve(Candidates(space, student, limit), cost, settings, rng.generator(seed, "evolution"))
    every = sorted(_known_cost(known, widths, metric) for widths in known)
    found = min(costs.values())
    rank = 1 + sum(value < found for value in every)
    return Trial(seed, len(costs), turn.cost(found), turn.cost(every[0]), rank)


def _known_cost(known: Mapping[Widths, SubnetRow], widths: Widths, metric: str) -> float:
    if widths not in known:
        raise GancompError(
            f"{'_'.join(map(str, widths))}: has no score; score all subnets of the space up to the limit"
        )
    value = BY_KEY[metric].of(known[widths])
    if value is None:
        raise GancompError(f"{'_'.join(map(str, widths))}: has no {metric}")
    return BY_KEY[metric].cost(value)
