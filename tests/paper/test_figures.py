"""Figures of costs and of the method; placeholders without runs; figures redrawn from their CSV alone."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper.diagram import draw, draw_method, edges_of, layout
from gancomp.paper.figures import NUMBERED, draw_costs, redraw, write_figure
from gancomp.paper.places import CURVES, FIGURES, GRIDS
from gancomp.paper.tables import study_folder
from gancomp.pipeline.files import write_csv
from gancomp.pipeline.stages import upstream_of
from tests.config.test_settings import PLAIN

COSTS = ("network", "kind", "size", "macs", "params")


def made(experiments: dict[str, str] | None = None, **own: Any) -> Config:
    """A study of `mine` with keys of its *own*."""
    study = {"name": "small", "experiments": {"edges2shoes": "mine"} if experiments is None else experiments}
    return parse(merge(PLAIN, {"study": study, "experiments": {"mine": own}}))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return made()


@pytest.mark.parametrize("name", [*GRIDS, *CURVES, "agreement"])
def test_what_was_not_run_is_a_picture_that_says_so(config: Config, name: str) -> None:
    write_figure(config, name)
    stem = study_folder(config) / name
    assert ET.parse(stem.with_suffix(".svg")).getroot().tag.endswith("svg")
    with Image.open(stem.with_suffix(".png")) as image:
        assert image.height < 150, "a line, no empty figure"
        assert len(set(image.convert("L").tobytes())) > 1, "of letters"
    assert stem.with_suffix(".csv").exists() == (name in NUMBERED)


def test_every_figure_of_numbers_has_something_to_draw_it() -> None:
    assert set(FIGURES) - set(NUMBERED) == {*GRIDS, "figure3"}
    with pytest.raises(GancompError, match="figure1: is not drawn from a CSV; choose one of figure5"):
        redraw("figure1", Path("figure1.csv"))


# --- costs -------------------------------------------------------------------------------------


def write_costs(path: Path) -> None:
    rows = [("small", "classifier", "224x224", 3e8, 3e6), ("wide", "generator", "256x512", 3e11, 9e7),
            ("deep", "classifier", "299x299", 4e9, 2e7)]  # fmt: skip
    write_csv(path, COSTS, [dict(zip(COSTS, (*row[:3], *map(int, row[3:])), strict=True)) for row in rows])


def test_networks_stand_in_the_order_of_their_macs(tmp_path: Path) -> None:
    write_costs(tmp_path / "figure2.csv")
    macs, params = draw_costs(tmp_path / "figure2.csv").axes
    assert [label.get_text() for label in macs.get_yticklabels()] == ["small, 224²", "deep, 299²", "wide, 256×512"]
    points = {
        line.get_label(): (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in macs.get_lines()
    }
    assert points == {"classifiers": ([0.3, 4.0], [0, 1]), "generators": ([300.0], [2])}
    assert [np.asarray(line.get_xdata()).tolist() for line in params.get_lines()] == [[3, 20], [90]]
    assert (macs.get_xscale(), params.get_xscale()) == ("log", "log")


def test_redrawing_needs_no_torch_and_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "figure2.csv"
    write_costs(path)
    redraw("figure2", path)
    before = {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".svg", ".png")}
    for suffix in before:
        path.with_suffix(suffix).unlink()
    code = (
        "import sys; from pathlib import Path; from gancomp.paper.figures import redraw; "
        "redraw('figure2', Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert {suffix: path.with_suffix(suffix).read_bytes() for suffix in before} == before


# --- the method --------------------------------------------------------------------------------


def test_the_method_has_the_edges_of_the_workflow() -> None:
    config = made()
    edges = edges_of(config)
    assert {"dataset", "teacher", "distill", "supernet", "finetune", "narrow"} <= edges.keys()
    for stage, before in edges.items():
        assert set(before) == set(upstream_of(config, "mine", stage)) & edges.keys()
    arrows = [patch for patch in draw_method(config).axes[0].patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == sum(map(len, edges.values()))


def test_the_method_follows_the_configuration() -> None:
    """The shorter pipeline: the original is the teacher, without distillation before the once-for-all network."""
    edges = edges_of(made(teacher="original", distill=None))
    assert not {"teacher", "distill"} & edges.keys()
    assert set(edges["supernet"]) == {"dataset", "original"}
    assert "teacher" in edges_of(made({})), "without an experiment all stages are drawn"


@pytest.mark.parametrize("own", [{}, {"teacher": "original", "distill": None}])
def test_stages_stand_right_of_what_they_read_and_apart(own: dict[str, Any]) -> None:
    edges = edges_of(made(**own))
    place = layout(edges)
    assert len(set(place.values())) == len(place) == len(edges)
    for stage, before in edges.items():
        assert all(place[one][0] < place[stage][0] for one in before)
    assert all(place[stage][1] == 0 for stage in ("supernet", "search", "finetune")), "the method is the upper row"


def test_an_arrow_that_would_cross_a_box_goes_over_it() -> None:
    figure = draw({"a": (), "b": ("a",), "c": ("a", "b")})
    arrows = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    styles: list[Any] = [arrow.get_connectionstyle() for arrow in arrows]
    bends = [style.rad for style in styles]
    assert sorted(bend != 0 for bend in bends) == [False, False, True]
