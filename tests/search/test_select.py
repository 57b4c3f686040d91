"""Merging shards, the Pareto front and the winner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import EXPERIMENT, Workspace

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.pipeline.files import read_csv, read_json, write_csv
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.report.reading import read
from gancomp.report.searched import SHARD_COLUMNS, Selection, SubnetRow, read_search
from gancomp.search.select import merge, pareto_front, read_replicates, select, taken, tied_with, winner
from gancomp.spec import format_widths

METRICS = ("fid", "kid", "l1", "miou")


def row(index: int, macs: int, value: float | None) -> SubnetRow:
    scores = dict.fromkeys(METRICS, value)
    if value is None:
        scores |= {"fid": 1.0, "kid": 1.0}
    return SubnetRow(index=index, widths=(1,), macs=macs, macs_paper=macs, params=1, **scores)


#: Few different values, so that ties are common.
subnets = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=30).map(
    lambda points: [row(index, macs, value / 4) for index, (macs, value) in enumerate(points)]
)
metrics = st.sampled_from(METRICS)


def badness(own: SubnetRow, metric: str) -> float:
    """Lower is better."""
    value = getattr(own, metric)
    return -value if metric == "miou" else value


def beats(one: SubnetRow, other: SubnetRow, metric: str) -> bool:
    """Whether *one* is at least as good in both, and better in one."""
    a, b = ((own.macs, badness(own, metric)) for own in (one, other))
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@given(subnets, metrics)
def test_front(rows: list[SubnetRow], metric: str) -> None:
    front = pareto_front(rows, metric)
    assert not any(beats(other, own, metric) for own in front for other in rows), "nothing beats a point of the front"
    points = {(own.macs, badness(own, metric)) for own in front}
    unbeaten = [own for own in rows if not any(beats(other, own, metric) for other in rows)]
    assert points == {(own.macs, badness(own, metric)) for own in unbeaten}
    assert len(points) == len(front), "of equals, one"
    assert [own.macs for own in front] == sorted({own.macs for own in front})
    values = [badness(own, metric) for own in front]
    assert values == sorted(set(values), reverse=True)


@given(subnets, metrics)
def test_winner(rows: list[SubnetRow], metric: str) -> None:
    best = winner(rows, metric)
    assert best in rows
    assert badness(best, metric) == min(badness(own, metric) for own in rows)
    equals = [own for own in rows if badness(own, metric) == badness(best, metric)]
    assert best.macs == min(own.macs for own in equals)
    assert best.index == min(own.index for own in equals if own.macs == best.macs)
    assert best == pareto_front(rows, metric)[-1]


@given(subnets, metrics, st.randoms())
def test_order_of_the_rows_does_not_matter(rows: list[SubnetRow], metric: str, random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert winner(shuffled, metric) == winner(rows, metric)
    assert pareto_front(shuffled, metric) == pareto_front(rows, metric)


@pytest.mark.parametrize("metric", ["l1", "miou"])
def test_a_metric_that_was_not_measured_is_named(metric: str) -> None:
    with pytest.raises(GancompError, match=f"subnet 4 has no {metric}, the experiment's metric"):
        winner([row(4, 1, None)], metric)


def test_selection(finished: Workspace) -> None:
    config, folder = finished.config(), finished.stage("search")
    selection = read(folder / "selection.json", Selection, "search")
    rows = read_search(finished.stage("scores") / "search.csv")
    assert selection.best == winner(rows, "fid")
    tied = tied_with(selection.best, rows, "fid", read_replicates(finished.stage("scores") / "replicates.csv"))
    assert len(tied) == selection.tied
    assert selection.winner == min(tied, key=lambda row: (row.macs, row.fid))
    assert list(selection.pareto) == [own.index for own in pareto_front(rows, "fid")]
    assert [(own.index, own.score, own.low, own.high) for own in selection.front] == [
        (own.index, own.fid, own.fid_low, own.fid_high) for own in pareto_front(rows, "fid")
    ]
    assert [own.index for own in selection.front if own.tied] == [
        index for index in selection.pareto if index in {own.index for own in tied}
    ]
    assert selection.best.index in selection.pareto
    assert selection.metric == "fid"
    assert selection.subnets_scored == len(rows) == 41
    assert selection.subnets_in_space == 64
    assert selection.images == 7, "train-2 has 7 pictures, though 8 were asked for"
    assert all(own.macs <= selection.budget_macs for own in rows)
    assert selection.budget_macs == int(1_781_760 / 5.5)
    assert read_json(folder / "config.json") == stage_settings(config, EXPERIMENT, "search")


def test_selection_follows_the_scores(workspace: Workspace) -> None:
    path = workspace.stage("scores") / "search.csv"
    rows = read_search(path)
    edit(path, lambda table: table[17].update(fid="0.000001"))
    select(best(workspace), EXPERIMENT)
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert selection.winner.index == rows[17].index
    assert selection.pareto[-1] == rows[17].index


def test_selection_follows_the_metric(workspace: Workspace) -> None:
    """The metric determines the winner; mIoU is better if higher."""
    path = workspace.stage("scores") / "search.csv"
    rows = read_search(path)
    edit(path, lambda table: [line.update(l1=str(0.5 - number / 100)) for number, line in enumerate(table)])
    select(best(workspace, metric="l1"), EXPERIMENT)
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert (selection.metric, selection.winner.index) == ("l1", rows[-1].index)
    with pytest.raises(GancompError, match="has no miou"):
        select(miou(workspace), EXPERIMENT)
    edit(path, lambda table: [line.update(miou=str(0.5 - number / 100)) for number, line in enumerate(table)])
    select(miou(workspace), EXPERIMENT)
    assert read(workspace.stage("search") / "selection.json", Selection, "search").winner.index == rows[0].index


def best(workspace: Workspace, **search: Any) -> Config:
    """The experiment with `search.ties: best`."""
    metric = {"metric": search.pop("metric")} if "metric" in search else {}
    return workspace.config(search={"ties": "best"} | search, **metric)


def test_of_those_that_cannot_be_told_apart_the_one_with_the_fewest_macs_wins(workspace: Workspace) -> None:
    """Three subnets that are tied with the best by the draws, and one that is not."""
    scores, draws = (workspace.stage("scores") / name for name in ("search.csv", "replicates.csv"))
    rows = read_search(scores)
    cheap = sorted(range(len(rows)), key=lambda place: rows[place].macs)[:4]
    tied, far = cheap[1:], cheap[0]
    leader = max(range(len(rows)), key=lambda place: rows[place].macs)
    noise = [str((-1) ** place) for place in range(100)]

    def spread(table: list[dict[str, str]]) -> None:
        for place, line in enumerate(table):
            near = place in tied
            line.update({f"draw{number}": noise[number] if near else "0" for number in range(100)})

    edit(draws, spread)
    edit(scores, lambda table: [line.update(fid="2.0") for line in table])
    edit(scores, lambda table: [table[place].update(fid="1.5") for place in tied])
    edit(scores, lambda table: table[leader].update(fid="1.0"))
    select(workspace.config(), EXPERIMENT)
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert selection.best is not None
    assert (selection.best.index, selection.tied) == (rows[leader].index, 4)
    assert selection.winner.index == rows[tied[0]].index != rows[far].index
    select(best(workspace), EXPERIMENT)
    assert read(workspace.stage("search") / "selection.json", Selection, "search").winner.index == rows[leader].index


def test_budgets_and_windows_share_the_scores(workspace: Workspace) -> None:
    rows = read_search(workspace.stage("scores") / "search.csv")
    window = best(workspace, scored="5.5x", budget="6x", at_least="7x")
    select(window, EXPERIMENT)
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    inside = [row for row in rows if 1_781_760 / 7 <= row.macs <= 1_781_760 / 6]
    assert 0 < len(inside) == selection.subnets_scored < len(rows)
    assert selection.winner == min(inside, key=lambda row: row.fid)
    with pytest.raises(GancompError, match=r"experiments\.tiny\.search: none of the 41 scored subnets has between"):
        select(best(workspace, scored="5.5x", budget="6x", at_least="6.0001x"), EXPERIMENT)
    with pytest.raises(GancompError, match=r"search\.scored: 6x is fewer MACs than the budget"):
        best(workspace, scored="6x")
    with pytest.raises(GancompError, match=r"search\.at_least: 5x leaves nothing under 5\.5x"):
        best(workspace, at_least="5x")


def miou(workspace: Workspace) -> Config:
    """The experiment with a metric that its pictures do not have."""
    config = best(workspace)
    experiment = config.experiments[EXPERIMENT].model_copy(update={"metric": "miou"})
    return config.model_copy(update={"experiments": {EXPERIMENT: experiment}})


# --- merge -------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    """Change the rows of a CSV file."""
    columns, rows = read_csv(path)
    change(rows)
    write_csv(path, columns, rows, checked=True)


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
    (workspace.stage("scores") / "search.csv").unlink()
    edit(workspace.stage("scores") / "shards" / "0-of-1.csv", change)
    with pytest.raises(GancompError, match=r"scores/shards: the 1 shards contain \d+ subnets, not the 41 .* delete"):
        merge(workspace.config(), EXPERIMENT, 1)
    assert not (workspace.stage("scores") / "search.csv").exists()


def test_merge_refuses_shards_of_another_budget(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match="contain 41 subnets, not the"):
        merge(workspace.config(search={"budget": "6x"}), EXPERIMENT, 1)


def test_merge_sorts(finished: Workspace, workspace: Workspace) -> None:
    edit(workspace.stage("scores") / "shards" / "0-of-1.csv", lambda rows: rows.reverse())
    merge(workspace.config(), EXPERIMENT, 1)
    mine, theirs = ((own.stage("scores") / "search.csv").read_bytes() for own in (workspace, finished))
    assert mine == theirs


def test_merge_names_a_missing_shard(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match=r"shards/0-of-2\.csv: missing"):
        merge(workspace.config(), EXPERIMENT, 2)


@pytest.mark.parametrize("text", ["", "index,widths\n", ",".join(SHARD_COLUMNS) + "\n1,4,x,1,1,1,1,1,,,,,,,,\n"])
def test_merge_names_a_damaged_shard(workspace: Workspace, text: str) -> None:
    (workspace.stage("scores") / "shards" / "0-of-1.csv").write_text(text)
    with pytest.raises(GancompError, match=r"shards/0-of-1\.csv"):
        merge(workspace.config(), EXPERIMENT, 1)


def test_nan_score_is_refused(workspace: Workspace) -> None:
    edit(workspace.stage("scores") / "shards" / "0-of-1.csv", lambda rows: rows[3].update(fid="nan"))
    with pytest.raises(GancompError, match=r"0-of-1\.csv, line 5: fid"):
        merge(workspace.config(), EXPERIMENT, 1)


def test_a_subnet_that_is_named_is_taken_whatever_its_score(workspace: Workspace) -> None:
    rows = read_search(workspace.stage("scores") / "search.csv")
    worst = max(rows, key=lambda own: own.fid)
    named = workspace.config(search={"winner": format_widths(worst.widths)})
    select(named, EXPERIMENT)
    chosen = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert chosen.winner == worst
    assert chosen.best == min(rows, key=lambda own: own.fid)
    plain = workspace.config()
    assert signature(named, EXPERIMENT, "scores") == signature(plain, EXPERIMENT, "scores")
    assert signature(named, EXPERIMENT, "search") != signature(plain, EXPERIMENT, "search")
    message = r"search\.winner: \S+ is not among the \d+ subnets that were scored and meet the budget"
    with pytest.raises(GancompError, match=message):
        taken([own for own in rows if own is not worst], worst.widths, EXPERIMENT)
    with pytest.raises(GancompError, match=r"search\.winner: supernet\.space has no subnet 99"):
        workspace.config(search={"winner": "99"})


# --- files of others ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["search.csv", "replicates.csv"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"index,widths\n1", b"{}"], ids=["empty", "bytes", "cut", "json"]
)
def test_scores_that_are_no_scores_are_refused_by_name(workspace: Workspace, name: str, content: bytes) -> None:
    (workspace.stage("scores") / name).write_bytes(content)
    with pytest.raises(GancompError, match=rf"scores/{name}[:,] "):
        select(workspace.config(), EXPERIMENT)


def test_scores_of_another_space_are_refused(workspace: Workspace) -> None:
    edit(workspace.stage("scores") / "search.csv", lambda rows: rows[3].update(widths="4_4_4_3_4_4_4_99"))
    with pytest.raises(
        GancompError, match=r"search\.csv: subnet \d+ has widths 4_4_4_3_4_4_4_99, .* another experiment"
    ):
        select(workspace.config(), EXPERIMENT)


def test_replicates_of_another_search_are_refused(workspace: Workspace) -> None:
    path = workspace.stage("scores") / "replicates.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(GancompError, match=r"replicates\.csv: has no row of subnet \d+ of search\.csv; delete"):
        select(workspace.config(), EXPERIMENT)
