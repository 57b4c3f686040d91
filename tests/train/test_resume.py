"""A stage killed by SIGKILL and run again ends in the bytes of one that was never interrupted."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import TRAINS, Workspace, one_thread, train

from gancomp.pipeline.checkpoints import load_tensors
from gancomp.pipeline.files import read_json
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.student import Student

KILLED = Path(__file__).with_name("killed.py")
TIMES = ("images_per_second", "elapsed_seconds")
MEASURED = ("seconds", "images_per_second", "peak_memory_mb")
#: Moments other than between two saves, which every stage is killed at.
MOMENTS = (
    "while saving",
    "before the model is written",
    "while the model is written",
    "while the state is removed",
)
BF16 = {"precision": "bf16"}
INT8 = {"finetune": {"quantise": "int8"}}
MOVED = "moved"
#: One stage is killed three times, after so many seconds.
OFTEN, SECONDS = "over and over", (0.15, 0.3, 0.45)


@dataclass(frozen=True)
class Killed:
    """A copy of the experiment in which one stage was killed after the save at step *saved*."""

    workspace: Workspace
    stage: str
    saved: int
    job: dict[str, Any]


def to_kill(finished: Workspace, folder: Path, stage: str, moment: str, **experiment: Any) -> Killed:
    """The stage about to be trained in a copy, to be killed at a step drawn from its name, after an earlier save."""
    own = finished.copy(folder)
    shutil.rmtree(own.stage(stage))
    steps = read_json(finished.stage(stage) / "metrics.json")["steps"]
    saved, killed = sorted(random.Random(stage + moment).sample(range(1, steps), 2))
    job = {"folder": str(folder), "stage": stage, "settings": finished.settings(**experiment)}
    return Killed(own, stage, saved, job | {"moment": moment, "saved": saved, "killed": killed})


@pytest.fixture(scope="module")
def killed(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Killed]:
    """What was killed, by the stage's or the moment's name."""
    root = tmp_path_factory.mktemp("killed")
    made = {stage: to_kill(finished, root / stage, stage, "between saves") for stage in TRAINS}
    made |= {moment: to_kill(finished, root / moment, "distill", moment) for moment in MOMENTS}
    made[MOVED] = to_kill(finished, root / MOVED, "narrow", "between saves")
    made["bf16"] = to_kill(finished, root / "bf16", "distill", "between saves", **BF16)
    made["int8"] = to_kill(finished, root / "int8", "finetune", "between saves", **INT8)
    often = to_kill(finished, root / OFTEN, "supernet", OFTEN)
    again = {name: often.job[name] for name in ("folder", "stage", "settings")}

    ends = run_killed([one.job for one in made.values()] + [again | {"seconds": seconds} for seconds in SECONDS])
    assert dict(zip(made, ends, strict=False)) == dict.fromkeys(made, -9)
    assert set(ends[len(made) :]) <= {-9, 0}  # a fast machine may come to the end
    return made | {OFTEN: often}


def run_killed(jobs: list[dict[str, Any]]) -> list[int]:
    """How the processes of the jobs ended: -9 where SIGKILL ended them."""
    done = subprocess.run(
        [sys.executable, str(KILLED)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(KILLED.parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    ends: list[int] = json.loads(done.stdout)
    return ends


def contents(stage: Path) -> dict[str, Any]:
    """What a stage wrote, less its measured times."""
    files: dict[str, Any] = {
        str(path.relative_to(stage)): path.read_bytes() for path in stage.rglob("*") if path.is_file()
    }
    metrics = read_json(stage / "metrics.json")
    files["metrics.json"] = {name: value for name, value in metrics.items() if name not in MEASURED}
    rows = list(csv.DictReader(files["log.csv"].decode().splitlines()))
    files["log.csv"] = [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    return files


def same(one: Path, other: Path) -> None:
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name] == second[name], name


def resume(one: Killed, **experiment: Any) -> int:
    """Run the killed stage to its end; how many steps that took."""
    done = 0

    def counted(step: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            return step(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.chdir(one.workspace.folder)
        for recipe in (Pix2pix, Student):
            patch.setattr(recipe, "step", counted(recipe.step))
        train(one.workspace.config(**experiment), one.stage)
    return done


@pytest.mark.parametrize("stage", TRAINS)
def test_killed_between_saves(stage: str, killed: dict[str, Killed], finished: Workspace) -> None:
    one, own = killed[stage], killed[stage].workspace
    assert not own.stage(stage).exists()
    assert (own.resume(stage) / "state.pt").is_file()

    done = resume(one)

    same(own.stage(stage), finished.stage(stage))
    assert not own.resume(stage).exists()
    log = contents(own.stage(stage))["log.csv"]
    assert [int(row["step"]) for row in log] == list(range(1, len(log) + 1))
    assert done == len(log) - one.saved


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_an_awkward_moment(moment: str, killed: dict[str, Killed], finished: Workspace) -> None:
    own = killed[moment].workspace
    resume(killed[moment])
    same(own.stage("distill"), finished.stage("distill"))
    assert not own.resume("distill").exists()


def test_killed_in_bf16(killed: dict[str, Killed], finished: Workspace, workspace: Workspace) -> None:
    train(workspace.config(**BF16), "distill")
    resume(killed["bf16"], **BF16)
    own = killed["bf16"].workspace
    same(own.stage("distill"), workspace.stage("distill"))
    losses = [contents(stage)["log.csv"] for stage in (own.stage("distill"), finished.stage("distill"))]
    assert losses[0] != losses[1]


def test_killed_while_it_simulates_int8(killed: dict[str, Killed], finished: Workspace, workspace: Workspace) -> None:
    """The ranges that it saw are a part of its state, and not of what it leaves behind."""
    train(workspace.config(**INT8), "finetune")
    resume(killed["int8"], **INT8)
    own, without = killed["int8"].workspace.stage("finetune"), finished.stage("finetune")
    same(own, workspace.stage("finetune"))
    tensors, plain = (load_tensors(stage / "model.safetensors")[0] for stage in (own, without))
    assert tensors.keys() == plain.keys()
    assert any(not torch.equal(tensors[name], plain[name]) for name in plain)


def test_killed_over_and_over(killed: dict[str, Killed], finished: Workspace) -> None:
    """At moments that nobody chose."""
    resume(killed[OFTEN])
    same(killed[OFTEN].workspace.stage("supernet"), finished.stage("supernet"))


def test_killed_moved_and_continued(killed: dict[str, Killed], finished: Workspace, tmp_path: Path) -> None:
    """Nothing that a stage saves says where it lies."""
    one = killed[MOVED]
    moved = Workspace(one.workspace.folder.rename(tmp_path / "else where"))
    done = resume(Killed(moved, one.stage, one.saved, one.job))
    same(moved.stage("narrow"), finished.stage("narrow"))
    assert done == len(contents(moved.stage("narrow"))["log.csv"]) - one.saved


def test_a_clock_that_jumps_changes_nothing(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By days, either way, at every look, with files of the future before it."""
    clock, day = time.time, 86_400
    monkeypatch.setattr(time, "time", lambda: clock() + random.uniform(-9, 9) * day)
    for path in workspace.stage("teacher").iterdir():
        os.utime(path, (clock() + day, clock() + day))
    monkeypatch.setattr("gancomp.train.loop.SAVE_EVERY_SECONDS", 0.0)
    train(workspace.config(), "distill")
    same(workspace.stage("distill"), finished.stage("distill"))
    assert 0 < read_json(workspace.stage("distill") / "metrics.json")["seconds"] < 600


def test_two_runs_are_the_same_bytes(finished: Workspace, workspace: Workspace) -> None:
    train(workspace.config(), "teacher")
    same(workspace.stage("teacher"), finished.stage("teacher"))
