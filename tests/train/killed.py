"""Runs stages in processes that die by SIGKILL: `python killed.py < jobs.json`; prints how each job's process ended.

One import of torch serves all jobs: each runs in a fork, made before any tensor exists.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from tiny_run import DATASET, EXPERIMENT, FakeInception, train

from gancomp.config.loading import parse
from gancomp.data.build import build
from gancomp.deploy.slim import export_slim
from gancomp.metrics.statistics import write_statistics
from gancomp.pipeline import paths
from gancomp.pipeline.files import atomic, write_text
from gancomp.search import candidates, scores, select
from gancomp.train import loop, state
from gancomp.train import run as at_work
from gancomp.train.stages import extract_winner


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived")


def half_a_model(path: Path, *_: Any, **__: Any) -> NoReturn:
    with atomic(path) as temporary:
        temporary.write_bytes(b"half")
        die()
    raise AssertionError("survived")


def arrange(moment: str, saved: int, killed: int) -> None:
    """Save at step *saved* alone, and die at *killed*: at that moment of it, or of the stage's end."""
    save_state, torch_save = loop.save_state, torch.save

    def save(path: Path, signature: str, progressed: state.Progressed, parts: Any) -> None:
        if progressed.step == killed and moment == "between saves":
            die()
        if progressed.step == killed and moment == "while saving":
            torch.save = half_of_it
        if progressed.step == saved or progressed.step >= killed:
            save_state(path, signature, progressed, parts)

    def half_of_it(state: Any, path: Path) -> NoReturn:
        torch_save(state, path)
        os.truncate(path, path.stat().st_size // 2)
        die()

    loop.save_state = save
    if moment == "before the model is written":
        at_work.save_generator = die
    if moment == "while the model is written":
        at_work.save_generator = half_a_model
    if moment == "while the state is removed":
        state.shutil.rmtree = die


def run_all(config: Any) -> None:
    """Every stage from the data to the export that `done` does not name yet, in the workflow's order."""
    root, done = paths.dataset(DATASET), Path("done")
    commands: dict[str, Callable[[], Any]] = {
        "data": lambda: build(DATASET, config.datasets[DATASET], root, Path("data/downloads")),
        "statistics": lambda: write_statistics(root, [FakeInception()], root / "statistics.safetensors"),
        **{stage: partial(train, config, stage) for stage in ("original", "teacher", "distill", "supernet")},
        "search 0-of-2": lambda: scores.score_shard(config, EXPERIMENT, 0, 2, "cpu"),
        "search 1-of-2": lambda: scores.score_shard(config, EXPERIMENT, 1, 2, "cpu"),
        "merge": lambda: select.merge(config, EXPERIMENT, 2),
        "select": lambda: select.select(config, EXPERIMENT),
        "subnet": lambda: extract_winner(config, EXPERIMENT),
        **{stage: partial(train, config, stage) for stage in ("finetune", "narrow")},
        "export": lambda: export_slim(config, EXPERIMENT),
    }
    scores.Inception = FakeInception
    candidates.GROUP = scores.GROUP = 4  # so that a search is killed within
    finished = done.read_text().splitlines() if done.is_file() else []
    for name, command in commands.items():
        if name not in finished:
            Path("begun").write_text(name)
            command()
            finished.append(name)
            write_text(done, "\n".join(finished))


def run(job: dict[str, Any]) -> None:
    os.chdir(job["folder"])
    loop.SAVE_EVERY_SECONDS = 0.0
    if "stage" not in job:
        run_all(parse(job["settings"]))
        return
    if "moment" in job:
        arrange(job["moment"], job["saved"], job["killed"])
    train(parse(job["settings"]), job["stage"])


def wait_for(begun: Path, stages: list[str], child: int) -> None:
    """Until the run has come to one of *stages*, or to its end."""
    begun.unlink(missing_ok=True)
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with contextlib.suppress(FileNotFoundError):
            if begun.read_text() in stages:
                return
        time.sleep(0.002)


def main() -> None:
    torch.set_num_threads(1)
    ends = []
    for job in json.load(sys.stdin):
        child = os.fork()
        if not child:
            os.dup2(2, 1)  # what a stage says is no part of the answer
            try:
                run(job)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        if "during" in job:
            wait_for(Path(job["folder"]) / "begun", job["during"], child)
        if "seconds" in job:
            time.sleep(job["seconds"])
            os.kill(child, signal.SIGKILL)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ends), file=sys.__stdout__)


if __name__ == "__main__":
    main()
