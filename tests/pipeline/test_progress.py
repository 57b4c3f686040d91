"""Progress as lines and as a bar, on a clock that the test sets."""

from __future__ import annotations

import sys

import pytest

from gancomp.pipeline import progress as module
from gancomp.pipeline.progress import Progress


class Clock:
    """`time.monotonic` set by the test; does not start at 0, like the real one."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(module.time, "monotonic", own)
    return own


def test_lines_every_quarter_of_a_minute(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("teacher", 1000, "images") as progress:
        for _ in range(60):
            clock.now += 1
            progress.advance(10, "d_loss 0.51")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "teacher: 50 / 1,000 images (5%), 10.0 images/s, 1:35 left; d_loss 0.51"  # the first comes early
    assert len(lines) == 1 + 55 // 15 + 1
    assert lines[-1] == "teacher: 600 / 1,000 images (60%), 10.0 images/s, 0:40 left; done"


def test_rate_and_eta_count_this_run_alone(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("teacher", 100_000, "images", done=50_000) as progress:
        clock.now += 10
        progress.advance(20)
        assert progress.rate == pytest.approx(2.0)
    (line, last) = capsys.readouterr().err.splitlines()
    assert line == "teacher: 50,020 / 100,000 images (50%), 2.0 images/s, 6:56:30 left"
    assert last.endswith("done")


def test_a_bar_on_a_terminal(clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("search", 4, "subnets") as progress:
        for detail in ("a long detail", "", "", ""):
            clock.now += 0.15
            progress.advance(1, detail)
    shown = capsys.readouterr().err
    assert shown.count("\r") == 2 + 1  # every second one, and the end
    assert shown.endswith("; done\n")
    first, second = shown.split("\r")[1:3]
    assert len(second) >= len(first.rstrip())  # nothing of a longer line stays


def test_a_failure_is_not_called_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), Progress("teacher", 10, "images"):
        raise KeyError
    assert "done" not in capsys.readouterr().err


def test_nothing_to_do_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("teacher", 0, "images") as progress:
        assert progress.rate == 0
    assert capsys.readouterr().err == ""


def test_no_time_at_all_is_no_fault(clock: Clock) -> None:
    with Progress("teacher", 5, "images") as progress:
        progress.advance(5)
        assert progress.done == 5
