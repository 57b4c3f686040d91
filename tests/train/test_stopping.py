"""A training stops when it is told to, or its time is over; attempts come to an end; one process trains at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_run import Workspace, train

from gancomp.errors import GancompError
from gancomp.train import stopping
from gancomp.train.lock import wait_for_turn
from gancomp.train.stopping import FRUITLESS_ATTEMPTS, Allotted, count_attempt


class Clock:
    """`time.monotonic`, told by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# In a process of its own: a signal that is not heard must not end the tests.
HEARS = """
import os, signal
from gancomp.train.stopping import asked_to_stop

with asked_to_stop() as stop:
    print(stop())
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop())
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""
IN_A_THREAD = """
import threading
from gancomp.train.stopping import asked_to_stop

def listen():
    with asked_to_stop() as stop:
        print(stop())

thread = threading.Thread(target=listen)
thread.start()
thread.join()
"""


def test_it_is_heard_within_and_deadly_after() -> None:
    done = subprocess.run([sys.executable, "-c", HEARS], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "True", "True"]
    assert done.returncode == -15


def test_outside_the_main_thread_nothing_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["False"])


# --- limited time ------------------------------------------------------------------------------


def test_time_is_over_before_the_next_step_and_save_would_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stopping.time, "monotonic", clock)
    allotted = Allotted(100.0)
    clock.now += 30  # a long first step
    allotted.stepped()
    clock.now += 2
    allotted.saved()
    # 100 - 10 in reserve - 30 for the step - 3 x 2 for the save
    clock.now = 53.9
    assert not allotted.is_over()
    clock.now = 54.1
    assert allotted.is_over()


def test_without_a_limit_time_is_never_over() -> None:
    assert not Allotted(None).is_over()


def test_attempts_that_get_nowhere_come_to_an_end(tmp_path: Path) -> None:
    for _ in range(FRUITLESS_ATTEMPTS):
        count_attempt(tmp_path, "teacher")
    for _ in range(2):  # however often it is tried
        with pytest.raises(GancompError, match=r"teacher: 3 attempts in a row.*delete .*attempts\.json"):
            count_attempt(tmp_path, "teacher")
    (tmp_path / "attempts.json").unlink()
    count_attempt(tmp_path, "teacher")


def test_attempts_that_saved_something_are_not_counted(tmp_path: Path) -> None:
    for attempt in range(3 * FRUITLESS_ATTEMPTS):
        count_attempt(tmp_path, "teacher")
        (tmp_path / "state.pt").write_text(str(attempt))
        os.utime(tmp_path / "state.pt", ns=(0, attempt))


# --- one at a time -----------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from gancomp.train.lock import wait_for_turn
stream, waited = wait_for_turn(Path(sys.argv[1]), "teacher", *map(float, sys.argv[2:]))
print(waited, flush=True)
sys.stdin.read()
"""


def hold(path: Path, *until: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path), *until], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    first = hold(tmp_path / "teacher.lock")
    assert first.stdout
    assert first.stdout.readline() == "False\n"
    second = hold(tmp_path / "teacher.lock")
    assert second.stdout
    assert second.stdout.readline().startswith(f"teacher: process {first.pid} on ")
    first.kill()  # no death leaves the lock behind
    first.communicate()
    assert second.stdout.readline() == "True\n"
    second.communicate("")
    third, waited = wait_for_turn(tmp_path / "teacher.lock", "teacher")
    assert not waited
    third.close()


def test_who_has_no_time_to_wait_says_so(tmp_path: Path) -> None:
    first = hold(tmp_path / "teacher.lock")
    assert first.stdout
    first.stdout.readline()
    with pytest.raises(GancompError, match="another process still trains it"):
        wait_for_turn(tmp_path / "teacher.lock", "teacher", time.monotonic())
    first.communicate("")


def test_what_the_other_process_finished_is_not_trained_again(finished: Workspace, workspace: Workspace) -> None:
    """As when a cluster's job goes on while the workflow that submitted it is started anew."""
    lock = workspace.resume("teacher").with_suffix(".lock")
    first = hold(lock)
    assert first.stdout
    first.stdout.readline()
    threading.Timer(1.0, first.kill).start()
    with pytest.raises(SystemExit) as ended:
        train(workspace.config(), "teacher")
    assert ended.value.code == 0
    first.communicate()
    model = "model.safetensors"
    assert (workspace.stage("teacher") / model).stat().st_mtime == (finished.stage("teacher") / model).stat().st_mtime
