"""Figures: equal bytes for equal input, drawn from files only, also with little data."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gancomp.errors import GancompError
from gancomp.report.figures import write_figures
from gancomp.report.grid import contact_sheet, picture_columns
from gancomp.report.losses import losses, running_mean
from gancomp.report.reading import read, read_log
from gancomp.report.scoreboard import read_scoreboard
from gancomp.report.searched import SEARCH_COLUMNS, Selection, read_search
from gancomp.report.tradeoff import tradeoff

from .made_up_results import (
    EXPERIMENT,
    SAMPLES,
    SIZE,
    edit_json,
    folders,
    make_alone,
    make_judged,
    make_subnets,
    make_unpaired,
    reshape,
    write_rows,
)

FIGURES = [f"{name}.{suffix}" for name in ("grid", "losses", "tradeoff") for suffix in ("png", "svg")]


def draw(results: Path) -> dict[str, bytes]:
    write_figures(folders(results))
    return {path.name: path.read_bytes() for path in sorted((results / EXPERIMENT / "figures").iterdir())}


def test_equal_input_gives_equal_bytes_whatever_the_settings(results: Path) -> None:
    first = draw(results)
    assert sorted(first) == FIGURES
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "another", "lines.linewidth": 9}):
        assert draw(results) == first
        assert matplotlib.rcParams["font.size"] == 20


def test_figures_are_sound_files_without_date_or_software(results: Path) -> None:
    for name, content in draw(results).items():
        path = results / EXPERIMENT / "figures" / name
        assert b"Date" not in content
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")
            assert b"dc:date" not in content
        else:
            with Image.open(path) as image:
                image.verify()
                assert image.width >= 1000
                assert "Software" not in image.info


def test_figures_need_neither_checkpoints_nor_data(results: Path) -> None:
    names = {path.name for path in (results / EXPERIMENT).rglob("*") if path.is_file()}
    assert names == {
        *("evaluation.json", "samples.png", "inputs.png", "targets.png", "log.csv", "search.csv"),
        *("selection.json", "benchmark.json", "metrics.json"),
    }
    first = draw(results)
    shutil.rmtree(results / EXPERIMENT / "figures")
    assert draw(results) == first


def test_figures_follow_their_input(results: Path) -> None:
    before = draw(results)
    edit_json(results / EXPERIMENT / "finetune" / "evaluation.json", lambda data: data.update(fid=80.0))
    after = draw(results)
    assert {name for name in before if before[name] != after[name]} == {"tradeoff.png", "tradeoff.svg"}


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("scores/search.csv", "search"),
        ("search/selection.json", "search"),
        ("teacher/log.csv", "teacher"),
        ("finetune/samples.png", "finetune"),
        ("reference/targets.png", "reference"),
        ("original/evaluation.json", "original"),
    ],
)
def test_a_missing_file_names_the_stage_and_leaves_nothing(results: Path, file: str, stage: str) -> None:
    (results / EXPERIMENT / file).unlink()
    with pytest.raises(GancompError, match=rf"{file}: missing; run the stage '{stage}' first"):
        draw(results)
    assert not (results / EXPERIMENT / "figures").exists()


def test_a_strip_of_another_size_is_refused(results: Path) -> None:
    path = results / EXPERIMENT / "narrow" / "samples.png"
    Image.new("RGB", (SIZE, SIZE * 3)).save(path)
    with pytest.raises(GancompError, match=rf"samples\.png: 64x192 pixels, expected 64x{SIZE * SAMPLES} \(12 pictures"):
        draw(results)


def test_a_strip_that_is_cut_off_is_refused(results: Path) -> None:
    path = results / EXPERIMENT / "narrow" / "samples.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(GancompError, match=r"narrow/samples\.png: not a readable picture"):
        draw(results)
    path.write_bytes(b"no picture")
    with pytest.raises(GancompError, match=r"narrow/samples\.png: not a readable picture"):
        draw(results)


def test_one_subnet_one_picture_one_step(results: Path) -> None:
    """The minimal files of a run are drawn without a warning."""
    folder = results / EXPERIMENT
    search = folder / "scores" / "search.csv"
    search.write_text("\n".join(search.read_text().splitlines()[:2]) + "\n")
    edit_json(folder / "search" / "selection.json", lambda data: data.update(pareto=[0], subnets_scored=1))
    for path in folder.glob("*/evaluation.json"):
        edit_json(path, lambda data: data.update(samples=data["samples"][:1]))
    for path in [*folder.glob("*/samples.png"), *folder.glob("reference/*.png")]:
        with Image.open(path) as image:
            image.crop((0, 0, SIZE, SIZE)).save(path)
    for path in folder.glob("*/log.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    with np.errstate(all="raise"):
        assert sorted(draw(results)) == FIGURES


def test_a_log_without_rows_draws_an_empty_panel() -> None:
    figure = losses({"original": ([], {"g_recon": []}), "teacher": ([16.0], {"g_recon": [0.5], "g_new": [1.0]})})
    assert len(figure.axes) == 4
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["Reconstruction", "g_new"]


@pytest.mark.parametrize(("count", "blocks", "rows"), [(1, 1, 1), (6, 1, 6), (7, 2, 4), (12, 2, 6), (40, 2, 6)])
def test_contact_sheet_keeps_every_pixel(count: int, blocks: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    strips = [rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8) for _ in range(3)]
    sheet, centres = contact_sheet(strips)
    assert len(centres) == 3 * blocks
    line, factor = 3, 3
    assert sheet.shape[0] == rows * (64 * factor + line) + line
    last = min(count, 12) - 1
    block, row = divmod(last, rows)
    top, left = line + row * (64 * factor + line), int(centres[3 * block + 2] - 96)
    assert np.array_equal(sheet[top : top + 192 : factor, left : left + 192 : factor], strips[2][last])
    assert np.array_equal(sheet[top + 2 : top + 192 : factor, left + 2 : left + 192 : factor], strips[2][last])


def test_running_mean_keeps_length_level_and_slope() -> None:
    assert np.allclose(running_mean(np.full(100, 3.0)), 3.0)
    ramp = np.arange(200.0)
    smooth = running_mean(ramp)
    assert smooth.shape == ramp.shape
    assert np.allclose(smooth[10:-10], ramp[10:-10])
    assert running_mean(np.asarray([2.0])).tolist() == [2.0]


# --- other metrics, other models ---------------------------------------------------------------


def drawn_tradeoff(results: Path) -> Figure:
    own = folders(results)
    selection = read(own.file("search", "selection.json"), Selection, "search")
    return tradeoff(read_search(own.file("scores", "search.csv")), selection, read_scoreboard(own))


@pytest.mark.parametrize(("metric", "upper", "lower"), [("fid", "FID ↓", "KID × 10³ ↓"), ("miou", "mIoU % ↑", "FID ↓")])
def test_the_trade_off_shows_the_metric_that_chose(results: Path, metric: str, upper: str, lower: str) -> None:
    if metric == "miou":
        make_judged(results)
    figure = drawn_tradeoff(results)
    way = "higher" if metric == "miou" else "lower"
    assert figure.axes[0].get_ylabel() == f"{upper} on train-2  ({way} is better)"
    assert figure.axes[2].get_ylabel() == f"{lower} on train-2  (lower is better)"
    assert figure.axes[1].get_ylabel() == f"{upper} on validation"
    names = figure.axes[0].get_legend_handles_labels()[1]
    assert f"Pareto front ({'mIoU' if metric == 'miou' else 'FID'})" in names
    front = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("Pareto"))
    rising = list(front.get_ydata())
    assert rising == sorted(rising, reverse=metric == "fid"), "along the front more MACs buy quality"
    baseline = "class colours" if metric == "miou" else "input copied"
    assert {baseline, "real against real"} <= set(figure.axes[1].get_legend_handles_labels()[1])


def test_the_front_has_its_intervals_where_they_are_known(results: Path) -> None:
    assert not drawn_tradeoff(results).axes[0].collections[1:]
    path = results / EXPERIMENT / "scores" / "search.csv"
    rows = [row | {"fid_low": row["fid"] - 2, "fid_high": row["fid"] + 1} for row in make_subnets()]
    write_rows(path, SEARCH_COLUMNS, rows)
    own = folders(results)
    front = set(read(own.file("search", "selection.json"), Selection, "search").pareto)
    (spans,) = drawn_tradeoff(results).axes[0].collections[1:]
    heights = sorted(tuple(segment[:, 1]) for segment in spans.get_segments())
    assert heights == sorted((row["fid_low"], row["fid_high"]) for row in rows if row["index"] in front)


def test_a_reference_without_the_metric_is_no_line(results: Path) -> None:
    edit_json(results / EXPERIMENT / "search" / "selection.json", lambda data: data.update(metric="l1"))
    names = drawn_tradeoff(results).axes[1].get_legend_handles_labels()[1]
    assert "input copied" in names
    assert "real against real" not in names


def test_unpaired_pictures_have_no_column_of_targets(results: Path) -> None:
    own = folders(results)
    assert list(picture_columns(own, read_scoreboard(own)))[:2] == ["input", "target"]
    make_unpaired(results)
    assert list(picture_columns(own, read_scoreboard(own)))[:2] == ["input", "original"]
    assert sorted(draw(results)) == FIGURES


def test_imported_stages_are_said_to_be(results: Path) -> None:
    make_unpaired(results)
    logs = {stage: read_log(folders(results).file(stage, "log.csv"), stage) for stage in ("original", "narrow")}
    figure = losses(logs)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["imported"] * 4
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["Cycle", "Identity", "Generator, GAN", "Discriminator"]
    alone = losses({"original": logs["original"]})
    assert [text.get_text() for axes in alone.axes for text in axes.texts] == ["imported"]


def test_an_original_alone_has_no_trade_off(results: Path) -> None:
    own = make_alone(results)
    write_figures(own)
    made = sorted(path.name for path in (results / EXPERIMENT / "figures").iterdir())
    assert made == [name for name in FIGURES if not name.startswith("tradeoff")]


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32), (24, 32)])
def test_pictures_that_are_not_square(results: Path, height: int, width: int) -> None:
    reshape(results, height, width)
    draw(results)
    with Image.open(results / EXPERIMENT / "figures" / "grid.png") as image:
        inches = image.width / image.info["dpi"][0]
    assert inches <= 7.4
    own = folders(results)
    strips = list(picture_columns(own, read_scoreboard(own)).values())
    assert {strip.shape for strip in strips} == {(SAMPLES, height, width, 3)}
    centres = contact_sheet(strips)[1]
    assert len(centres) == len(strips) * (1 if width == 2 * height else 2)


def panels(results: Path) -> list[tuple[int, list[str]]]:
    """The number of bands and the texts of each panel of the trade-off."""
    board = read_scoreboard(folders(results))
    subnets = read_search(results / EXPERIMENT / "scores" / "search.csv")
    selection = read(results / EXPERIMENT / "search" / "selection.json", Selection, "search")
    figure = tradeoff(subnets, selection, board)
    return [(len(axes.patches), [text.get_text() for text in axes.texts]) for axes in figure.axes]


def test_real_against_real_is_a_band_where_its_interval_is_known(results: Path) -> None:
    assert panels(results) == [(0, [])] * 4
    subnets = [row.fid for row in read_search(results / EXPERIMENT / "scores" / "search.csv")]
    near = [min(subnets) - 2, min(subnets) + 1]
    bands = {"val": {"fid": [60.0, 110.0]}, "train-2": {"fid": near, "kid": [-0.5, -0.4]}}
    edit_json(results / EXPERIMENT / "reference" / "evaluation.json", lambda data: data.update(bands=bands))
    assert panels(results) == [(1, []), (1, []), (0, ["↓ real against real: −500.00 to −400.00"]), (0, [])]
