"""A working directory of its own for every workflow that a test runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


TINY = "--configfile", "config/tiny.yaml"
TARGETS = {"all", "data", "models", "tables", "figures"}


@dataclass(frozen=True)
class Plan:
    """What Snakemake said of one call."""

    status: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule, from the table of a dry run; without the targets, which run nothing."""
        table = re.search(r"^Job stats:\n.*?\n-+ .*?\n(.*?)^total ", self.text, re.MULTILINE | re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows if rule not in TARGETS}

    @property
    def ran(self) -> list[str]:
        """Rules of the jobs that ran, or would, in order; without the targets."""
        named = re.findall(r"^(?:local)?rule (\w+):$", self.text, re.MULTILINE)
        return [rule for rule in named if rule not in TARGETS]

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^Shell command: (gancomp .*)$", self.text, re.MULTILINE)

    @property
    def outputs(self) -> list[str]:
        lines = re.findall(r"^    output: (.*)$", self.text, re.MULTILINE)
        return [name.removesuffix(" (report)") for line in lines for name in line.split(", ")]

    @property
    def nothing_to_be_done(self) -> bool:
        return self.status == 0 and "Nothing to be done" in self.text


def run_snakemake(folder: Path, *arguments: str | Path, timeout: float = 120) -> Plan:
    """What `snakemake ARGUMENTS` says in *folder*."""
    # A user's own profile must not change what is tested, nor a Python that compiles anew at every start its speed.
    left_out = {"SNAKEMAKE_PROFILE", "PYTHONDONTWRITEBYTECODE"}
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    # The package's command, as `uv run` and an activated environment provide it.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Plan(done.returncode, done.stdout)


@dataclass(frozen=True)
class Workspace:
    """A folder with the project's configuration, in which its Snakefile runs."""

    folder: Path

    def snakemake(self, *arguments: str | Path, timeout: float = 120) -> Plan:
        return run_snakemake(self.folder, "--snakefile", ROOT / "Snakefile", *arguments, timeout=timeout)

    def plan(self, *arguments: str | Path) -> Plan:
        plan = self.snakemake("--dry-run", *arguments)
        assert plan.status == 0, plan.text
        return plan

    def pretend_finished(self, *arguments: str | Path) -> None:
        """Empty files in place of everything that would be made, taken as they are: how results are adopted too."""
        for name in self.plan(*arguments).outputs:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        adopted = self.snakemake("--touch", "--forceall", *arguments)
        assert adopted.status == 0, adopted.text


def workspace_in(folder: Path) -> Workspace:
    shutil.copy(ROOT / "config.yaml", folder)
    shutil.copytree(ROOT / "config", folder / "config")
    return Workspace(folder)


@pytest.fixture(scope="session")
def new_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    return lambda name: workspace_in(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def fresh(new_workspace: Callable[[str], Workspace]) -> Workspace:
    """Nothing was run here; for dry runs only."""
    return new_workspace("fresh")


@pytest.fixture(scope="session")
def finished(new_workspace: Callable[[str], Workspace]) -> Workspace:
    """Everything seems to have run here; for dry runs only."""
    workspace = new_workspace("finished")
    workspace.pretend_finished()
    return workspace


@pytest.fixture(scope="session")
def tiny(new_workspace: Callable[[str], Workspace]) -> Workspace:
    """A working directory in which the tiny configuration has run from beginning to end, in a few minutes."""
    workspace = new_workspace("tiny")
    downloads = ROOT / "data/downloads"
    if downloads.is_dir():  # spares the index; the hashes are checked all the same
        shutil.copytree(downloads, workspace.folder / "data/downloads")
    done = workspace.snakemake(*TINY, timeout=1500)
    assert done.status == 0, done.text[-10_000:]
    return workspace
