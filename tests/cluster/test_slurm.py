"""The workflow on a real Slurm: jobs go where the profile says, get their GPU, stop in time and go on."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.cluster.conftest import Slurm

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parent.parent.parent
IMPATIENT = Path(__file__).parent / "impatient.py"
#: Less polite than on a shared cluster.
FAST = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5", "--jobs", "4", "--cores", "2")
running: list[subprocess.Popen[str]] = []
MODEL = "results/tiny/original/model.safetensors"


def start(slurm: Slurm, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake as on a login node, its words in `snakemake.txt`."""
    for name in ("config.yaml", "config", "profiles"):
        source, target = ROOT / name, folder / name
        if not target.exists():
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    env = {**slurm.env, "PATH": f"{Path(sys.executable).parent}:{slurm.env['PATH']}"}
    with (folder / "snakemake.txt").open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, IMPATIENT, "--snakefile", ROOT / "Snakefile", "--nocolor",
             "--workflow-profile", "profiles/slurm", *FAST, *arguments],
            cwd=folder, env=env, stdout=stream, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            # Heard also where the tests themselves run in a shell's background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    running.append(process)
    return process


def told(folder: Path) -> str:
    return (folder / "snakemake.txt").read_text()


def snakemake(slurm: Slurm, folder: Path, *arguments: str) -> int:
    return start(slurm, folder, *arguments).wait(timeout=900)


def training(epochs: int) -> tuple[str, ...]:
    """One training of so many steps of 8 pictures, five to an epoch, as a target."""
    settings = {"tiny": {"original": {"epochs_const": epochs, "epochs_decay": 0}}}
    return (MODEL, "--configfile", "config/tiny.yaml", "--config", f"experiments={json.dumps(settings)}")


def steps(folder: Path) -> list[int]:
    """The steps in the log of the training, as far as it has come."""
    found = [folder / "results/tiny" / name / "log.csv" for name in ("original", ".resume/original")]
    lines = next((path.read_text().splitlines()[1:] for path in found if path.exists()), [])
    return [int(line.split(",")[0]) for line in lines]


def jobs_of(slurm: Slurm, folder: Path, rule: str = "original") -> list[dict[str, str]]:
    """What Slurm knows of the jobs that were submitted for *rule* from *folder*, in order."""
    lines = slurm.ask("scontrol", "show", "jobs", "--oneliner").splitlines()
    known = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]
    own = [job for job in known if job.get("WorkDir") == str(folder) and f"rule_{rule}" in job.get("Comment", "")]
    return sorted(own, key=lambda job: int(job["JobId"]))


def report(slurm: Slurm, name: str, *jobs: dict[str, str]) -> None:
    """For the end of the tests' log: which jobs they were, and what became of each."""
    told = (f"job {job['JobId']} {job['JobState'].lower()} after {job['RunTime']}" for job in jobs)
    slurm.reported.append(f"{name}: {', '.join(told)}")


def wait_for(what: Callable[[], object], process: subprocess.Popen[str], folder: Path, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, told(folder)
        assert time.monotonic() < until, told(folder)
        time.sleep(0.5)


def interrupt(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C: Snakemake cancels its jobs."""
    process.send_signal(signal.SIGINT)
    process.wait(timeout=120)


@pytest.fixture(scope="module")
def data(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the tiny data set, built on the cluster."""
    folder = tmp_path_factory.mktemp("data")
    target = ("data/emoji-tiny/manifest.json", "data/inception/weights.safetensors")
    assert snakemake(slurm, folder, *target, "--configfile", "config/tiny.yaml") == 0, told(folder)
    return folder


@pytest.fixture
def folder(slurm: Slurm, data: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder of its own for each test, with the data set as it was built; no job or Snakemake outlives the test."""
    for name in ("data", ".snakemake", "results"):
        if (data / name).exists():
            shutil.copytree(data / name, tmp_path / name, symlinks=True)
    running.clear()
    yield tmp_path
    for process in running:
        process.kill()
        process.wait()
    slurm.ask("scancel", "--user=root")


def test_a_job_gets_its_own_gpu(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho $CUDA_VISIBLE_DEVICES\nsleep 3\n")
    options = ["--partition=gpu", "--gpus=1", "--wait", f"--output={tmp_path}/%j.txt", str(script)]
    both = [subprocess.Popen(["sbatch", *options], env=slurm.env) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert sorted(path.read_text().strip() for path in tmp_path.glob("*.txt")) == ["0", "1"]


def test_a_job_over_its_time_limit_saves_and_goes_on(slurm: Slurm, folder: Path) -> None:
    """A training longer than any attempt: each stops in time, and the next begins where it stopped."""
    process = start(slurm, folder, *training(10_000), "--set-resources", "original:runtime=1")

    def stopped() -> list[int]:
        return [int(step) for step in re.findall(r"stopped and saved after step (\d+)", told(folder))]

    wait_for(lambda: len(set(stopped())) > 1, process, folder, seconds=600)
    assert stopped() == sorted(stopped())
    interrupt(process)
    # No attempt trained for longer than its minute, and each went on with what the one before had saved. What Slurm
    # calls their ends depends on the load: whether the job's own Snakemake, too, comes to its end within the minute.
    attempts = jobs_of(slurm, folder)
    state = torch.load(folder / "results/tiny/.resume/original/state.pt", weights_only=True)
    assert state["step"] >= max(stopped())
    assert state["elapsed"] < 60 * len(attempts)
    first, second = attempts[:2]
    assert {first["JobState"], second["JobState"]} <= {"FAILED", "TIMEOUT", "CANCELLED"}
    report(slurm, "time limit", first, second)


def preempt(slurm: Slurm) -> None:
    """Somebody else, who goes first, wants the whole node."""
    slurm.ask("sbatch", "--partition=cpu", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=sleep 3")


def test_a_preempted_job_is_requeued(slurm: Slurm, folder: Path) -> None:
    """Killed without a warning, and put into the queue again: the same job comes to the end, in one attempt."""
    process = start(slurm, folder, *training(20), "--set-resources", "original:slurm_partition=preempt")
    wait_for(lambda: steps(folder), process, folder)
    preempt(slurm)
    assert process.wait(timeout=600) == 0, told(folder)
    (job,) = jobs_of(slurm, folder)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert steps(folder) == list(range(1, 101))
    report(slurm, "preempted", job)


def test_a_job_that_is_warned_of_preemption_saves(slurm: Slurm, folder: Path) -> None:
    """Where the partition grants some time, the training stops by itself, and the next attempt goes on."""
    process = start(slurm, folder, *training(20), "--set-resources", "original:slurm_partition=polite")
    wait_for(lambda: steps(folder), process, folder)
    preempt(slurm)
    wait_for(lambda: jobs_of(slurm, folder)[0]["JobState"] == "FAILED", process, folder)
    # Within the time granted; what listened to its words was told to stop as well.
    assert (folder / "results/tiny/.resume/original/state.pt").is_file()
    assert process.wait(timeout=600) == 0, told(folder)
    first, second = jobs_of(slurm, folder)
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert steps(folder) == list(range(1, 101))
    report(slurm, "warned of preemption", first, second)


def test_a_cancelled_job_fails_and_its_log_is_shown(slurm: Slurm, folder: Path) -> None:
    process = start(slurm, folder, *training(80), "--retries", "0")
    log = folder / "results/tiny/logs/original.log"
    # Snakemake shows no further log after an empty one, and a training's first line comes after some seconds.
    wait_for(lambda: steps(folder) and log.stat().st_size, process, folder)
    (job,) = jobs_of(slurm, folder)
    slurm.ask("scancel", job["JobId"])
    assert process.wait(timeout=240) == 1
    assert "Error in rule original" in told(folder)
    assert "results/tiny/logs/original.log" in told(folder)
    assert f"JOB {job['JobId']} ON" in told(folder)  # from the log of its Slurm job
    report(slurm, "cancelled", *jobs_of(slurm, folder))


def test_a_login_node_that_dies_leaves_a_run_that_goes_on(slurm: Slurm, folder: Path) -> None:
    """The job goes on alone; the next Snakemake's job for the same training waits for it, and finds its results."""
    target = training(20)
    process = start(slurm, folder, *target)
    wait_for(lambda: steps(folder), process, folder)
    process.kill()
    process.wait()
    assert snakemake(slurm, folder, *target, "--unlock") == 0
    assert snakemake(slurm, folder, *target) == 0, told(folder)
    assert (folder / MODEL).is_file()
    assert steps(folder) == list(range(1, len(steps(folder)) + 1))
    report(slurm, "login node died", *jobs_of(slurm, folder))


@pytest.mark.slow
def test_the_search_runs_side_by_side_on_slurm(slurm: Slurm, folder: Path) -> None:
    target = "results/tiny/search/selection.json"
    assert snakemake(slurm, folder, target, "--configfile", "config/tiny.yaml") == 0, told(folder)
    assert (folder / target).is_file()
    own = [job for rule in ("teacher", "distill", "supernet", "search") for job in jobs_of(slurm, folder, rule)]
    report(slurm, "search", *own)
    assert [job["JobState"] for job in own] == ["COMPLETED"] * 5
    assert [job["Partition"] for job in own] == ["gpu"] * 5
    shards = own[3:]
    assert max(job["StartTime"] for job in shards) <= min(job["EndTime"] for job in shards)
