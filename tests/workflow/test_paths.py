"""Every path but pix2pix's from the pictures to the report: CycleGAN, GauGAN, U-Net, one's own; imported teachers.

They run one after the other where `config/tiny.yaml` has run, and share its downloads and networks.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from gancomp.nets import load_generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256
from tests.workflow.conftest import Workspace

pytestmark = pytest.mark.slow

FILES = {
    "tiny-cyclegan": ("config/tiny-cyclegan.yaml",),
    "tiny-gaugan": ("config/tiny-gaugan.yaml",),
    "tiny-unet": ("config/tiny-unet.yaml",),
    "tiny-own": ("config/tiny.yaml", "config/tiny-own.yaml"),
}


@dataclass(frozen=True)
class Run:
    """One finished experiment."""

    workspace: Workspace
    experiment: str
    arguments: tuple[str, ...]

    @property
    def results(self) -> Path:
        return self.workspace.folder / "results" / self.experiment

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        with (self.results / "tables/table.csv").open(encoding="utf-8") as stream:
            return {row["row"]: row for row in csv.DictReader(stream)}

    @property
    def note(self) -> str:
        return (self.results / "tables/table.md").read_text(encoding="utf-8")

    def json(self, name: str) -> dict[str, object]:
        read: dict[str, object] = json.loads((self.results / name).read_text(encoding="utf-8"))
        return read


def run(workspace: Workspace, experiment: str) -> Run:
    arguments = ("--configfile", *FILES[experiment])
    done = workspace.snakemake(*arguments, timeout=1500)
    assert done.status == 0, done.text[-10_000:]
    return Run(workspace, experiment, arguments)


@pytest.fixture(scope="module", params=FILES)
def finished(request: pytest.FixtureRequest, tiny: Workspace) -> Run:
    return run(tiny, request.param)


@pytest.fixture(scope="module")
def results_of(tiny: Workspace) -> dict[str, Run]:
    """All of them; those that have run are only looked at."""
    return {experiment: run(tiny, experiment) for experiment in FILES}


def test_it_runs_to_its_report_and_then_there_is_nothing_to_be_done(finished: Run) -> None:
    assert (finished.results / "report.html").stat().st_size > 10_000
    assert finished.workspace.snakemake(*finished.arguments).nothing_to_be_done
    assert "real against real" in finished.rows
    assert not list((finished.results / ".resume").rglob("*.pt"))
    for figure in ("grid.png", "losses.svg"):
        assert (finished.results / "figures" / figure).is_file()


def test_what_is_compressed_is_exported(finished: Run) -> None:
    if finished.experiment == "tiny-unet":
        assert {path.name for path in finished.results.iterdir() if path.is_dir()} - {".resume"} == {
            "original",
            "reference",
            "benchmark",
            "tables",
            "figures",
            "logs",
        }
        return
    card, model = finished.json("export/card.json"), finished.results / "export/model.safetensors"
    assert card["sha256"] == file_sha256(model)
    assert load_generator(model).spec == read_header(model).spec
    assert (finished.results / "figures/tradeoff.svg").is_file()


def test_unpaired_training_is_measured_by_the_truth_that_was_held_out(results_of: dict[str, Run]) -> None:
    cyclegan = results_of["tiny-cyclegan"]
    search = list(csv.DictReader((cyclegan.results / "scores/search.csv").open(encoding="utf-8")))
    assert {row["l1"] for row in search} == {""}  # nothing in the search knows the truth
    assert 0 < float(cyclegan.rows["Ours"]["l1_share_of_range"]) < 1
    assert (cyclegan.results / "teacher/reverse.safetensors").is_file()


def test_gaugan_is_judged_and_names_its_perceptual_network(results_of: dict[str, Run]) -> None:
    gaugan = results_of["tiny-gaugan"]
    judged = json.loads((gaugan.workspace.folder / "data/climate-tiny/judge/metrics.json").read_text(encoding="utf-8"))
    assert judged["usable"] == (judged["miou"] >= 2 * judged["majority"])
    assert "mIoU" in gaugan.note
    assert "efficientnet-lite0" in gaugan.note.lower()


def test_an_original_alone_has_a_table_and_no_trade_off(results_of: dict[str, Run]) -> None:
    unet = results_of["tiny-unet"]
    assert "Original" in unet.rows
    assert "Ours" not in unet.rows
    assert not (unet.results / "figures/tradeoff.svg").exists()


def test_ones_own_gray_pictures_keep_their_shape(results_of: dict[str, Run]) -> None:
    spec = read_header(results_of["tiny-own"].results / "export/model.safetensors").spec
    assert (spec.in_channels, spec.size, spec.blocks, spec.norm) == (1, (24, 32), 6, "batch")
    with Image.open(results_of["tiny-own"].results / "original/samples.png") as samples:
        assert samples.width == 32
        assert samples.height % 24 == 0


def test_an_imported_generator_is_the_original_and_the_teacher(tiny: Workspace) -> None:
    """From there on its path is that of `gancomp compress`, which test_compress.py follows to the report."""
    files = ("config/tiny.yaml", "config/tiny-imported.yaml")
    imported = [tiny.folder / f"results/tiny-imported/{stage}/model.safetensors" for stage in ("original", "teacher")]
    done = tiny.snakemake(*(path.relative_to(tiny.folder) for path in imported), "--configfile", *files)
    assert done.status == 0, done.text[-10_000:]
    theirs = load_generator(tiny.folder / "results/tiny/original/model.safetensors").state_dict()
    for path in imported:
        ours = load_generator(path).state_dict()
        assert all((ours[name] == theirs[name]).all() for name in theirs)
        assert json.loads(path.with_name("metrics.json").read_text(encoding="utf-8"))["imported"]
