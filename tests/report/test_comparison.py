"""A comparison of methods: errors, differences paired by seed, files, and jobs."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper.measured import measured
from gancomp.report import comparison
from gancomp.report.comparison import comparison_of, difference, files_of, folder_of, write_comparison
from tests.config.test_settings import PLAIN
from tests.paper.test_tables import VARIANTS, evaluated

COMPARED = {
    "name": "methods",
    "title": "Two ways",
    "original": "mine:original",
    "methods": {"ours": ["mine:distill", "mine.scratch-s:distill"], "other": ["mine.scratch:distill", None]},
}


def made(**own: Any) -> Config:
    experiment = {"title": "Things", "seeds": [0, 1, 2], "variants": VARIANTS}
    return parse(merge(PLAIN, {"comparison": COMPARED | own, "experiments": {"mine": experiment}}))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A comparison of two methods, run at three seeds except the smaller size."""
    monkeypatch.chdir(tmp_path)
    config = made()
    for seed, (ours, other) in enumerate(((10.0, 14.0), (11.0, 16.0), (12.0, 15.0))):
        suffix = f".seed{seed}" if seed else ""
        evaluated(config, f"mine{suffix}", "original", 8.0 + seed, seed)
        evaluated(config, f"mine{suffix}", "distill", ours, seed)
        evaluated(config, f"mine.scratch{suffix}", "distill", other, seed)
    return config


def test_differences_are_paired_by_seed(config: Config) -> None:
    ours, other = measured(config, "mine", "distill"), measured(config, "mine.scratch", "distill")
    told = difference(other, ours, "fid")
    tested = stats.ttest_rel([14, 16, 15], [10, 11, 12])
    low, high = tested.confidence_interval(0.95)
    assert told == f"+4.0 [{low:+.1f}, {high:+.1f}], p {tested.pvalue:.3f}"
    assert difference(ours, measured(config, "mine", "original"), "fid") == "+2.0", "no spread: nothing to test"
    assert difference(ours, measured(config, "mine.scratch-s", "distill"), "fid") == "–", "never run"


def test_what_is_written(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_training_macs", lambda config, experiment, stage: 3e12)
    write_comparison(config)
    folder = folder_of(config)
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["method"], row["size"], row["seed"]) for row in rows] == [
        *(("original", "", str(seed)) for seed in range(3)),
        *(("ours", "0", str(seed)) for seed in range(3)),
        *(("other", "0", str(seed)) for seed in range(3)),
    ]
    table = (folder / "table.md").read_text()
    assert table.startswith("# Two ways\n")
    assert "| other | 1.00 M | 1 | 5 | 10.00 ± 0.00 | 15.0 ± 1.0 |" in table
    assert "| 3 T | 3 |" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 2, "two tables, each square"
    for figure in ("quality", "methods"):
        assert {path.suffix for path in folder.glob(f"{figure}.*")} == {".svg", ".png"}


def test_without_the_original_nothing_is_written(config: Config) -> None:
    for path in files_of(config):
        if "original" in path.parts:
            path.unlink(missing_ok=True)
    with pytest.raises(GancompError, match=r"mine:original is not evaluated.*run: gancomp evaluate mine original"):
        write_comparison(config)
    assert not folder_of(config).exists()


def test_training_counts_what_leads_to_a_generator(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = ("dataset", "original", "teacher", "distill", "supernet", "scores", "search", "finetune", "narrow")
    costs = [SimpleNamespace(stage=stage, total=10.0**power) for power, stage in enumerate(stages)]
    monkeypatch.setattr("gancomp.measure.reckoning.counts_of", lambda config, experiment: {})
    monkeypatch.setattr("gancomp.measure.reckoning.Reckoning", lambda *_: SimpleNamespace(costs=lambda: costs))
    asked = ("original", "distill", "subnet", "finetune", "narrow")
    counted = [comparison._training_macs(config, "mine", stage) for stage in asked]
    assert counted == [10, 1_100, 111_100, 10_111_100, 100_000_000]


def test_every_seed_of_every_place_is_asked_for(config: Config) -> None:
    assert len(files_of(config)) == len(set(files_of(config))) == 4 * 3


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"methods": {"ours": ["mien:distill"]}}, "no experiment 'mien' .did you mean 'mine'"),
        ({"methods": {"ours": ["mine:finetun"]}}, "has no stage 'finetun' .did you mean 'finetune'"),
        ({"original": "mine"}, "no experiment ''"),
    ],
)
def test_what_does_not_exist_is_named(own: dict[str, Any], told: str) -> None:
    with pytest.raises(GancompError, match=told):
        comparison_of(made(**own))


def test_sizes_are_as_many_for_each_method() -> None:
    with pytest.raises(GancompError, match=r"need as many sizes each .*ours 1, other 2"):
        made(methods={"ours": ["mine:distill"], "other": ["mine:distill", None]})


def test_without_a_comparison_the_mend_is_told() -> None:
    with pytest.raises(GancompError, match=r"config/comparison\.yaml"):
        comparison_of(parse(PLAIN))
