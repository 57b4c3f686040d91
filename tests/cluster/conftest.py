"""A real Slurm on loopback: munged, slurmctld and one slurmd that claims 8 cores and two pretend GPUs."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from needed import missing

ETC = Path(__file__).parent / "etc"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
#: Where Debian keeps what root alone runs.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Slurm:
    """The cluster that runs, and the environment in which its commands find it."""

    root: Path
    env: dict[str, str]
    reported: list[str]

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def log(self, name: str) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.root / "log").glob(f"{name}*"))


#: What ran on the cluster, a line for each test.
REPORTED: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The jobs' numbers, also where all went well: a run that no cluster saw must not look like one that did."""
    if REPORTED:
        terminalreporter.section("jobs on Slurm")
        for line in REPORTED:
            terminalreporter.write_line(line)


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens, another test run's Slurm for one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Started in seconds, stopped by its own process ids. It is `missing` where Slurm is not installed; elsewhere a
    cluster that does not start is a failure."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if lacking:
        missing("slurm", f"no Slurm here: {', '.join(lacking)} missing (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        missing("slurm", "the test's Slurm is started as root, which this user is not")
    # munged refuses a socket whose path others may write to, as /tmp is.
    root = Path("/run") / f"gancomp-slurm-{secrets.token_hex(4)}"
    host = socket.gethostname().split(".")[0]
    for folder in ("etc", "run", "log", "state", "dev", "bin", f"spool/{host}"):
        (root / folder).mkdir(parents=True, mode=0o755)
    key = root / "etc/munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    for number in (0, 1):
        # Slurm sets CUDA_VISIBLE_DEVICES for character devices alone; these are /dev/null by other names.
        os.mknod(root / f"dev/nvidia{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    settings = {"@ROOT@": str(root), "@HOST@": host}
    settings |= dict(zip(("@SLURMCTLD@", "@SLURMD@"), map(str, free_ports(2)), strict=True))
    for template in ETC.iterdir():
        text = template.read_text()
        for name, value in settings.items():
            text = text.replace(name, value)
        (root / "etc" / template.name).write_text(text)
    # Snakemake's executor takes SLURM_CONF out of a job's environment: this srun puts it back.
    config = root / "etc/slurm.conf"
    srun = root / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    env = {**os.environ, "PATH": f"{root}/bin:{PATH}", "SLURM_CONF": str(config)}
    cluster = Slurm(root, env, REPORTED)
    try:
        cluster.ask(
            "munged", "--force", f"--key-file={key}", f"--socket={root}/run/munge.socket",
            f"--pid-file={root}/run/munged.pid", f"--log-file={root}/log/munged.log",
            f"--seed-file={root}/run/munged.seed",
        )  # fmt: skip
        cluster.ask("slurmctld", "-f", str(config), "-c")
        cluster.ask("slurmd", "-f", str(config), "-N", host)
        until = time.monotonic() + 60
        while "idle" not in cluster.ask("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < until, cluster.log("slurm")
            time.sleep(0.5)
        yield cluster
    finally:
        for path in (root / "run").glob("*.pid"):
            try:
                os.kill(int(path.read_text()), signal.SIGTERM)
            except (ProcessLookupError, ValueError):
                continue
        time.sleep(2)
        shutil.rmtree(root, ignore_errors=True)
