"""Picture grids: heads with cost and score, and unchanged pixels of the generators' outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper.figures import write_figure
from gancomp.paper.grids import draw_grids, head
from gancomp.paper.tables import study_folder
from gancomp.pipeline import paths
from gancomp.report.scoreboard import read_scoreboard
from gancomp.report.stage import folders_of
from tests.config.test_settings import PLAIN
from tests.report.made_up_results import SIZE, build_results, edit_json


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Two roles in an empty folder, neither of which was run."""
    monkeypatch.chdir(tmp_path)
    roles = {"edges2shoes": "mine", "horse2zebra": "other"}
    experiments = {
        "mine": {"title": "Outline → thing, 64 × 64"},
        "other": {**PLAIN["experiments"]["mine"], "metric": "kid"},
    }
    return parse(merge(PLAIN, {"study": {"name": "small", "experiments": roles}, "experiments": experiments}))


def run(experiment: str) -> Path:
    return build_results(paths.RESULTS, experiment)


def test_without_a_run_there_is_no_grid(config: Config) -> None:
    assert draw_grids(config, "figure1")[0] is None
    run("mine")
    assert draw_grids(config, "figure9")[0] is None
    assert draw_grids(config, "figure10")[0] is not None


def test_the_teaser_has_one_picture_of_each_role_that_was_run(config: Config) -> None:
    for ran, experiment in enumerate(("mine", "other"), start=1):
        run(experiment)
        figure, _ = draw_grids(config, "figure1")
        assert figure is not None
        assert len(figure.axes) == ran
    titles = [text.get_text() for text in figure.texts]
    assert titles[:2] == ["pairs (paper: horse→zebra)", "Outline → thing (paper: edges→shoes)"]
    sheet = figure.axes[0].get_images()[0].get_array()
    assert sheet is not None
    height, width = sheet.shape[:2]
    assert width > 4 * height, "one row of five pictures"
    scores = [[text.get_text().split("\n")[-1] for text in axes.texts][2:] for axes in figure.axes]
    assert scores == [["KID 15.32", "KID 21.11", "KID 37.10"], ["FID 88.3", "FID 95.8", "FID 109.4"]]


def test_heads_tell_cost_and_the_experiments_metric(config: Config) -> None:
    run("mine")
    board = read_scoreboard(folders_of(config, "mine"))
    assert head(board, "target", "fid") == "truth"
    assert head(board, "original", "fid") == "original\n790 M MACs\nFID 88.3"
    assert head(board, "finetune", "kid") == "ours\n77.2 M (10.2×)\nKID 21.11"
    assert head(board, "narrow", "miou") == "uniform narrow\n81.5 M (9.69×)\nmIoU not run"


def test_without_pairs_there_is_no_truth(config: Config) -> None:
    folder = run("other")
    paired, _ = draw_grids(config, "figure9")
    edit_json(folder / "reference" / "evaluation.json", lambda data: data.update(paired=False))
    unpaired, _ = draw_grids(config, "figure9")
    assert paired is not None
    assert unpaired is not None
    heads = [{text.get_text().split("\n")[0] for text in figure.axes[0].texts} for figure in (paired, unpaired)]
    assert heads[0] - heads[1] == {"truth"}


def test_every_pixel_is_a_square_of_a_generators_own_colour(config: Config) -> None:
    folder = run("mine")
    figure, _ = draw_grids(config, "figure1")
    write_figure(config, "figure1")
    assert figure is not None
    with Image.open(study_folder(config) / "figure1.png") as image:
        page = np.asarray(image.convert("RGB"))
    left, bottom, right, top = figure.axes[0].get_position().extents * np.tile(page.shape[1::-1], 2)
    tiles = page[round(len(page) - top) + 1 : round(len(page) - bottom) - 1, round(left) + 1 : round(right) - 1]
    drawn = {(0xD0, 0xD0, 0xD0), (0xFF, 0xFF, 0xFF)}
    for file in (*folder.glob("*/samples.png"), *folder.glob("reference/*.png")):
        with Image.open(file) as image:
            drawn |= {tuple(pixel) for pixel in np.asarray(image.convert("RGB"))[:SIZE].reshape(-1, 3)}
    assert {tuple(pixel) for pixel in np.unique(tiles.reshape(-1, 3), axis=0)} <= drawn


def test_a_run_that_is_cut_off_names_the_file(config: Config) -> None:
    folder = run("mine")
    (folder / "narrow" / "samples.png").unlink()
    with pytest.raises(GancompError, match=r"narrow/samples\.png: missing; run the stage 'narrow'"):
        draw_grids(config, "figure10")
