"""The searched space as a data set."""

from __future__ import annotations

import json

import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.errors import GancompError
from gancomp.report.searched import read_search, read_space
from gancomp.search.space_table import write_space


def test_every_scored_subnet_has_its_latency(workspace: Workspace) -> None:
    write_space(workspace.config(), EXPERIMENT, "cpu")
    scores = workspace.stage("scores")
    rows, scored = read_space(scores / "space.csv"), read_search(scores / "search.csv")
    assert [row.model_dump(include=set(scored[0].model_fields_set)) for row in rows] == [
        row.model_dump(include=set(scored[0].model_fields_set)) for row in scored
    ]
    assert all(row.latency_ms_low <= row.latency_ms <= row.latency_ms_high for row in rows)
    machine = json.loads((scores / "space.json").read_text())["machine"]
    assert machine["device"] == "cpu"
    assert machine["threads"] >= 1


def test_it_needs_scores(workspace: Workspace) -> None:
    (workspace.stage("scores") / "search.csv").unlink()
    with pytest.raises(GancompError, match="run the stage 'search' first"):
        write_space(workspace.config(), EXPERIMENT, "cpu")
