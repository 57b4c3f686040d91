"""Cityscapes, of small archives and folders with its layout."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancomp.data import cityscapes
from gancomp.data.build import build, verify
from gancomp.data.classes import CITYSCAPES
from gancomp.data.datasets import Pictures
from gancomp.data.palette import Palette, borders, edges_in
from gancomp.data.settings import CityscapesDataset, DrnJudge
from gancomp.errors import GancompError

HEIGHT, WIDTH = 16, 32
COUNTS = {"train": 6, "val": 3}
ARCHIVES = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photo, ids (255 is the licence plate's -1) and instances in blocks of 2x2, two instances to a block of cars."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    blocks = rng.choice([*range(34), 255], (HEIGHT // 2, WIDTH // 2)).astype(np.uint8)
    ids = blocks.repeat(2, axis=0).repeat(2, axis=1)
    instances = ids.astype(np.uint16)
    instances[ids == 26] = 26_000
    instances[:, ::4][ids[:, ::4] == 26] = 26_001
    return photo, ids, instances


def official_colours(ids: np.ndarray) -> np.ndarray:
    """What `gtFine_color` shows."""
    return np.array([one.colour for one in CITYSCAPES], dtype=np.uint8)[np.where(ids == 255, 34, ids)]


def files() -> dict[str, bytes]:
    """Every file of both archives: two cities, a test folder without annotations, and what else they hold."""
    members = {"README": b"x", "license.txt": b"x", "leftImg8bit/test/berlin/berlin_0_0_leftImg8bit.png": b"x"}
    for kind, count in COUNTS.items():
        for index in range(count):
            photo, ids, instances = scene(seed=index + 10 * (kind == "val"))
            city = ("aachen", "ulm")[index % 2]
            name = f"{city}_{index:06}_{(19, 20)[kind == 'val']:06}"
            members[f"leftImg8bit/{kind}/{city}/{name}_leftImg8bit.png"] = png(photo)
            annotation = f"gtFine/{kind}/{city}/{name}_gtFine"
            members[f"{annotation}_labelIds.png"] = png(ids)
            members[f"{annotation}_instanceIds.png"] = png(instances)
            members[f"{annotation}_color.png"] = png(official_colours(ids))
            members[f"{annotation}_polygons.json"] = b"{}"
    return members


def write(root: Path, members: Mapping[str, bytes], zipped: bool) -> None:
    root.mkdir(exist_ok=True)
    if not zipped:
        for name, content in members.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return
    for half, archive in ARCHIVES.items():
        with zipfile.ZipFile(root / archive, "w") as stream:
            for name, content in members.items():
                if name.startswith(half) or "/" not in name:
                    stream.writestr(name, content)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cityscapes, "COUNTS", COUNTS)


@pytest.fixture(params=[True, False], ids=["archives", "folders"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    write(tmp_path / "cityscapes", files(), zipped=request.param)
    return tmp_path / "cityscapes"


def dataset(root: Path, **settings: Any) -> CityscapesDataset:
    base: dict[str, Any] = {"size": (HEIGHT, WIDTH), "search_count": 2, "judge": DrnJudge(network="drn-d-105")}
    return CityscapesDataset(source="cityscapes", path=str(root), **{**base, **settings})


VAL = "val/aachen_000002_000020.png"


def test_the_splits_are_the_folders_and_a_count_of_training_photos(root: Path) -> None:
    plan = cityscapes.plan(dataset(root))
    assert Counter(plan.splits.values()) == {"train-1": 4, "train-2": 2, "val": 3}
    assert VAL in plan.splits
    assert not plan.alone
    assert not plan.classes
    assert "may not be passed on" in plan.attribution


def test_pairs_show_the_photo_and_the_official_colours(root: Path) -> None:
    photo, ids, _ = scene(seed=12)
    a, b = cityscapes.plan(dataset(root)).draw(VAL)
    assert np.array_equal(a, photo)
    assert np.array_equal(b, official_colours(ids))


@pytest.mark.parametrize("direction", ["BtoA", "AtoB"])
def test_label_maps_decode_to_classes_and_edges_on_the_input_side(root: Path, direction: str) -> None:
    photo, ids, instances = scene(seed=12)
    plan = cityscapes.plan(dataset(root, form="labels", direction=direction))
    source, target = plan.draw(VAL) if direction == "AtoB" else plan.draw(VAL)[::-1]
    assert np.array_equal(target, photo)
    assert np.array_equal(Palette(plan.classes).ids(source), np.where(ids == 255, 34, ids))
    assert np.array_equal(edges_in(source), borders(instances))
    assert not np.array_equal(borders(instances), borders(ids))
    assert [one.name for one in plan.classes] == [one.name for one in CITYSCAPES]


def test_label_maps_are_resized_to_the_nearest_pixel_and_edges_follow(root: Path) -> None:
    """At half size, each block of 2x2 is one pixel; photos are smoothed, label maps are not."""
    photo, ids, instances = scene(seed=12)
    plan = cityscapes.plan(dataset(root, form="labels", size=(HEIGHT // 2, WIDTH // 2)))
    a, b = plan.draw(VAL)
    assert np.array_equal(Palette(plan.classes).ids(b), np.where(ids == 255, 34, ids)[::2, ::2])
    seen = instances[1::2, 1::2]
    assert np.array_equal(edges_in(b), borders(seen))
    smoothed = np.asarray(Image.fromarray(photo).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BICUBIC))
    assert np.array_equal(a, smoothed)


def test_truth_is_in_train_ids_at_full_size(root: Path) -> None:
    _, ids, _ = scene(seed=12)
    plan = cityscapes.plan(dataset(root, size=(HEIGHT // 4, WIDTH // 4)))
    assert plan.truth is not None
    truth = plan.truth(VAL)
    assert truth.dtype == np.uint8
    assert truth.shape == (HEIGHT, WIDTH)
    expected = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
    expected |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert np.array_equal(truth, np.vectorize(lambda value: expected.get(value, 255))(ids))


def test_truth_is_for_a_judge(root: Path) -> None:
    assert cityscapes.plan(dataset(root, judge=None)).truth is None


def test_pictures_are_read_from_several_threads(root: Path) -> None:
    plan = cityscapes.plan(dataset(root, form="labels"))
    wanted = sorted(plan.splits) * 5
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(plan.draw, wanted))
    for file, sides in zip(wanted, drawn, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(sides, plan.draw(file), strict=True))


@pytest.mark.parametrize("form", ["pairs", "labels"])
def test_a_prepared_data_set_gives_back_what_was_drawn(root: Path, tmp_path: Path, form: str) -> None:
    declared = dataset(root, form=form)
    build("cityscapes", declared, tmp_path / "data", tmp_path)
    verify(tmp_path / "data")
    pictures = Pictures(tmp_path / "data", ["val"], declared.direction)
    at = pictures.names.index(VAL)
    photo, ids, _ = scene(seed=12)
    inputs, targets = pictures.batch([at])
    assert np.array_equal(targets[0], photo)
    if form == "labels":
        assert np.array_equal(pictures.labels(inputs)[0], np.where(ids == 255, 34, ids))
    else:
        assert np.array_equal(inputs[0], official_colours(ids))
    truth = cityscapes.plan(declared).truth
    assert truth is not None
    assert np.array_equal(pictures.scored_labels([at])[0], truth(VAL))


# --- what is missing or wrong ------------------------------------------------------------------


@pytest.mark.parametrize("half", list(ARCHIVES))
def test_a_missing_half_is_named_with_where_it_comes_from(tmp_path: Path, half: str) -> None:
    write(tmp_path, files(), zipped=True)
    (tmp_path / ARCHIVES[half]).unlink()
    with pytest.raises(GancompError, match=r"Register at https://www\.cityscapes-dataset\.com/") as caught:
        cityscapes.plan(dataset(tmp_path))
    other = ARCHIVES["gtFine" if half == "leftImg8bit" else "leftImg8bit"]
    assert ARCHIVES[half] in str(caught.value)
    assert other not in str(caught.value)


def test_a_missing_folder_misses_both(tmp_path: Path) -> None:
    with pytest.raises(GancompError) as caught:
        cityscapes.plan(dataset(tmp_path / "nowhere"))
    assert all(archive in str(caught.value) for archive in ARCHIVES.values())


@pytest.mark.parametrize("kind", ["train", "val"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_missing_photo_is_an_error_with_both_numbers(tmp_path: Path, kind: str, zipped: bool) -> None:
    members = files()
    del members[next(name for name in members if name.startswith(f"leftImg8bit/{kind}/"))]
    write(tmp_path, members, zipped)
    count = COUNTS[kind]
    with pytest.raises(GancompError, match=rf"leftImg8bit/{kind} holds {count - 1} photos instead of {count}"):
        cityscapes.plan(dataset(tmp_path))


@pytest.mark.parametrize("what", ["labelIds", "instanceIds"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_missing_annotation_is_named(tmp_path: Path, what: str, zipped: bool) -> None:
    members = files()
    gone = next(name for name in members if name.endswith(f"{what}.png"))
    del members[gone]
    write(tmp_path, members, zipped)
    with pytest.raises(GancompError, match=f"{gone} is missing"):
        cityscapes.plan(dataset(tmp_path))


@pytest.mark.parametrize(
    ("what", "content", "message"),
    [
        ("labelIds", png(np.full((HEIGHT, WIDTH), 34, np.uint8)), "has the value 34, which is no label"),
        ("labelIds", png(np.full((HEIGHT, WIDTH), 300, np.uint16)), "has the value 300, which is no label"),
        ("labelIds", png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "RGB"),
        ("labelIds", png(np.zeros((HEIGHT, WIDTH + 1), np.uint8)), "has another size than its photo"),
        ("instanceIds", png(np.zeros((HEIGHT + 1, WIDTH), np.uint16)), "has another size than its photo"),
        ("instanceIds", b"broken", "not a picture"),
        ("leftImg8bit", b"broken", "not a picture"),
    ],
    ids=["label 34", "label 300", "colour", "wider", "higher", "broken instances", "broken photo"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_picture_that_is_wrong_is_named(
    tmp_path: Path, what: str, content: bytes, message: str, zipped: bool
) -> None:
    members = files()
    half, middle = ("leftImg8bit", "") if what == "leftImg8bit" else ("gtFine", "gtFine_")
    bad = f"{half}/val/aachen/aachen_000002_000020_{middle}{what}.png"
    assert bad in members
    write(tmp_path, {**members, bad: content}, zipped)
    plan = cityscapes.plan(dataset(tmp_path, form="labels"))
    with pytest.raises(GancompError, match=rf"aachen_000002_000020_{middle}{what}\.png: .*{message}"):
        plan.draw(VAL)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    write(tmp_path, files(), zipped=True)
    archive = tmp_path / ARCHIVES["gtFine"]
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(GancompError, match=r"gtFine_trainvaltest\.zip: truncated or damaged"):
        cityscapes.plan(dataset(tmp_path))
