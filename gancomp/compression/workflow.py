"""Run the workflow for one configuration file, and find the error if it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from gancomp.errors import GancompError
from gancomp.pipeline.project import project_folder

#: Snakemake's line on the log of a failed job.
FAILED_LOG = re.compile(r"^ +log: (.+) \(check log file\(s\) for error details\)$", re.MULTILINE)
#: Its table of stages that would run and their numbers of jobs.
PLANNED = re.compile(r"^Job stats:\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


def planned_jobs(configuration: Path, cores: int | None) -> str:
    """The stages that the workflow would run, with their numbers of jobs."""
    command, environment = _workflow(configuration, cores)
    done = subprocess.run(
        [*command, "--dry-run", "--quiet", "rules", "host"], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise GancompError(f"{configuration.name}: the workflow cannot be planned:\n{done.stderr.strip()}")
    jobs = PLANNED.search(done.stdout)
    return jobs[1] if jobs else "nothing to run"


def run_snakemake(configuration: Path, cores: int | None) -> None:
    """Run the workflow in the current folder, with this command's standard output and error."""
    command, environment = _workflow(configuration, cores)
    sys.stdout.flush()
    begun = time.time()
    with subprocess.Popen(command, env=environment) as workflow:
        status = _patiently(workflow)
    if status:
        errors = [f"\n\n{log}: {_error_in(log)}" for log in _logs_of_failed(begun)]
        stopped = f"the workflow stopped{'' if errors else ' (see above)'}; run the same command again to resume"
        raise GancompError(f"{configuration}: {stopped}{''.join(errors)}")


def _workflow(configuration: Path, cores: int | None) -> tuple[list[str], dict[str, str]]:
    """The command that runs the workflow in the current folder, and its environment."""
    snakefile = project_folder() / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(configuration)]
    command += ["--cores", str(cores)] if cores else []
    # Rules call `gancomp` by name.
    searched = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return command, os.environ | {"PATH": searched}


def _logs_of_failed(begun: float) -> list[Path]:
    """The logs of the jobs that failed in the workflow since *begun*, from Snakemake's log."""
    own = [path for path in Path(".snakemake/log").glob("*.log") if path.stat().st_mtime >= begun]
    named = [Path(name) for path in own for name in FAILED_LOG.findall(path.read_text("utf-8", errors="replace"))]
    return [log for log in dict.fromkeys(named) if log.is_file()]


def _error_in(log: Path) -> str:
    """The final message of the stage that wrote *log*: its error, else its last non-empty line."""
    text = log.read_text("utf-8", errors="replace").strip()
    _, error, words = text.rpartition("gancomp: error: ")
    if error:
        return words
    return re.split(r"[\r\n]", text)[-1] or "the stage stopped without a message, possibly killed for lack of memory"


def _patiently(workflow: subprocess.Popen[bytes]) -> int:
    """The status of *workflow*. Ctrl-C reaches it too, and it lets its jobs save their state before it ends."""
    while True:
        try:
            return workflow.wait()
        except KeyboardInterrupt:
            continue
