"""SIGTERM is heard, ends nothing by itself, and is what it was before once nobody listens."""

from __future__ import annotations

import subprocess
import sys

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
