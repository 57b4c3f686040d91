"""Profiles of clusters that are not here: planned, and Kubernetes' by a stand-in for kubectl that runs jobs locally."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/profile.yaml"))
TARGET = "results/tiny/original/model.safetensors"
#: The rules that keep a GPU busy.
HEAVY = {
    "original",
    "teacher",
    "distill",
    "supernet",
    "finetune",
    "narrow",
    "scratch",
    "search",
    "halve",
    "evolve",
    "evaluate",
    # With scores of one machine, because features of a CPU and of a GPU do not compare.
    "statistics",
    "reference",
}


def snakemake(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    for name in ("config.yaml", "config", "profiles"):
        source, target = ROOT / name, folder / name
        if not target.exists():
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    path = f"{Path(__file__).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nocolor", *arguments],
        cwd=folder, env={**os.environ, "PATH": path, **env}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_plans(profile: str, tmp_path: Path) -> None:
    done = snakemake(
        tmp_path, "--dry-run", "--configfile", "config/tiny.yaml", "--workflow-profile", f"profiles/{profile}"
    )
    assert done.returncode == 0, done.stderr
    assert "supernet" in done.stdout


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "default"])
def test_every_profile_gives_a_gpu_to_what_needs_one(profile: str) -> None:
    given = yaml.safe_load((ROOT / "profiles" / profile / "profile.yaml").read_text())["set-resources"]
    assert {rule for rule, resources in given.items() if resources["gpu"] == 1} == HEAVY


@pytest.mark.cluster
def test_a_job_runs_on_kubernetes(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    done = snakemake(
        tmp_path, TARGET, "--configfile", "config/tiny.yaml", "--workflow-profile", "profiles/kubernetes",
        "--latency-wait", "5", "--set-resources", "original:gpu=2", JOBS=str(jobs),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr + "".join(log.read_text() for log in jobs.glob("*/log"))
    assert (tmp_path / TARGET).is_file()
    (job,) = [json.loads(path.read_text()) for path in jobs.glob("*/job.json")]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["workingDir"] == str(tmp_path)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert job["spec"]["activeDeadlineSeconds"] == 1440 * 60


@pytest.mark.cluster
def test_a_failed_job_fails_on_kubernetes(tmp_path: Path) -> None:
    jobs, resume = tmp_path / "jobs", tmp_path / "results/tiny/.resume/original"
    jobs.mkdir()
    resume.mkdir(parents=True)
    (resume / "state.pt").write_bytes(b"nothing that was saved")
    done = snakemake(
        tmp_path, TARGET, "--configfile", "config/tiny.yaml",
        "--workflow-profile", "profiles/kubernetes", "--latency-wait", "1", "--retries", "0",
        JOBS=str(jobs),
    )  # fmt: skip
    assert done.returncode == 1
    assert "Error in rule original" in done.stderr + done.stdout
    assert "damaged resume state" in done.stderr + done.stdout  # its log is shown
