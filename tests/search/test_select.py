"""Merging shards, the Pareto front and the winner."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import EXPERIMENT, Workspace

from gancomp.artifacts import read_json
from gancomp.errors import GancompError
from gancomp.pipeline import stage_settings
from gancomp.report.records import SEARCH_COLUMNS, Selection, SubnetRow, read, read_search
from gancomp.search.select import merge, pareto_front, select, winner


def row(index: int, macs: int, fid: float) -> SubnetRow:
    return SubnetRow(index=index, widths=(1,), macs=macs, macs_paper=macs, params=1, fid=fid, kid=0.0, l1=0.0)


#: Few different values, so that ties are common.
subnets = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=30).map(
    lambda points: [row(index, macs, fid / 4) for index, (macs, fid) in enumerate(points)]
)


def beats(one: SubnetRow, other: SubnetRow) -> bool:
    """Whether *one* is at least as good in both, and better in one."""
    return one.macs <= other.macs and one.fid <= other.fid and (one.macs, one.fid) != (other.macs, other.fid)


@given(subnets)
def test_front(rows: list[SubnetRow]) -> None:
    front = pareto_front(rows)
    assert not any(beats(other, own) for own in front for other in rows), "nothing beats a point of the front"
    points = {(own.macs, own.fid) for own in front}
    assert points == {(own.macs, own.fid) for own in rows if not any(beats(other, own) for other in rows)}
    assert len(points) == len(front), "of equals, one"
    assert [own.macs for own in front] == sorted({own.macs for own in front})
    assert [own.fid for own in front] == sorted({own.fid for own in front}, reverse=True)


@given(subnets)
def test_winner(rows: list[SubnetRow]) -> None:
    best = winner(rows)
    assert best in rows
    assert best.fid == min(own.fid for own in rows)
    equals = [own for own in rows if own.fid == best.fid]
    assert best.macs == min(own.macs for own in equals)
    assert best.index == min(own.index for own in equals if own.macs == best.macs)
    assert best in pareto_front(rows)
    assert best == pareto_front(rows)[-1]


@given(subnets, st.randoms())
def test_order_of_the_rows_does_not_matter(rows: list[SubnetRow], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert winner(shuffled) == winner(rows)
    assert pareto_front(shuffled) == pareto_front(rows)


def test_selection(finished: Workspace) -> None:
    config, folder = finished.config(), finished.stage("search")
    selection = read(folder / "selection.json", Selection, "search")
    rows = read_search(folder / "search.csv")
    assert selection.winner == winner(rows)
    assert list(selection.pareto) == [own.index for own in pareto_front(rows)]
    assert selection.winner.index in selection.pareto
    assert selection.subnets_scored == len(rows) == 41
    assert selection.subnets_in_space == 64
    assert selection.images == 7, "train-2 has 7 pictures, though 8 were asked for"
    assert all(own.macs <= selection.budget_macs for own in rows)
    assert selection.budget_macs == int(1_781_760 / 5.5)
    assert read_json(folder / "config.json") == stage_settings(config, EXPERIMENT, "search")


def test_selection_follows_the_scores(workspace: Workspace) -> None:
    path = workspace.stage("search") / "search.csv"
    rows = read_search(path)
    edit(path, lambda table: table[17].update(fid="0.000001"))
    select(workspace.config(), EXPERIMENT)
    selection = read(path.with_name("selection.json"), Selection, "search")
    assert selection.winner.index == rows[17].index
    assert selection.pareto[-1] == rows[17].index


# --- merge -------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    """Change the rows of a CSV file."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    change(rows)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, SEARCH_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.pop(5),
        lambda rows: rows.append(rows[5]),
        lambda rows: rows.append(rows[5] | {"index": "0"}),
        lambda rows: rows[5].update(widths="4_4_4_3_4_4_4_3"),
        lambda rows: rows.clear(),
    ],
    ids=["missing", "doubled", "over the budget", "foreign", "empty"],
)
def test_merge_refuses(workspace: Workspace, change: Callable[[list[dict[str, str]]], Any]) -> None:
    (workspace.stage("search") / "search.csv").unlink()
    edit(workspace.stage("search") / "shards" / "0-of-1.csv", change)
    with pytest.raises(GancompError, match=r"search/shards: the 1 shards hold \d+ subnets, .* not the 41 .* delete"):
        merge(workspace.config(), EXPERIMENT, 1)
    assert not (workspace.stage("search") / "search.csv").exists()


def test_merge_refuses_shards_of_another_budget(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match="hold 41 subnets, which are not the"):
        merge(workspace.config(search={"budget": "6x"}), EXPERIMENT, 1)


def test_merge_sorts(finished: Workspace, workspace: Workspace) -> None:
    edit(workspace.stage("search") / "shards" / "0-of-1.csv", lambda rows: rows.reverse())
    merge(workspace.config(), EXPERIMENT, 1)
    mine, theirs = ((own.stage("search") / "search.csv").read_bytes() for own in (workspace, finished))
    assert mine == theirs


def test_merge_names_a_missing_shard(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match=r"shards/0-of-2\.csv: missing"):
        merge(workspace.config(), EXPERIMENT, 2)


@pytest.mark.parametrize("text", ["", "index,widths\n", ",".join(SEARCH_COLUMNS) + "\n1,4,x,1,1,1,1,1\n"])
def test_merge_names_a_damaged_shard(workspace: Workspace, text: str) -> None:
    (workspace.stage("search") / "shards" / "0-of-1.csv").write_text(text)
    with pytest.raises(GancompError, match=r"shards/0-of-1\.csv"):
        merge(workspace.config(), EXPERIMENT, 1)


def test_nan_score_is_refused(workspace: Workspace) -> None:
    edit(workspace.stage("search") / "shards" / "0-of-1.csv", lambda rows: rows[3].update(fid="nan"))
    with pytest.raises(GancompError, match=r"0-of-1\.csv, line 5: fid"):
        merge(workspace.config(), EXPERIMENT, 1)
