"""config/tiny.yaml from the first download to the report, with the real commands: a few minutes."""

from __future__ import annotations

import csv
import shutil
import zipfile
from pathlib import Path

import pytest

from gancomp.config.loading import load
from gancomp.pipeline.files import file_sha256, read_json
from gancomp.report.searched import Selection, read_search
from gancomp.search.select import read_replicates, tied_with
from tests.workflow.conftest import ROOT, TINY, Workspace

pytestmark = pytest.mark.slow

MADE_OF_TABLES = "tables/table.md", "figures/tradeoff.svg", "figures/losses.svg", "figures/grid.svg"


@pytest.fixture(scope="module")
def results(tiny: Workspace) -> Path:
    return tiny.folder / "results/tiny"


def test_then_there_is_nothing_to_be_done(tiny: Workspace) -> None:
    assert tiny.snakemake(*TINY).nothing_to_be_done


def test_the_search_scored_every_subnet_once(results: Path) -> None:
    rows = list(csv.DictReader((results / "scores/search.csv").open(encoding="utf-8")))
    subnets = load([ROOT / "config.yaml", ROOT / "config/tiny.yaml"]).experiments["tiny"].supernet.subnets
    assert [int(row["index"]) for row in rows] == list(range(subnets))
    selection = read_json(results / "search/selection.json")
    assert selection["subnets_scored"] == selection["subnets_in_space"] == subnets
    assert selection["best"]["fid"] == min(float(row["fid"]) for row in rows)


def test_of_the_subnets_that_cannot_be_told_from_the_best_the_one_with_fewest_macs_wins(results: Path) -> None:
    """Which are tied depends on the processor's arithmetic, so the rule is held and not its outcome."""
    chosen = Selection.model_validate(read_json(results / "search/selection.json"))
    assert chosen.best is not None
    replicates = read_replicates(results / "scores/replicates.csv")
    tied = tied_with(chosen.best, read_search(results / "scores/search.csv"), "fid", replicates)
    assert len(tied) == chosen.tied
    assert chosen.winner in tied
    assert chosen.winner.macs == min(row.macs for row in tied)


def test_the_winner_is_what_is_exported(results: Path) -> None:
    card = read_json(results / "export/card.json")
    selection = read_json(results / "search/selection.json")
    assert card["spec"]["widths"] == selection["winner"]["widths"]
    assert card["macs"] == selection["winner"]["macs"]
    assert card["sha256"] == file_sha256(results / "export/model.safetensors")


def test_the_table_has_every_row(results: Path) -> None:
    rows = [row["row"] for row in csv.DictReader((results / "tables/table.csv").open(encoding="utf-8"))]
    assert len(rows) == 7
    for name in ("Original", "Ours", "real against real", "input copied", "mean colour"):
        assert any(name in row for row in rows)


def test_no_training_leaves_its_resume_state_behind(results: Path) -> None:
    assert not list((results / ".resume").rglob("*.safetensors"))


def test_every_stage_left_its_log_and_its_cost(results: Path) -> None:
    folder = results / "logs"
    logs = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.log")}
    assert logs == {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.tsv")}
    assert {"original", "search/0-of-2", "search/1-of-2", "evaluate.finetune", "figures"} <= logs
    assert "images/s" in (results / "logs/supernet.log").read_text(encoding="utf-8")


def test_the_report_gathers_tables_and_figures_with_captions(tiny: Workspace) -> None:
    made = tiny.snakemake(*TINY, "--report", "report.zip")
    assert made.status == 0, made.text
    with zipfile.ZipFile(tiny.folder / "report.zip") as archive:
        files = {Path(name).name for name in archive.namelist()}
        page = archive.read("report/report.html").decode()
    assert {"table.csv", "tradeoff.svg", "losses.svg", "grid.png"} <= files
    for words in ("quality against MACs", "losses of every training", "<em>GAN Compression</em>", "not selected"):
        assert words in page


def test_tables_and_figures_are_drawn_again_without_models_or_data_to_the_same_bytes(
    tiny: Workspace, tmp_path: Path
) -> None:
    published = Workspace(tmp_path / "published")
    shutil.copytree(
        tiny.folder, published.folder, ignore=shutil.ignore_patterns("*.safetensors", "data", "figures", "tables")
    )
    again = published.snakemake("figures", "tables", *TINY, timeout=300)
    assert again.status == 0, again.text
    assert sorted(again.ran) == ["draw", "tabulate"]
    for name in MADE_OF_TABLES:
        assert (published.folder / "results/tiny" / name).read_bytes() == (
            tiny.folder / "results/tiny" / name
        ).read_bytes()


def test_a_failing_stage_says_why_and_leaves_no_output(tiny: Workspace, tmp_path: Path) -> None:
    broken = Workspace(tmp_path / "broken")
    shutil.copytree(tiny.folder, broken.folder)
    model = broken.folder / "results/tiny/finetune/model.safetensors"
    model.write_bytes(model.read_bytes()[:-1000])
    failed = broken.snakemake("results/tiny/export/model.safetensors", *TINY, timeout=300)
    assert failed.status == 1
    assert f"gancomp: error: {model.relative_to(broken.folder)}: not a readable safetensors file" in failed.text
    assert not (broken.folder / "results/tiny/export/model.safetensors").exists()
