"""The terminal view: its contents, updates from other processes, and its end."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
from rich.console import Console

from gancomp.config.settings import Config
from gancomp.pipeline import paths
from gancomp.report import watch as watching
from gancomp.report.watch import sparkline, view, watch
from tests.growing import begun, finish, grow

EVERYTHING = (
    *("scores/search.csv", "search/selection.json", "subnet/model.safetensors", "export/model.safetensors"),
    *(f"{stage}/evaluation.json" for stage in ("original", "narrow", "subnet", "finetune", "reference")),
    *("benchmark/benchmark.json", "report.html"),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return begun()


def printed(config: Config, **options: object) -> str:
    console = Console(file=io.StringIO(), force_terminal=bool(options.pop("terminal", False)), width=110)
    watch(config, "mine", once=bool(options.get("once")), every=0.05, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_once_tells_state_speed_time_losses_and_pictures(config: Config) -> None:
    finish(config)
    grow("teacher", 4, pid=os.getpid())
    samples = paths.resume("mine", "teacher") / paths.SAMPLES
    samples.mkdir()
    (samples / "000000000016.png").touch()
    text = printed(config, once=True)
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert lines["mine:"].split(": ")[1].strip() == "2 of 14 stages done"
    assert "done" in lines["original"]
    assert all(part in lines["teacher"] for part in ("running", "16 / 40", "2.0", "0:1", "left"))
    assert "waiting" in lines["distill"]
    assert lines["g_recon"].split() == ["g_recon", sparkline([1, 1 / 2, 1 / 3, 1 / 4]), "0.25"]
    assert f"pictures: {samples}/000000000016.png" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_it_follows_until_all_is_done(config: Config, terminal: bool) -> None:
    for stage in ("original", "teacher", "distill", "supernet", "finetune"):
        finish(config, stage)
    for name in EVERYTHING:
        path = Path(paths.RESULTS, "mine", name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    grow("narrow", 4, pid=os.getpid())
    before = watching.standings(config, "mine")
    assert not watching.finished(before)

    def end() -> None:
        finish(config, "narrow")
        paths.resume("mine", "narrow").with_suffix(".lock").unlink()

    timer = threading.Timer(0.3, end)
    timer.start()
    text = printed(config, terminal=terminal)
    timer.join()
    assert text.index("running") < text.index("all is done")


def test_the_view_needs_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.chdir(tmp_path / "pairs")
    console = Console(file=io.StringIO(), width=110)
    console.print(view("mine", watching.standings(config, "mine")))
    assert isinstance(console.file, io.StringIO)
    assert "0 of 14 stages done" in console.file.getvalue()


def test_sparkline() -> None:
    assert sparkline([0, 7]) == "▁█"
    assert sparkline([3, 3, 3]) == "▁▁▁"
    assert sparkline([0, 0, 7, 7], width=2) == "▁█"
    assert len(sparkline(range(1000))) == watching.LINE
