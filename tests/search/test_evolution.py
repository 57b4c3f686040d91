"""Evolution: under the budget, no subnet scored twice, deterministic by seed; finds the optimum of a known space."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import EXPERIMENT, Workspace

from gancomp import rng
from gancomp.config.searching import Evolution
from gancomp.elastic.space import Subnet
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.metrics.scoring import Scorer, Tally
from gancomp.report.searched import SubnetRow, read_search, read_space
from gancomp.search import candidates as candidates_module
from gancomp.search.evolution import Candidates, evolve, place_of, simulate
from gancomp.search.scores import evolve_scores
from gancomp.search.select import select
from gancomp.spec import GeneratorSpec

STUDENT = GeneratorSpec(widths=8, block="separable", size=32)
SPACE = [[8, 6, 4]] * 5 + [[8, 4]] * 3
SMALL = Evolution(population=20, parents=6, generations=8)


def macs(widths: tuple[int, ...]) -> int:
    return profile(STUDENT.with_widths(widths)).macs


LIMIT = float(np.median([macs(widths) for widths in itertools.product(*SPACE)]))


def badness(widths: tuple[int, ...]) -> float:
    """A cost that prefers wide layers, above all the trunk."""
    return -sum(widths) - 3 * widths[2]


def test_places_are_those_of_tree_order() -> None:
    assert [place_of(SPACE, widths) for widths in itertools.product(*SPACE)] == list(range(3**5 * 2**3))


@given(st.integers(0, 10_000))
def test_scores_once_and_under_the_budget(seed: int) -> None:
    asked: list[tuple[int, ...]] = []

    def cost(subnets: Sequence[Subnet]) -> list[float]:
        assert [subnet.index for subnet in subnets] == sorted(subnet.index for subnet in subnets)
        asked.extend(subnet.widths for subnet in subnets)
        return [badness(subnet.widths) for subnet in subnets]

    tiny = Evolution(population=6, parents=2, generations=2)
    *_, costs = evolve(Candidates(SPACE, STUDENT, LIMIT), cost, tiny, rng.generator(seed, "evolution"))
    assert max(Counter(asked).values()) == 1
    assert set(asked) == set(costs)
    assert all(macs(widths) <= LIMIT for widths in asked)


def test_a_budget_under_which_nothing_is_drawn_is_told() -> None:
    with pytest.raises(GancompError, match=r"random subnets were over the budget of 0\.0M exact MACs"):
        Candidates(SPACE, STUDENT, 1).random(rng.generator(0, "test"))


def test_millions_of_subnets_are_not_enumerated() -> None:
    """The paper's largest space has 5.8 million."""
    space = [[64, 56, 48, 40, 32, 24, 16]] * 8
    student = GeneratorSpec(widths=64, block="separable")
    limit = profile(GeneratorSpec(widths=64)).macs / 12
    searched = evolve(
        Candidates(space, student, limit),
        lambda subnets: [-sum(subnet.widths) for subnet in subnets],
        SMALL,
        rng.generator(0, "evolution"),
    )
    best = [(min(costs.values()), len(costs)) for costs in searched]
    assert [cost for cost, _ in best] == sorted((cost for cost, _ in best), reverse=True)
    assert best[-1][0] < best[0][0]
    assert best[-1][1] <= SMALL.population * (SMALL.generations + 1)


def known() -> list[SubnetRow]:
    rows = []
    for index, widths in enumerate(itertools.product(*SPACE)):
        counted = profile(STUDENT.with_widths(widths))
        cost = {"params": counted.params, "macs": counted.macs, "macs_paper": counted.macs_paper}
        scores = {"fid": 200 + badness(widths), "kid": 0.0, "l1": None}
        rows.append(SubnetRow(index=index, widths=widths, **cost, **scores))
    return rows


def test_finds_the_optimum_of_a_known_space_at_a_fraction_of_its_cost() -> None:
    rows = known()
    trials = [simulate(rows, "fid", SMALL, STUDENT, seed, LIMIT) for seed in range(20)]
    within = sum(row.macs <= LIMIT for row in rows)
    assert all(trial.scored < within / 3 for trial in trials)
    assert sum(trial.rank == 1 for trial in trials) >= 10
    assert max(trial.rank for trial in trials) < within / 50
    assert trials[3] == simulate(rows, "fid", SMALL, STUDENT, 3, LIMIT)


def test_a_space_with_holes_is_refused() -> None:
    rows = known()
    with pytest.raises(GancompError, match="has no score; score all subnets"):
        simulate(rows[::3], "fid", SMALL, STUDENT, 0)


EVOLVED = {"method": "evolution", "evolution": {"population": 6, "parents": 3, "generations": 2}}


def test_a_search_by_evolution_scores_as_the_exhaustive_one(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same scores for the same subnets; after an interruption it continues and writes the same file."""
    monkeypatch.setattr(candidates_module, "under_budget", None)  # it must not walk the space
    config, path = workspace.config(search=EVOLVED), workspace.stage("scores") / "search.csv"
    evolve_scores(config, EXPERIMENT, "cpu")
    exhaustive = {row.index: row for row in read_search(finished.stage("scores") / "search.csv")}
    rows = read_search(path)
    assert 6 <= len(rows) < len(exhaustive)
    for row in rows:
        assert row.fid == pytest.approx(exhaustive[row.index].fid, rel=1e-3)
        assert row.widths == exhaustive[row.index].widths
    select(config, EXPERIMENT)

    whole, tally, scored = path.read_bytes(), Scorer.tally, []

    def dying(own: Scorer) -> Tally:
        scored.append(1)
        if len(scored) == 8:
            raise KeyboardInterrupt
        return tally(own)

    monkeypatch.setattr(Scorer, "tally", dying)
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        evolve_scores(config, EXPERIMENT, "cpu")
    evolve_scores(config, EXPERIMENT, "cpu")
    assert path.read_bytes() == whole
    assert len(scored) < 2 * len(rows)


def test_the_committed_space_can_be_studied() -> None:
    """All subnets of a real once-for-all network: evolution finds one of its best at a fifth of the cost."""
    rows = read_space(Path(__file__).parents[2] / "docs" / "results" / "space" / "emoji-64.csv")
    assert len(rows) == 384
    assert all(1 < row.latency_ms < 100 for row in rows)
    student = GeneratorSpec(widths=12, block="separable", size=64)
    trials = [simulate(rows, "fid", SMALL, student, seed) for seed in range(20)]
    assert max(trial.rank for trial in trials) <= 10
    assert sum(trial.rank == 1 for trial in trials) >= 14
    assert max(trial.scored for trial in trials) < 100
