"""Trains stages in processes that die by SIGKILL: `python killed.py < jobs.json`; prints how each job's process ended.

One import of torch serves all jobs: each runs in a fork, made before any tensor exists.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from tiny_run import train

from gancomp.artifacts import atomic
from gancomp.loading import parse
from gancomp.train import loop, state
from gancomp.train import run as at_work


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


def run(job: dict[str, Any]) -> None:
    os.chdir(job["folder"])
    loop.SAVE_EVERY_SECONDS = 0.0
    if "moment" in job:
        arrange(job["moment"], job["saved"], job["killed"])
    train(parse(job["settings"]), job["stage"])


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
        if "seconds" in job:
            time.sleep(job["seconds"])
            os.kill(child, signal.SIGKILL)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ends), file=sys.__stdout__)


if __name__ == "__main__":
    main()
