"""The user's photos and label maps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancomp.data import labels
from gancomp.data.palette import Palette, borders, edges_in
from gancomp.data.plan import Plan
from gancomp.data.settings import LabelsDataset
from gancomp.errors import GancompError

NAMES = ("sky", "sea", "land")


def plan(folder: Path, size: tuple[int, int] = (12, 16), **options: Any) -> Plan:
    dataset = LabelsDataset(
        source="labels", images=str(folder / "photos"), labels=str(folder / "maps"), names=NAMES, size=size, **options
    )
    return labels.plan(dataset)


def file_of(made: Plan, name: str) -> str:
    return next(file for file in made.splits if Path(file).stem == name)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_label_maps_are_drawn_and_read_back(labelled: Path) -> None:
    made = plan(labelled)
    assert [one.name for one in made.classes] == [*NAMES, "unlabelled"]
    assert [one.scored_as for one in made.classes] == [0, 1, 2, 255]
    palette = Palette(made.classes)
    for file in made.splits:
        drawn, photo = made.draw(file)
        ids = read(labelled / "maps" / Path(file).name)
        expected = np.where(ids == 255, 3, ids)
        assert np.array_equal(palette.ids(drawn), expected)
        assert np.array_equal(edges_in(drawn), borders(expected))
        assert np.array_equal(photo, read(labelled / "photos" / Path(file).name))


def test_resizing_mixes_no_classes(labelled: Path) -> None:
    made = plan(labelled, size=(6, 8))
    drawn, photo = made.draw(file_of(made, "7"))
    assert photo.shape == (6, 8, 3)
    ids = read(labelled / "maps" / "7.png")[1::2, 1::2]
    assert np.array_equal(Palette(made.classes).ids(drawn), np.where(ids == 255, 3, ids))


def test_a_palette_counts_by_its_numbers(labelled: Path) -> None:
    before = read(labelled / "maps" / "7.png")
    image = Image.fromarray(before % 3).convert("P")
    image.putpalette([9, 9, 9, 80, 0, 0, 0, 255, 7])
    image.save(labelled / "maps" / "7.png")
    made = plan(labelled)
    drawn, _ = made.draw(file_of(made, "7"))
    assert np.array_equal(Palette(made.classes).ids(drawn), before % 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_edges_come_from_instances(labelled: Path, dtype: type) -> None:
    shutil.copytree(labelled / "maps", labelled / "instances")
    instances = np.zeros((12, 16), dtype)
    instances[:, 8:] = np.iinfo(dtype).max
    for path in (labelled / "instances").iterdir():
        Image.fromarray(instances).save(path)
    made = plan(labelled, instances=str(labelled / "instances"))
    drawn, _ = made.draw(next(iter(made.splits)))
    expected = np.zeros((12, 16), bool)
    expected[:, 7:9] = True
    assert np.array_equal(edges_in(drawn), expected)


def test_held_out_folders(labelled: Path) -> None:
    shutil.copytree(labelled, labelled / "val")
    folder = labelled / "val"
    made = plan(labelled, val_images=str(folder / "photos"), val_labels=str(folder / "maps"))
    assert list(made.splits.values()).count("val") == 30
    with pytest.raises(GancompError, match="val_images is set, but not val_labels"):
        plan(labelled, val_images=str(folder / "photos"))
    shutil.copytree(labelled / "maps", labelled / "instances")
    with pytest.raises(GancompError, match="val_images is set, but not val_instances"):
        plan(
            labelled,
            val_images=str(folder / "photos"),
            val_labels=str(folder / "maps"),
            instances=str(labelled / "instances"),
        )


@pytest.mark.parametrize("folder", ["photos", "maps"])
def test_a_missing_partner_is_named(labelled: Path, folder: str) -> None:
    (labelled / folder / "7.png").unlink()
    with pytest.raises(GancompError, match=rf"7\.png: has no partner of the same name in .*/{folder}; add or remove"):
        plan(labelled)


def in_colour(path: Path) -> None:
    Image.open(path).convert("RGB").save(path)


def deep(path: Path) -> None:
    Image.fromarray(np.ones((12, 16), np.uint16)).save(path)


def turned(path: Path) -> None:
    Image.new("L", (12, 16)).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (in_colour, r"7\.png: is of mode RGB; a map has one number of at most 8 bits"),
        (deep, r"7\.png: is of mode I;16; a map has one number of at most 8 bits"),
        (turned, r"7\.png: is 16x12 \(height x width\), but its photo 12x16"),
        (lambda path: path.write_bytes(b"x"), r"7\.png: not a picture"),
    ],
)
def test_what_is_no_label_map_is_refused_by_name(labelled: Path, spoil: Callable[[Path], Any], message: str) -> None:
    spoil(labelled / "maps" / "7.png")
    made = plan(labelled)
    with pytest.raises(GancompError, match=message):
        made.draw(file_of(made, "7"))
