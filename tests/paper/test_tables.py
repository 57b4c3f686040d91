"""The paper's tables: its numbers are distinct from this run's, and every number has a source."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.paper.curves import draw, write_points
from gancomp.paper.figures import redraw, write_figure
from gancomp.paper.measured import Measured, Value, files_of, measure
from gancomp.paper.numbers import load_numbers
from gancomp.paper.page import write_page
from gancomp.paper.places import FIGURES, TABLES
from gancomp.paper.tables import NOT_RUN, _preference, build, escaped, markdown, study_folder, write_table
from gancomp.paper.votes import BASELINE, OURS, folder
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from gancomp.pipeline.places import owner
from gancomp.pipeline.stages import Declared, generator_spec
from tests.config.test_settings import PLAIN

VARIANTS: dict[str, Any] = {
    "scratch": {"distill": {"prune": False, "inherit_discriminator": False}, "objective": {"lambda_distill": 0}},
    **{f"scratch-{size}": {"distill": {"widths": width}, "supernet": None} for size, width in (("s", 2), ("m", 3))},
    "dense-fsp": {"generator": {"block": "dense"}, "teacher": "original", "seeds": [0]},
}
STUDY = {"name": "small", "title": "A small study", "experiments": {"edges2shoes": "mine"}}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study of three seeds, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    own = {"title": "Pairs | of things", "seeds": [0, 1, 2], "variants": VARIANTS}
    return parse(merge(PLAIN, {"study": STUDY, "experiments": {"mine": own}}))


def evaluated(config: Config, experiment: str, stage: Declared, fid: float, seed: int = 0) -> None:
    """Pretend that a stage was evaluated."""
    spec = generator_spec(config, experiment, stage)
    record = {
        **{"stage": stage, "experiment": experiment, "spec": spec.model_dump(mode="json"), "images": 9, "seed": seed},
        **{"params": 5, "macs": 1_000_000, "macs_paper": 2_000_000, "fid": fid, "kid": 0.01, "l1": 0.1},
        **{"data_hash": "d" * 8, "code_version": "v1", "samples": ["a"]},
    }
    folder = paths.stage(owner(config, experiment, stage), stage)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(record))


def test_votes_for_the_baseline_are_those_against_ours(config: Config) -> None:
    counted = {"page": "p", "experiment": "mine", "voters": 1, "votes": 10, "ours": 7, "share": 0.7, "left": 0.5}
    counted |= {"low": 0.4, "high": 0.9, "data_hash": "d" * 8, "code_version": "v1"}
    write_json(folder("mine") / "votes.json", counted)
    assert _preference(Measured("mine", OURS, (), None)) == "70.0% [40.0%, 90.0%] of 10"
    assert _preference(Measured("mine", BASELINE, (), None)) == "30.0% [10.0%, 60.0%] of 10"


def three_seeds(config: Config, variant: str, values: tuple[float, float, float], stage: Declared = "distill") -> None:
    for seed, value in enumerate(values):
        replica = f"mine{variant}" + (f".seed{seed}" if seed else "")
        evaluated(config, replica, stage, value, seed)


def test_mean_and_spread_are_over_the_seeds(config: Config) -> None:
    three_seeds(config, ".scratch", (10.0, 14.0, 12.0))
    found = measure(config, "edges2shoes.scratch:distill")
    assert found is not None
    assert found.value("fid") == Value(12.0, statistics.stdev((10, 14, 12)), 3)
    assert found.value("miou") is None
    evaluated(config, "mine.dense-fsp", "distill", 20.0)
    (line,) = (line for line in build(config, "table7").lines if line.row.label.startswith("Yim"))
    assert line.own["FID ↓"] == "20.0"
    (line,) = (line for line in build(config, "table3").lines if line.row.label == "narrow (ngf 48) from scratch")
    assert line.own["FID ↓"] == "12.0 ± 2.0"


def test_what_a_threshold_leaves_is_not_counted_before_it_is_run(config: Config) -> None:
    own = {"supernet": None, "generator": {"norm": "affine"}, "distill": {"prune": {"budget": "2x"}}}
    pruned = parse(merge(PLAIN, {"study": STUDY, "experiments": {"mine": own}}))
    for stage, known in (("teacher", True), ("distill", False)):
        found = measure(pruned, f"edges2shoes:{stage}")
        assert found is not None
        assert (found.cost is not None) == known


def test_what_was_not_run_says_so_and_the_papers_own_stays(config: Config) -> None:
    rows = {(line.row.group, line.row.label): line for line in build(config, "table1").lines}
    shu = rows["CycleGAN horse→zebra", "Shu et al."]
    assert (shu.own, shu.row.cells["fid"]) == ({}, "96.15")
    assert rows["CycleGAN horse→zebra", "Ours"].own == {"this run": NOT_RUN}
    assert rows["Pix2pix edges→shoes", "Ours"].own["FID ↓"] == NOT_RUN
    original = rows["Pix2pix edges→shoes", "Original"].own
    assert original["FID ↓"] == NOT_RUN
    assert original["parameters"] != NOT_RUN, "what the configuration says needs no run"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_written_three_times(config: Config, name: str) -> None:
    three_seeds(config, ".scratch", (10.0, 14.0, 12.0))
    write_table(config, name)
    stem = study_folder(config) / name
    text, tex = stem.with_suffix(".md").read_text(), stem.with_suffix(".tex").read_text()
    table = load_numbers()[name]
    cells = [cell for row in table.rows for cell in row.cells.values()]
    assert all(cell in text for cell in cells)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    lines = [line for line in tex.splitlines() if line.endswith(r"\\") and r"\multicolumn" not in line]
    assert len({line.replace(r"\&", "").count("&") for line in lines}) == 1
    assert tex.count("{") == tex.count("}")
    with stem.with_suffix(".csv").open(newline="") as stream:
        traced = list(csv.DictReader(stream))
    assert sum(row["source"] == "paper" for row in traced) == len(cells)
    for row in traced:
        if row["source"] == "run" and row["seeds"]:
            assert all(row[key] for key in ("experiment", "stage", "seed_list", "data_hash", "code_version", "command"))


def test_table_5_is_the_configuration(config: Config) -> None:
    (line,) = (line for line in build(config, "table5").lines if line.row.label == "edges→shoes")
    assert (line.own["teacher's ngf"], line.own["student's ngf"], line.own["epochs"]) == ("6", "4", "5 + 15")


def test_text_is_escaped(config: Config) -> None:
    assert escaped("5% & a_b → #1") == r"5\% \& a\_b $\to$ \#1"
    three_seeds(config, ".scratch", (10.0, 14.0, 12.0))
    assert "A small" not in markdown(build(config, "table3"))


# --- figures -----------------------------------------------------------------------------------


def test_a_curve_has_its_points_with_their_spread(config: Config) -> None:
    three_seeds(config, ".scratch", (10.0, 14.0, 12.0))
    for size, value in (("s", 30.0), ("m", 20.0)):
        evaluated(config, f"mine.scratch-{size}", "distill", value)
    path = study_folder(config) / "figure6.csv"
    write_points(config, "figure6", path)
    with path.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"] == "fid"]
    assert [(row["value"], row["sd"], row["seeds"]) for row in rows] == [
        ("30", "", "1"),
        ("20", "", "1"),
        ("12", "2", "3"),
    ]
    figure = draw(path)
    assert figure is not None
    (line,) = figure.axes[0].get_lines()[:1]
    assert np.asarray(line.get_ydata()).tolist() == [30, 20, 12]
    assert "MACs" in figure.get_supxlabel()
    assert figure.axes[0].get_ylabel() == "FID ↓"


def test_redrawing_needs_the_csv_alone_and_gives_the_same_bytes(config: Config) -> None:
    three_seeds(config, ".scratch", (10.0, 14.0, 12.0))
    write_figure(config, "figure6")
    stem = study_folder(config) / "figure6"
    before = {suffix: stem.with_suffix(suffix).read_bytes() for suffix in (".svg", ".png")}
    for suffix in before:
        stem.with_suffix(suffix).unlink()
    for file in files_of(config, "edges2shoes.scratch:distill"):
        file.unlink()
    redraw("figure6", stem.with_suffix(".csv"))
    assert {suffix: stem.with_suffix(suffix).read_bytes() for suffix in before} == before


def test_the_page_holds_every_table_and_figure(config: Config) -> None:
    """Even if almost nothing was run."""
    for name in TABLES:
        write_table(config, name)
    for name in FIGURES:
        write_figure(config, name)
    write_page(config)
    page = (study_folder(config) / "paper.html").read_text()
    assert page.count("<figure>") == len(FIGURES)
    assert page.count("<h1>Table ") == len(TABLES)
    assert "A small study" in page
    assert "http" not in page.replace("http://www.w3.org", "")


RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/figure*.csv")), ids=lambda path: path.stem)
def test_committed_figures_are_drawn_from_their_committed_numbers(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    redraw(path.stem, copy)
    assert copy.with_suffix(".svg").read_bytes() == path.with_suffix(".svg").read_bytes()
