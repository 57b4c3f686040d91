"""Experiments side by side: grouping, means and intervals over seeds, differences, pictures, one page."""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.config.study import runs_of
from gancomp.errors import GancompError
from gancomp.pipeline.stages import COMPARED
from gancomp.report.compare.entries import entries_of
from gancomp.report.compare.pictures import blocks_of
from gancomp.report.compare.table import markdown
from gancomp.report.compare.write import write_side_by_side
from tests.config.test_settings import PLAIN

from .made_up_results import build_results, edit_json

#: Of ours, at each seed of the experiment.
FIDS = (95.0, 97.0, 99.5)


def declared(**own: Any) -> Config:
    return parse(merge(PLAIN, {"experiments": {"mine": {"seeds": [0, 1, 2], "variants": {"tight": {}}}, **own}}))


def edit(run: str, stage: str, **values: Any) -> None:
    edit_json(Path("results", run, stage, "evaluation.json"), lambda data: data.update(values))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """`mine`, run at its three seeds."""
    monkeypatch.chdir(tmp_path)
    for seed, fid in enumerate(FIDS):
        run = f"mine.seed{seed}" if seed else "mine"
        build_results(Path("results"), run)
        for stage in (*COMPARED, "reference"):
            edit(run, stage, seed=seed)
        edit(run, "finetune", fid=fid)
        edit(run, "original", fid=88.0 + seed)
    return declared()


def table(config: Config, *names: str) -> list[list[str]]:
    """The cells of every row of the tables of scores and differences."""
    lines = markdown(entries_of(config, names), "fid")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["mine"], {"mine": ("mine", "mine.seed1", "mine.seed2")}),
        (["mine.seed2", "mine"], {"mine": ("mine", "mine.seed1", "mine.seed2")}),
        (["mine.seed2", "mine.seed1"], {"mine": ("mine.seed1", "mine.seed2")}),
        (["mine.seed1"], {"mine.seed1": ("mine.seed1",)}),
        (
            ["mine.tight", "mine.seed1"],
            {"mine.tight": ("mine.tight", "mine.tight.seed1", "mine.tight.seed2"), "mine.seed1": ("mine.seed1",)},
        ),
    ],
)
def test_seeds_of_one_experiment_are_one(names: list[str], found: dict[str, tuple[str, ...]]) -> None:
    config = declared(mine={"seeds": [0, 1, 2], "variants": {"tight": {"seeds": [0, 1, 2]}}})
    assert runs_of(config, names) == found


def test_a_misspelt_experiment_is_named() -> None:
    with pytest.raises(GancompError, match=r"no experiment 'mien' .did you mean 'mine'"):
        runs_of(declared(), ["mien"])


def test_over_seeds_stand_mean_spread_and_interval(config: Config) -> None:
    ours = next(cells for cells in table(config, "mine") if cells[1] == "**Ours**")
    interval = stats.t.interval(0.95, 2, loc=statistics.fmean(FIDS), scale=stats.sem(FIDS))
    assert ours[7] == f"97.2 ± {statistics.stdev(FIDS):.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"
    assert ours[3] == "77.2 M", "the same widths at every seed: no spread"


def test_a_single_seed_has_no_spread(config: Config) -> None:
    ours = next(cells for cells in table(config, "mine.seed1") if cells[1] == "**Ours**")
    assert ours[:2] == ["mine.seed1", "**Ours**"]
    assert ours[7] == "97.0"


def test_differences_are_tested_over_seeds(config: Config) -> None:
    cells = next(cells for cells in table(config, "mine") if cells[1] == "its original")
    tested = stats.ttest_rel(FIDS, [88, 89, 90])
    assert cells[2].startswith(f"+{statistics.fmean(FIDS) - 89:.1f} [")
    assert cells[2].endswith(f"p {tested.pvalue:.3f}")


def test_differences_of_two_runs_are_tested_over_pictures(config: Config) -> None:
    for stage, value in (("original", 0.06), ("finetune", 0.07), ("narrow", 0.07)):
        edit("mine.seed1", stage, l1=value, each={"l1": [value] * 290})
    by_other = {cells[1]: cells for cells in table(config, "mine.seed1") if cells[1].startswith("its")}
    assert by_other["its original"][4] == "+0.0100, p < 0.001"
    assert by_other["its uniform narrow (from scratch)"][4] == "+0.0000, p 1.00"
    assert by_other["its original"][2] == "+8.0", "no values of single pictures: nothing to test"


def test_seeds_that_did_not_finish_are_named(config: Config) -> None:
    Path("results/mine.seed2/finetune/evaluation.json").unlink()
    (entry,) = entries_of(config, ["mine"])
    assert (entry.runs, entry.absent) == (("mine", "mine.seed1"), ("mine.seed2",))
    write_side_by_side(config, ["mine"])
    assert "Not finished, and left out: mine.seed2." in Path("results/compare/mine/table.md").read_text()
    with pytest.raises(GancompError, match=r"mine\.seed2/finetune/evaluation\.json: missing"):
        entries_of(config, ["mine.seed1", "mine.seed2"])


def test_a_metric_that_some_lack_has_a_column(config: Config) -> None:
    """Files of earlier versions know fewer metrics."""
    edit("mine.seed1", "finetune", ssim=0.875)
    build_results(Path("results"), "one")
    lines = markdown(entries_of(declared(one=PLAIN["experiments"]["mine"]), ["mine.seed1", "one"]), "fid")
    assert "| Experiment | Generator | SSIM ↑ |" in lines
    assert {"| mine.seed1 | **Ours** | 0.8750 |", "| one | **Ours** | – |"} <= set(lines)


def test_what_is_shared_is_drawn_once(config: Config) -> None:
    """A variant whose original is its base's."""
    build_results(Path("results"), "mine.tight")
    entries = entries_of(declared(), ["mine", "mine.tight"])
    (block,) = blocks_of(declared(), entries)
    heads = [head.replace("\n", " ") for _, head in block.heads]
    assert heads[:2] == ["input", "target"]
    assert [head for head in heads if "original" in head] == [
        "mine original 790 M",
        "mine.seed1 original 790 M",
        "mine.seed2 original 790 M",
    ]
    assert "mine ours 77.2 M (10.2×)" in heads


def test_other_pictures_are_not_compared(config: Config) -> None:
    apart = declared(one=PLAIN["experiments"]["mine"])
    build_results(Path("results"), "one")
    for stage in (*COMPARED, "reference"):
        edit("one", stage, data_hash="cd" * 32)
    entries = entries_of(apart, ["mine", "one"])
    lines = markdown(entries, "fid")
    assert any("not all scored on the same pictures" in line for line in lines)
    assert sum("| real against real |" in line for line in lines) == 2
    assert not any("ours of mine" in line for line in lines)
    assert len(list(blocks_of(apart, entries))) == 2


def test_page_and_tables(config: Config) -> None:
    page = write_side_by_side(config, ["mine"])
    assert page == Path("results/compare/mine/index.html")
    text = page.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources), "it asks for nothing"
    assert "± 2.3" in text
    with (page.parent / "table.csv").open(newline="") as stream:
        rows = {row["row"]: row for row in csv.DictReader(stream)}
    assert float(rows["Ours"]["fid"]) == pytest.approx(statistics.fmean(FIDS))
    assert float(rows["Ours"]["fid_low"]) < float(rows["Ours"]["fid"]) < float(rows["Ours"]["fid_high"])
    with (page.parent / "runs.csv").open(newline="") as stream:
        runs = [row for row in csv.DictReader(stream) if row["row"] == "Ours"]
    assert [(row["experiment"], float(row["fid"])) for row in runs] == [
        ("mine", 95.0),
        ("mine.seed1", 97.0),
        ("mine.seed2", 99.5),
    ]
    assert all(row["latency_pytorch_median_ms"] == "16.3" for row in runs)
    assert {path.name for path in page.parent.glob("*.png")} == {"grid.png", "quality.png"}


def test_without_latencies_their_cells_are_empty(config: Config, tmp_path: Path) -> None:
    Path("results/mine.seed1/benchmark/benchmark.json").unlink()
    write_side_by_side(config, ["mine.seed1"], tmp_path / "elsewhere")
    with (tmp_path / "elsewhere" / "runs.csv").open(newline="") as stream:
        ours = next(row for row in csv.DictReader(stream) if row["row"] == "Ours")
    assert (ours["latency_pytorch_median_ms"], ours["macs_exact"]) == ("", "77200000")
