"""Subnets' scores in the once-for-all network on train-2, and on validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.config.loading import merge, parse
from gancomp.paper.agreement import agreements, optimism
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


def test_a_ranking_by_scores_beside_one_by_size() -> None:
    """Four subnets: the scores order them as validation does but for one pair, their size quite the other way round."""

    def point(macs: int, train2: float, validated: float) -> dict[str, str]:
        same = dict.fromkeys(("subnet", "finetune", "scratch"), str(validated))
        return {"metric": "fid", "macs": str(macs), "train2": str(train2), **same}

    rows = agreements([point(1, 10, 1), point(2, 30, 2), point(3, 20, 3), point(4, 40, 4)])
    assert [row["against"] for row in rows] == ["itself, on validation", "fine-tuned", "from scratch"]
    # Five of six pairs agree with the scores; all six disagree with "more MACs are better".
    assert {(row["subnets"], row["tau"], row["macs_tau"]) for row in rows} == {("4", "0.667", "-1.000")}


def test_a_stage_that_was_not_run_is_left_out_and_the_others_stand() -> None:
    points = [
        {
            "metric": "l1",
            "macs": f"{n}",
            "train2": f"{n}",
            "subnet": f"{n}",
            "finetune": f"{n}" if n < 3 else "",
            "scratch": "",
        }
        for n in range(5)
    ]
    assert [(row["against"], row["subnets"]) for row in agreements(points)] == [
        ("itself, on validation", "5"),
        ("fine-tuned", "3"),
    ]
