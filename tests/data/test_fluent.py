"""Fluent Emoji: what makes a pair, how both styles are drawn, and what is left out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gancomp.data import fluent
from gancomp.data.archives import each_member
from gancomp.data.build import build
from gancomp.data.settings import FluentDataset
from gancomp.data.sources import fetch_npm_package
from gancomp.data.svg import parse_svg
from gancomp.errors import GancompError

from .conftest import fluent_package, npm_package

FLAT2RENDER = FluentDataset(source="fluent", task="flat2render", size=(32, 32))


def test_pairs_are_of_one_emoji_without_skin_tones_flags_and_what_is_left_out(fluent_downloads: Path) -> None:
    plan = fluent.plan(FLAT2RENDER, fluent_downloads)
    assert {Path(file).stem for file in plan.splits} == {f"1f6{index:02x}" for index in range(60)}
    assert set(plan.splits.values()) == {"train-1", "train-2", "val"}
    assert "MIT License" in plan.attribution


def test_both_styles_are_drawn_on_white_in_their_colours(fluent_downloads: Path) -> None:
    plan = fluent.plan(FLAT2RENDER, fluent_downloads)
    file = next(file for file in plan.splits if file.endswith("/1f61e.png"))
    for picture in plan.draw(file):
        assert picture.shape == (32, 32, 3)
        assert picture[16, 16].tolist() == [120, 128, 135]
        assert (picture[0] == 255).all()


def test_another_shape_letterboxes_both_centred(fluent_downloads: Path) -> None:
    wide = fluent.plan(FLAT2RENDER.model_copy(update={"size": (32, 64)}), fluent_downloads)
    square = fluent.plan(FLAT2RENDER, fluent_downloads)
    file = next(iter(square.splits))
    for one, other in zip(wide.draw(file), square.draw(file), strict=True):
        assert np.array_equal(one[:, 16:48], other)
        assert (one[:, :16] == 255).all()


def test_edges_are_dark_lines_on_white_where_colours_change(fluent_downloads: Path) -> None:
    plan = fluent.plan(FluentDataset(source="fluent", task="edges2render", size=(64, 64)), fluent_downloads)
    drawing, rendering = plan.draw(next(iter(plan.splits)))
    assert (drawing[32, 32] == 255).all()  # inside, of one colour
    assert (drawing[0, 0] == 255).all()  # outside
    assert drawing[32, 6:10].min() < 32  # the border
    assert rendering[32, 32].min() < 255


def test_slow_shading_is_no_edge() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(64, axis=0)
    assert fluent.edges(ramp).min() > 250


def test_a_data_set_is_built(fluent_downloads: Path, tmp_path: Path) -> None:
    built = build("tiny", FLAT2RENDER, tmp_path / "tiny", fluent_downloads)
    assert sum(map(len, built["splits"].values())) == 60


def test_skin_tones_join_the_training_emoji_alone(fluent_downloads: Path) -> None:
    """Every emoji of the package has a variant; one of an emoji that is no pair has no place either."""
    plain = fluent.plan(FLAT2RENDER, fluent_downloads)
    assert not any("1f3fd" in file for file in plain.splits)
    toned = fluent.plan(FLAT2RENDER.model_copy(update={"skin_tones": True}), fluent_downloads)
    training = {Path(file).stem for file, split in plain.splits.items() if split == "train-1"}
    added = {file: split for file, split in toned.splits.items() if file not in plain.splits}
    assert {Path(file).stem for file in added} == {f"{code}-1f3fd" for code in training}
    assert set(added.values()) == {"train-1"}
    assert toned.splits.items() >= plain.splits.items()
    assert toned.draw(next(iter(added)))[1].shape == (32, 32, 3)
    assert "skin-tone variants of emoji held out" in toned.attribution


@given(st.lists(st.integers(1, 0x1FFFF).filter(lambda point: point != 0xFE0F), min_size=1, max_size=5))
def test_code_points_match_however_they_are_written(points: list[int]) -> None:
    plain = "-".join(f"{point:x}" for point in points)
    assert fluent.code_of("-FE0F-".join(f"{point:04X}" for point in points) + "-fe0f") == plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1f468-200d-1f680", "1f9d1-200d-1f680"),  # man astronaut, astronaut
        ("1f3c3-200d-2640", "1f3c3"),  # woman running, person running
        ("1f469-200d-1f9af", "1f468-200d-1f9af"),
    ],
)
def test_who_is_shown_does_not_part_an_emoji_from_its_split(one: str, other: str) -> None:
    assert fluent.subject(one) == fluent.subject(other)


@pytest.mark.parametrize("code", ["1f468", "2640", "1f600"])
def test_an_emoji_of_nothing_else_is_its_own_subject(code: str) -> None:
    assert fluent.subject(code) == code


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"icons.json": b"{}", "chars.json": b'{"1f600": "x"}'},
        {"icons.json": b"[]", "chars.json": b'{"1f600": "x"}'},
        {"icons.json": b"[" * 100_000, "chars.json": b"{}"},
        {"icons.json": b'{"icons": {"x": 1}, "width": 32, "height": 32}', "chars.json": b'{"1f600": "x"}'},
    ],
)
def test_another_package_is_refused_by_name(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(GancompError, match=r"p\.tgz: holds no drawings"):
        fluent.read_flat(npm_package(tmp_path / "p.tgz", members))


def test_an_unsafe_drawing_is_refused_by_name(tmp_path: Path) -> None:
    package = npm_package(
        tmp_path / "p.tgz", fluent_package({"1f600": "x"}, {"x": '<image href="file:///etc/passwd"/>'})
    )
    with pytest.raises(GancompError, match=r"1f600\.svg: .*only plain shapes"):
        parse_svg("1f600", fluent.read_flat(package)["1f600"])


@pytest.mark.slow
def test_the_real_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches 17 MB through npm, once; needs the network."""
    package = fetch_npm_package(*fluent.FLAT, tmp_path)
    rendered = fluent.read_rendered(fetch_npm_package(*fluent.RENDERED, tmp_path))
    left_out = dict(line.split(",") for line in fluent.LEFT_OUT.read_text(encoding="utf-8").splitlines()[1:])
    pairs = {code for code in fluent.read_flat(package).keys() & rendered.keys() if not fluent.has_skin_tone(code)}
    assert len(pairs) == 1470
    monkeypatch.setattr(fluent, "LEFT_OUT", tmp_path / "none.csv")
    fluent.LEFT_OUT.touch()
    drawings = fluent.read_flat(package)
    members = dict(each_member(package, lambda name: name == "package/chars.json"))
    name_of = {fluent.code_of(points): name for points, name in json.loads(members["package/chars.json"]).items()}
    for code in drawings.keys() & rendered.keys():
        if fluent.has_skin_tone(code):
            continue
        overlap, difference = likeness(drawings[code], rendered[code])
        measured = ""
        if overlap < 0.75:
            measured = f"silhouettes overlap by {overlap:.2f}"
        elif difference > 0.25:
            measured = f"colours differ by {difference:.2f}"
        reason = left_out.get(name_of[code], "")
        assert reason == measured or (not measured and reason.startswith(("not of plain", "the same"))), name_of[code]
        if code in pairs:
            parse_svg(code, drawings[code])


def likeness(drawing: bytes, rendering: bytes) -> tuple[float, float]:
    """How far two silhouettes overlap, and how far the colours of the pixels in both differ, at 64 × 64."""
    import resvg_py

    root = drawing.decode().replace("<svg ", '<svg width="64" height="64" ', 1)
    flat = Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=root, skip_system_fonts=True))).convert("RGBA")
    solid = Image.open(io.BytesIO(rendering)).convert("RGBa").resize((64, 64), Image.Resampling.LANCZOS).convert("RGBA")
    one, other = (np.asarray(picture).astype(float) for picture in (flat, solid))
    inside, also = one[..., 3] > 127, other[..., 3] > 127
    both = inside & also
    return both.sum() / (inside | also).sum(), np.abs(one - other)[both, :3].mean() / 255
