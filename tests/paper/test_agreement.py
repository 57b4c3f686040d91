"""The winner's scores on train-2 and on validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.config.loading import merge, parse
from gancomp.paper.agreement import optimism
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from tests.config.test_settings import PLAIN
from tests.paper.test_tables import STUDY, evaluated


def test_a_winner_that_does_worse_on_pictures_that_did_not_choose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = parse(merge(PLAIN, {"study": STUDY, "experiments": {"mine": {"title": "Pairs"}}}))
    winner = {
        "index": 0,
        "widths": [1] * 8,
        "macs": 1,
        "macs_paper": 1,
        "params": 1,
        "fid": 10.0,
        "kid": 0.02,
        "l1": 0.1,
    }
    counts = dict.fromkeys(("budget_macs", "subnets_in_space", "subnets_scored", "images"), 2)
    chosen = {"winner": winner, "pareto": [0], "fid_precision": "32", **counts}
    write_json(paths.stage("mine", "search") / "selection.json", chosen)
    evaluated(config, "mine", "distill", 12.5)
    (paths.stage("mine", "subnet")).mkdir(parents=True)
    (paths.stage("mine", "distill") / "evaluation.json").rename(paths.stage("mine", "subnet") / "evaluation.json")
    found = {row["metric"]: (row["train2"], row["validation"], row["difference"]) for row in optimism(config)}
    assert found == {"fid": ("10", "12.5", "-2.5"), "kid": ("0.02", "0.01", "0.01"), "l1": ("0.1", "0.1", "0")}
