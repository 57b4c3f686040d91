"""Successive halving: the last round's scores are the exhaustive search's, at a part of its pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.config.searching import Halving
from gancomp.errors import GancompError
from gancomp.report.searched import ShardRow, read_search
from gancomp.search import scores as module
from gancomp.search.scores import halve_scores, score
from gancomp.search.select import select

HALVING = {"method": "halving", "halving": {"rounds": 3, "factor": 2}}


def test_halves_the_subnets_and_doubles_the_pictures(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of each round continue; the last round's scores equal those of an exhaustive search. After an
    interruption it continues and writes the same files."""
    config, path = workspace.config(search=HALVING), workspace.stage("scores") / "search.csv"
    rounds: list[tuple[int, list[ShardRow]]] = []
    scored = 0

    def counting(*given: Any) -> Iterator[ShardRow]:
        nonlocal scored
        rounds.append((given[-1], []))
        for row in score(*given):
            scored += 1
            rounds[-1][1].append(row)
            yield row

    monkeypatch.setattr(module, "score", counting)
    halve_scores(config, EXPERIMENT, "cpu")
    exhaustive = {row.index: row for row in read_search(finished.stage("scores") / "search.csv")}
    all_of_them = len(exhaustive)
    assert [(stride, len(rows)) for stride, rows in rounds] == [
        (4, all_of_them),
        (2, -(-all_of_them // 2)),
        (1, -(-all_of_them // 4)),
    ]
    for (_, before), (_, after) in itertools.pairwise(rounds):
        best = sorted(before, key=lambda row: row.fid)[: len(after)]
        assert {row.index for row in after} == {row.index for row in best}
    rows = read_search(path)
    assert [row.index for row in rows] == sorted(row.index for row in rounds[-1][1])
    for row in rows:
        assert row.widths == exhaustive[row.index].widths
        assert row.fid == pytest.approx(exhaustive[row.index].fid, rel=1e-3)
    select(config, EXPERIMENT)

    whole, before_kill = path.read_bytes(), scored

    def dying(*given: Any) -> Iterator[ShardRow]:
        if given[-1] == 1:
            raise KeyboardInterrupt
        return counting(*given)

    monkeypatch.setattr(module, "score", dying)
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        halve_scores(config, EXPERIMENT, "cpu")
    monkeypatch.setattr(module, "score", counting)
    halve_scores(config, EXPERIMENT, "cpu")
    assert path.read_bytes() == whole
    assert scored == 2 * before_kill


def test_the_rounds_end_on_all_pictures() -> None:
    assert Halving().strides == [4, 1]
    assert Halving(rounds=3, factor=3).strides == [9, 3, 1]


def test_too_few_pictures_to_halve_are_refused(workspace: Workspace) -> None:
    config = workspace.config(search={"method": "halving", "halving": {"rounds": 3, "factor": 3}})
    with pytest.raises(
        GancompError, match=r"one in 9 of \d pictures is 1, and scores by fid need 2; score more pictures"
    ):
        halve_scores(config, EXPERIMENT, "cpu")
