"""How far an experiment is, read from its files: every state of a training, logs that grow, and the stages that do not
train."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.data.manifest import load_manifest
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.standing import Standing, read_log, standings
from tests.config.test_settings import PLAIN
from tests.growing import HEAD, TRAINING, begun, declared, finish, grow


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return begun()


def of(config: Config, stage: str, **more: Any) -> Standing:
    return next(one for one in standings(config, "mine", **more) if one.stage == stage)


def ended_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_nothing_has_begun(config: Config) -> None:
    found = standings(config, "mine")
    assert [one.stage for one in found if one.state == "done"] == ["pictures"]
    assert [one.stage for one in found if one.state == "waiting"] == [
        *("original", "teacher", "distill", "supernet", "scores", "search", "subnet", "finetune", "narrow"),
        *("evaluate", "export", "benchmark", "report"),
    ]


def test_a_training_knows_its_length(config: Config) -> None:
    """Original: 10 pictures make two steps of four; students have but those of train-1."""
    counts = {split: len(files) for split, files in load_manifest(paths.dataset("pairs")).splits.items()}
    assert of(config, "original").total == 5 * (10 // 4) * 4
    assert of(config, "distill").total == 5 * (counts["train-1"] // 4) * 4


def test_running(config: Config) -> None:
    """By the process that holds its lock; what is left counts from the last row's age on."""
    grow("original", 4, pid=os.getpid(), age=3)
    one = of(config, "original")
    assert one.state == "running"
    assert one.share == pytest.approx(16 / 40)
    assert one.seconds_left == pytest.approx(12 - 3, abs=1)
    assert one.log.losses["g_recon"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])


def test_killed(config: Config) -> None:
    grow("original", 4, pid=ended_process())
    one = of(config, "original")
    assert (one.state, one.seconds_left) == ("stopped", None)
    assert one.share == pytest.approx(0.4)


@pytest.mark.parametrize(("age", "state"), [(10, "running"), (1000, "stopped")])
def test_on_another_machine(config: Config, age: float, state: str) -> None:
    """Whose processes cannot be seen: by what it wrote last."""
    grow("original", 4, pid=1, host="another-machine", age=age)
    assert of(config, "original").state == state


def test_done_and_made_by_other_settings(config: Config) -> None:
    finish(config)
    assert (of(config, "original").state, of(config, "original").share) == ("done", 1.0)
    assert len(of(config, "original").log.steps) == 10
    other = of(declared(original={"widths": 16}), "original")
    assert other.state == "other settings"


def test_what_a_base_owns_is_named(config: Config) -> None:
    finish(config)
    stages = dict.fromkeys(("original", "teacher", "distill", "supernet", "finetune", "narrow"), TRAINING)
    both = parse(merge(PLAIN, {"experiments": {"mine": stages, "tight": {"base": "mine", "search": {"budget": "6x"}}}}))
    found = {one.stage: one for one in standings(both, "tight")}
    assert (found["original"].owner, found["original"].state) == ("mine", "done")
    assert found["finetune"].owner == "tight"


def test_a_row_that_is_being_written_is_left_out(config: Config) -> None:
    log = grow("original", 3)
    log.write_text(log.read_text() + "4,16,1e-3,0.")
    assert read_log(log).steps == (1, 2, 3)
    log.write_text(HEAD[:20])
    assert read_log(log).steps == ()
    assert read_log(log.with_name("none.csv")).steps == ()


def test_a_log_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(GancompError, match=r"log\.csv: not a log of a training"):
        read_log(tmp_path / "log.csv")


def test_shards_of_a_search_and_scores_are_counted(config: Config) -> None:
    shards = paths.stage("mine", "scores") / "shards"
    shards.mkdir(parents=True)
    (shards / f"0-of-{config.experiments['mine'].search.shards}.csv").write_text("index\n")
    assert of(config, "scores").state == "running"
    (shards.parent / "search.csv").write_text("index\n")
    assert of(config, "scores").state == "done"
    paths.stage("mine", "reference").mkdir()
    (paths.stage("mine", "reference") / "evaluation.json").write_text("{}")
    assert (of(config, "evaluate").state, of(config, "evaluate").about) == ("waiting", "1 of 5")


def test_the_newest_strip_is_named(config: Config) -> None:
    grow("original", 4, pid=os.getpid())
    folder = paths.resume("mine", "original") / paths.SAMPLES
    folder.mkdir()
    for images in (8, 16):
        (folder / f"{images:012d}.png").touch()
    assert of(config, "original").latest_sample == folder / "000000000016.png"
