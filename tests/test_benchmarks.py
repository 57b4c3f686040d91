"""`benchmarks/throughput.py`: it runs without results, measures every stage, and compares what took turns."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.throughput import Group, measure, run
from gancomp.config.loading import load
from gancomp.config.settings import Config

ROOT = Path(__file__).parent.parent
SMALL = {
    "datasets": {"emoji-tiny": {"size": 16, "load_size": 20}},
    "experiments": {
        "tiny": {
            "generator": {"blocks": 3},
            "original": {"widths": 8, "batch": 2},
            "teacher": {"widths": 6, "batch": 2},
            "distill": {"widths": 4, "batch": 2},
            "supernet": {"batch": 2, "space": [[4], [4], [4], [4], [4], [4], [4], [4, 2]]},
            "search": {"budget": "2x", "images": 4, "chunk": 2},
            "finetune": {"batch": 2},
        }
    },
}


@pytest.fixture
def small() -> Config:
    return load([ROOT / "config.yaml", ROOT / "config" / "tiny.yaml"], SMALL)


def test_every_stage_and_the_search_are_measured(
    small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(small, "tiny", seconds=0, rounds=2, folder=tmp_path / "out", device="cpu")
    rows = list(csv.DictReader((tmp_path / "out/tiny.csv").open(encoding="utf-8")))
    trained = [f"train {stage}" for stage in ("original", "teacher", "distill", "supernet", "finetune")]
    assert [(row["measured"], row["variant"]) for row in rows] == [
        *((stage, precision) for stage in trained for precision in ("32", "bf16")),
        *(("search", f"{how}, {precision}") for precision in ("32", "bf16") for how in ("alone", "shared")),
    ]
    assert all(0 < float(row["lowest"]) <= float(row["median"]) <= float(row["highest"]) for row in rows)
    assert "Inception is left out" in capsys.readouterr().err
    page = (tmp_path / "out/tiny.md").read_text(encoding="utf-8")
    assert page.count("\n| ") == 2 + len(rows)
    for word in ("torch: ", "processor: ", "code version: ", "threads: "):
        assert word in page


def test_ratios_are_those_of_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine becomes ten times slower after the first turn: the ratio stays."""
    clock = 0.0

    def takes(seconds: float) -> Callable[[], float]:
        def work() -> float:
            nonlocal clock
            clock += seconds if clock < 5 else 10 * seconds
            return 1.0

        return work

    monkeypatch.setattr("time.perf_counter", lambda: clock)
    slow, fast = measure(Group("made up", "jobs/s", {"slow": takes(2.0), "fast": takes(0.5)}), seconds=0, rounds=3)
    assert (slow["times_first"], fast["times_first"]) == ("1", "4")
    assert float(slow["lowest"]) == pytest.approx(0.05)
    assert float(slow["highest"]) == pytest.approx(0.5)
