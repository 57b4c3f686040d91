"""Curves over sizes: drawn from their CSV alone, distinct series and data sets, no lines through few sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper.curves import COLUMNS, draw, look, place_title, read_points, write_points
from gancomp.pipeline.files import write_csv
from tests.config.test_settings import PLAIN
from tests.paper.test_tables import STUDY, VARIANTS, evaluated

SERIES = ("from scratch", "prune + distil", "ours")


def made(**own: Any) -> Config:
    """A study of two roles whose data sets have one title, the second with keys of its *own*."""
    first = {"title": "Things, small", "variants": VARIANTS}
    study = STUDY | {"experiments": {"edges2shoes": "mine", "cityscapes": "other"}}
    second = {"base": "mine", "seed": 9} | own
    return parse(merge(PLAIN, {"study": study, "experiments": {"mine": first, "other": second}}))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return made()


def point(series: str, macs: float, value: float, **other: Any) -> dict[str, Any]:
    row = {"panel": "Things", "series": series, "metric": "fid", "macs": int(macs), "value": value, "seeds": 1}
    return dict.fromkeys(COLUMNS, "") | row | other


def drawn(path: Path, *points: dict[str, Any]) -> Figure:
    write_csv(path, COLUMNS, list(points))
    figure = draw(path)
    assert figure is not None
    return figure


def test_the_place_and_whose_it_is(config: Config) -> None:
    assert place_title(config, "edges2shoes.scratch:distill") == "Things (paper: edges→shoes)"
    assert place_title(config, "gaugan|cityscapes:finetune") == "Things (paper: cityscapes)"
    for reference in ("maps:finetune", "no reference"):
        with pytest.raises(GancompError, match=reference):
            place_title(config, reference)


def test_two_data_sets_of_one_title_are_two_panels(config: Config, tmp_path: Path) -> None:
    evaluated(config, "mine.scratch", "distill", 30.0)
    evaluated(config, "other", "distill", 20.0)
    write_points(config, "figure6", tmp_path / "points.csv")
    figure = draw(tmp_path / "points.csv")
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "Things (paper: cityscapes)",
        "Things (paper: edges→shoes)",
    ]


def test_the_experiments_own_metric_stands_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = made(metric="kid")
    evaluated(config, "other", "distill", 20.0)
    write_points(config, "figure6", tmp_path / "points.csv")
    figure = draw(tmp_path / "points.csv")
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["KID × 10³ ↓", "FID ↓"]


def test_a_series_looks_the_same_in_every_panel(tmp_path: Path) -> None:
    """Even where one panel lacks the first series."""
    points = [point(series, 1e9 + place, 5, panel="A") for place, series in enumerate(SERIES)]
    figure = drawn(tmp_path / "points.csv", *points, point(SERIES[2], 1e9, 5, panel="B"))
    first, second = ([to_hex(line.get_color()) for line in axes.get_lines() if line.get_marker() in "osD"]
                     for axes in figure.axes)  # fmt: skip
    assert len(set(first)) == 3
    assert second == [first[2]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(SERIES)


@pytest.mark.parametrize(("sizes", "line"), [((1, 2, 3), "-"), ((1, 2), "None"), ((1, 2, 2), "None")])
def test_a_curve_needs_three_sizes(tmp_path: Path, sizes: tuple[int, ...], line: str) -> None:
    figure = drawn(tmp_path / "points.csv", *(point("ours", size * 1e6, 9) for size in sizes))
    (curve,) = (one for one in figure.axes[0].get_lines() if one.get_marker() == "o")
    assert curve.get_linestyle() == line
    assert ("a curve needs three sizes" in figure.get_supxlabel().replace("\n", " ")) == (line == "None")


def test_bars_are_there_for_several_seeds_alone(tmp_path: Path) -> None:
    points = [point("ours", 1e6, 5, sd=2, seeds=3), point("ours", 2e6, 6), point("ours", 3e6, 7)]
    figure = drawn(tmp_path / "points.csv", *points)
    (bars,) = (container[2][0] for container in figure.axes[0].containers)
    heights = [path.vertices[1][1] - path.vertices[0][1] if len(path.vertices) else math.nan
               for path in bars.get_paths()]  # fmt: skip
    assert [height for height in heights if not math.isnan(height)] == [pytest.approx(4)]
    assert "over 3 seeds; no bar: one seed" in figure.get_supxlabel().replace("\n", " ")
    alone = drawn(tmp_path / "points.csv", *points[1:])
    assert "One seed." in alone.get_supxlabel()


def test_panels_share_the_unit_that_the_axis_names(tmp_path: Path) -> None:
    points = [point("ours", 5e6, 5, panel="A"), point("ours", 4e9, 5, panel="B")]
    figure = drawn(tmp_path / "points.csv", *points)
    assert "exact count (M)" in figure.get_supxlabel()
    places = [float(np.asarray(line.get_xdata())[0]) for axes in figure.axes for line in axes.get_lines()
              if line.get_marker() == "o"]  # fmt: skip
    assert places == [5, 4000]
    large = drawn(tmp_path / "points.csv", point("ours", 4e8, 5), point("ours", 4e9, 5))
    assert "exact count (G)" in large.get_supxlabel()


def test_nothing_run_is_no_figure(config: Config, tmp_path: Path) -> None:
    write_points(config, "figure5", tmp_path / "points.csv")
    assert draw(tmp_path / "points.csv") is None


def test_a_csv_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    with pytest.raises(GancompError, match=r"points\.csv: cannot be read"):
        read_points(path)
    path.write_text("panel,series\nA,b\n")
    with pytest.raises(GancompError, match=r"points\.csv: lacks the columns reference, .*; delete it"):
        read_points(path)


def test_a_dozen_series_with_long_names_are_told_apart_and_named_within_the_figure(tmp_path: Path) -> None:
    names = [f"a method with a long name, number {index}" for index in range(12)]
    figure = drawn(tmp_path / "points.csv", *(point(name, 1e6, index) for index, name in enumerate(names)))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    looks = {look(index) for index in range(12)}
    assert len(looks) == 12
    figure.savefig(tmp_path / "figure.png")
    for text in legend.get_texts():
        box = text.get_window_extent()
        assert box.x0 > 0
        assert box.x1 < figure.bbox.x1
    assert figure.axes[0].get_window_extent().height > 80
    assert "No lines: a curve needs three sizes." in figure.get_supxlabel().replace("\n", " ")
