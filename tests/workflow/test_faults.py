"""The workflow when something goes wrong around it: clocks, moved folders, two at once, new code, odd paths."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tiny_run import DATASET, SETTINGS, write_pictures
from tiny_run import EXPERIMENT as EXPERIMENT_OF_OWN

from gancomp.pipeline.files import read_json
from gancomp.pipeline.stages import READS, STAGES
from tests.workflow.conftest import ROOT, Workspace

DAY = 86_400
EXPERIMENT = "results/fluent-quick"
#: Larger than the files that Snakemake takes checksums of unless told otherwise.
LARGE = b"0" * 2_000_000
CHECKSUMS_OF_ALL = "--max-checksum-file-size", "10000000000"


# --- clocks and moved folders ------------------------------------------------------------------


def a_day_earlier(workspace: Workspace, stages: set[str]) -> None:
    """What *stages* wrote, as if a clock that was a day ahead had been set right before they ran."""
    for stage in stages:
        for path in (workspace.folder / EXPERIMENT / stage).rglob("*"):
            told = path.stat()
            os.utime(path, (told.st_atime - DAY, told.st_mtime - DAY))


LATE = {"scores", "search", "subnet", "finetune", "narrow", "export"}


@pytest.fixture
def copied(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of what was finished, with the same times."""
    shutil.copytree(finished.folder, tmp_path / "copied", symlinks=True)
    return Workspace(tmp_path / "copied")


def test_a_clock_that_was_set_back_runs_nothing_again(copied: Workspace) -> None:
    a_day_earlier(copied, LATE)
    assert copied.snakemake().nothing_to_be_done


@pytest.mark.slow
def test_of_large_files_too_where_they_are_compared_by_content(new_workspace: Callable[[str], Workspace]) -> None:
    """Without that they are made again, which costs time and changes nothing; they are never passed over."""
    workspace = new_workspace("large")
    for name in workspace.plan().outputs:
        path = workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LARGE if path.suffix == ".safetensors" else b"")
    assert workspace.snakemake("--touch", "--forceall", *CHECKSUMS_OF_ALL).status == 0
    a_day_earlier(workspace, LATE)
    assert workspace.snakemake(*CHECKSUMS_OF_ALL).nothing_to_be_done
    assert {"search", "narrow", "finetune", "export"} <= workspace.plan(
        "--max-checksum-file-size", "1000000"
    ).jobs.keys()


def test_a_folder_that_was_moved_plans_nothing_more(copied: Workspace, tmp_path: Path) -> None:
    moved = Workspace(copied.folder.rename(tmp_path / "moved elsewhere"))
    assert moved.snakemake().nothing_to_be_done
    (moved.folder / EXPERIMENT / "export" / "card.json").unlink()
    assert moved.plan().jobs == {"export": 1}


# --- new code ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["dataset", "supernet", "scores"])
def test_new_code_of_a_stage_runs_it_and_what_follows(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """What older code made of it is used for nothing."""
    upgrade = f"from gancomp.pipeline.signatures import STAGE_VERSION\nSTAGE_VERSION[{stage!r}] += 1\n"
    (tmp_path / "sitecustomize.py").write_text(upgrade)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    planned = finished.plan().jobs
    # What this run does not have; the original teaches.
    assert stages_run_by(planned) == {stage, *following(stage)} - {"judge", "scratch", "teacher"}
    monkeypatch.undo()
    assert finished.snakemake().nothing_to_be_done


def stages_run_by(jobs: dict[str, int]) -> set[str]:
    names = {rule: {"merge": "scores", "select": "search", "search": "scores"}.get(rule, rule) for rule in jobs}
    return {*names.values()} & {*STAGES}


def following(stage: str) -> set[str]:
    direct = {other for other, reads in READS.items() if stage in reads.stages}
    return direct.union(*map(following, direct))


# --- a data set of one's own, for real ---------------------------------------------------------

#: Nobody names a folder like that on purpose; a shell that saw it would run something.
ODD = 'o\'ne "two" $HOME `id` ; ü 東 &'


def own_pictures(folder: Path, pictures: str) -> Workspace:
    """A working directory in which pairs are to be built from the folder *pictures*."""
    folder.mkdir()
    write_pictures(folder / pictures)
    datasets = {DATASET: SETTINGS["datasets"][DATASET] | {"path": pictures}}
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS | {"datasets": datasets}))
    return Workspace(folder)


def test_odd_paths(tmp_path: Path) -> None:
    """Of the working directory, of a configuration file, and of the pictures."""
    workspace = own_pictures(tmp_path / ODD, ODD)
    other = workspace.folder / f"{ODD}.yaml"
    (workspace.folder / "config.yaml").rename(other)
    (workspace.folder / "config.yaml").write_text("{}")
    built = workspace.snakemake("data", "--configfile", other.name, timeout=300)
    assert built.status == 0, built.text
    assert len(read_json(workspace.folder / "data" / DATASET / "manifest.json")["splits"]["val"]) == 7
    assert workspace.snakemake("data", "--configfile", other.name).nothing_to_be_done
    planned = workspace.plan("models", "--configfile", other.name).commands
    trained = [shlex.split(command) for command in planned if command.startswith("gancomp supernet")]
    assert [words[words.index("--configfile") + 3] for words in trained] == [other.name]


def test_int8_without_what_simulates_it_stops_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is trained; where the fine-tuned generator is there already, nothing is in the way."""
    workspace = own_pictures(tmp_path / "own", "pictures")
    given = {"experiments": {EXPERIMENT_OF_OWN: {"finetune": {"quantise": "int8"}}}}
    (workspace.folder / "given.yaml").write_text(yaml.safe_dump(given))
    files = "--configfile", "config.yaml", "given.yaml"
    assert workspace.snakemake("--dry-run", *files).status == 0
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text('import sys\nsys.modules["torchao"] = None\n')
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    refused = workspace.snakemake("--dry-run", *files)
    assert refused.status == 1
    assert f"experiments.{EXPERIMENT_OF_OWN}.finetune.quantise: torchao is not installed: pip install" in refused.text
    workspace.pretend_finished(*files[:2])
    assert workspace.snakemake("--dry-run", *files).status == 0


def test_weights_that_are_not_there_stop_the_plan(tmp_path: Path) -> None:
    """With the key; where they are there, they are what the jobs that look through them need."""
    workspace = own_pictures(tmp_path / "own", "pictures")
    given = {"experiments": {EXPERIMENT_OF_OWN: {"metric_weights": {"cmmd": "clip"}}}}
    (workspace.folder / "given.yaml").write_text(yaml.safe_dump(given))
    files = "--configfile", "config.yaml", "given.yaml"
    refused = workspace.snakemake("--dry-run", *files)
    assert refused.status == 1
    assert f"experiments.{EXPERIMENT_OF_OWN}.metric_weights.cmmd: clip: no file config.json there" in refused.text
    (workspace.folder / "clip").mkdir()
    (workspace.folder / "clip" / "config.json").write_text('{"model_type": "clip"}')
    (workspace.folder / "clip" / "model.safetensors").touch()
    needs = re.findall(r"^rule (\w+):\n    input: .*clip/config.json, clip/model", workspace.plan(*files).text, re.M)
    assert set(needs) == {"statistics", "evaluate", "reference"}


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose `gancomp` says `begun`, and goes on once there is `go`."""
    folder = tmp_path / "waiting"
    folder.mkdir()
    command = folder / "gancomp"
    command.write_text(
        f'#!/bin/sh\ntouch "{folder}/begun"\nwhile [ ! -e "{folder}/go" ]; do sleep 0.1; done\n'
        f'exec "{Path(sys.executable).parent}/gancomp" "$@"\n'
    )
    command.chmod(0o755)
    yield folder
    (folder / "go").touch()


def test_two_workflows_in_one_folder(tmp_path: Path, waiting: Path) -> None:
    """The second says that the folder is locked, and the first goes on unharmed."""
    workspace = own_pictures(tmp_path / "own", "pictures")
    path = os.pathsep.join((str(waiting), str(Path(sys.executable).parent), os.environ["PATH"]))
    first = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "data"],
        cwd=workspace.folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for _ in range(600):
        if (waiting / "begun").exists() or first.poll() is not None:
            break
        time.sleep(0.1)
    second = workspace.snakemake("data")
    (waiting / "go").touch()
    said, _ = first.communicate(timeout=120)
    assert second.status == 1
    assert "Directory cannot be locked" in second.text
    assert first.returncode == 0, said
    assert workspace.snakemake("data").nothing_to_be_done
