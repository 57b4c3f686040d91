"""The workflow on a real Slurm: jobs go where the profile says, get their GPU, and shards run side by side."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import Slurm

ROOT = Path(__file__).parent.parent.parent
#: Polls less politely than on a shared cluster.
FAST = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5", "--jobs", "4", "--cores", "2")


def snakemake(slurm: Slurm, folder: Path, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    for name in ("config.yaml", "config", "profiles"):
        source, target = ROOT / name, folder / name
        if not target.exists():
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    env = {**slurm.env, "PATH": f"{Path(sys.executable).parent}:{slurm.env['PATH']}"}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nocolor",
         "--workflow-profile", "profiles/slurm", *FAST, *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def test_a_job_gets_its_own_gpu(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho $CUDA_VISIBLE_DEVICES\nsleep 3\n")
    options = ["--partition=gpu", "--gpus=1", "--wait", f"--output={tmp_path}/%j.txt", str(script)]
    both = [subprocess.Popen(["sbatch", *options], env=slurm.env) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert sorted(path.read_text().strip() for path in tmp_path.glob("*.txt")) == ["0", "1"]


@pytest.mark.slow
def test_the_search_runs_side_by_side_on_slurm(slurm: Slurm, tmp_path: Path) -> None:
    done = snakemake(slurm, tmp_path, "results/tiny/search/selection.json", "--configfile", "config/tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = re.findall(r"Job (\d+) has been submitted with SLURM jobid (\d+)", done.stdout + done.stderr)
    print("Slurm jobs:", " ".join(number for _, number in jobs))
    assert (tmp_path / "results/tiny/search/selection.json").is_file()
    told = slurm.ask("scontrol", "show", "jobs", "--oneliner").splitlines()
    by_id = {match[1]: line for line in told if (match := re.match(r"JobId=(\d+) ", line))}
    own = [by_id[number] for _, number in jobs]
    assert all("JobState=COMPLETED" in line for line in own)
    # Teacher, distillation, once-for-all training, and two shards.
    assert sum("Partition=gpu" in line for line in own) == 5
    shards = [re.findall(r"(?:Start|End)Time=(\S+)", line)[:2] for line in own if "Comment=rule_search" in line]
    assert len(shards) == 2
    assert max(start for start, _ in shards) <= min(end for _, end in shards)
