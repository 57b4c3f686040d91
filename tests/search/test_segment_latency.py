"""Latency as what the search asks for: sums of segments, their error, and what is chosen by them."""

from __future__ import annotations

import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.errors import GancompError
from gancomp.pipeline.signatures import signature
from gancomp.report.reading import read
from gancomp.report.searched import Selection, read_search
from gancomp.search.segment_latency import SegmentTime, measure_segments, read_segments, summed, table_of
from gancomp.search.select import select


def test_a_sum_of_segments() -> None:
    table = table_of(
        [
            SegmentTime(segment="first", places=(0,), widths=(8,), ms=1.0),
            SegmentTime(segment="first", places=(0,), widths=(4,), ms=0.5),
            SegmentTime(segment="second", places=(0, 1), widths=(8, 4), ms=2.0),
            SegmentTime(segment="second", places=(0, 1), widths=(4, 4), ms=1.25),
        ]
    )
    assert summed(table, (8, 4)) == 3.0
    assert summed(table, (4, 4)) == 1.75
    with pytest.raises(GancompError, match=r"second was not measured at the widths \(8, 2\)"):
        summed(table, (8, 2))


@pytest.fixture
def measured(workspace: Workspace) -> Workspace:
    measure_segments(workspace.config(), EXPERIMENT)
    return workspace


def test_every_scored_subnet_has_a_sum_and_the_error_is_told(measured: Workspace) -> None:
    found = read_segments(EXPERIMENT)
    for row in read_search(measured.stage("scores") / "search.csv"):
        assert found.of(row.widths) > 0
    errors = [abs(one.summed_ms / one.measured_ms - 1) for one in found.whole]
    assert found.mean_error == pytest.approx(sum(errors) / len(errors))
    assert all(one.summed_ms == pytest.approx(found.of(one.widths)) for one in found.whole)


def test_the_search_keeps_to_a_limit_of_latency(measured: Workspace) -> None:
    found = read_segments(EXPERIMENT)
    rows = read_search(measured.stage("scores") / "search.csv")
    times = sorted(found.of(row.widths) for row in rows)
    limit = (times[0] + times[1]) / 2
    select(measured.config(search={"latency_ms": limit}), EXPERIMENT)
    chosen = read(measured.stage("search") / "selection.json", Selection, "search")
    assert found.of(chosen.winner.widths) == times[0] == chosen.latency_ms
    assert chosen.latency_error == found.mean_error
    assert chosen.subnets_scored == 1
    with pytest.raises(GancompError, match=r"latency_ms: none of the \d+ subnets takes at most 1e-06 ms here"):
        select(measured.config(search={"latency_ms": 1e-6}), EXPERIMENT)


def test_of_tied_subnets_the_fastest(measured: Workspace) -> None:
    found = read_segments(EXPERIMENT)
    select(measured.config(search={"ties": "fastest"}), EXPERIMENT)
    chosen = read(measured.stage("search") / "selection.json", Selection, "search")
    assert chosen.latency_ms == found.of(chosen.winner.widths)
    select(measured.config(), EXPERIMENT)
    plain = read(measured.stage("search") / "selection.json", Selection, "search")
    assert plain.latency_ms is None
    assert chosen.tied == plain.tied
    assert found.of(chosen.winner.widths) <= found.of(plain.winner.widths)


def test_without_measurements_it_says_which_stage(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match="run the stage 'segment-latency' first"):
        select(workspace.config(search={"latency_ms": 5.0}), EXPERIMENT)


def test_a_limit_changes_the_choice_and_what_follows_alone(workspace: Workspace) -> None:
    plain, limited = workspace.config(), workspace.config(search={"latency_ms": 5.0})
    assert signature(plain, EXPERIMENT, "scores") == signature(limited, EXPERIMENT, "scores")
    assert signature(plain, EXPERIMENT, "search") != signature(limited, EXPERIMENT, "search")
