"""One's own pictures in two folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancomp.data import folders
from gancomp.data.plan import Plan
from gancomp.data.settings import FoldersDataset
from gancomp.errors import GancompError

Domains = tuple[Path, Path]


def plan(a: Path, b: Path, **options: Any) -> Plan:
    return folders.plan(FoldersDataset(source="folders", a=str(a), b=str(b), size=(12, 16), **options))


def paint(folder: Path, *names: str, mode: str = "RGB") -> Path:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        picture = np.random.default_rng(index).integers(0, 256, (10, 14, 4), dtype=np.uint8)
        Image.fromarray(picture, "RGBA").convert(mode).save(folder / name)
    return folder


def test_two_domains_give_every_picture_alone(domains: Domains) -> None:
    made = plan(*domains)
    assert Counter(made.alone.values()) == {"A": 30, "B": 20}
    assert set(made.alone) == set(made.splits)
    assert {"A-d_ä5.png", "B-b_ä5.png"} < {Path(file).name for file in made.splits}
    for file, split in made.splits.items():
        folder, name = file.split("/")
        assert (folder == "val") == (split == "val")
        assert name.startswith(f"{made.alone[file]}-")
        (picture,) = made.draw(file)
        assert picture.shape == (12, 16, 3)
        assert (picture.mean() > 125) == (made.alone[file] == "B")


def test_validation_folders_take_the_place_of_a_share(domains: Domains, tmp_path: Path) -> None:
    val_a = paint(tmp_path / "val a", "1.png", "2.png")
    made = plan(*domains, val_a=str(val_a), val_fraction=0.5)
    of_val = [made.alone[file] for file, split in made.splits.items() if split == "val"]
    assert of_val.count("A") == 2
    assert 5 <= of_val.count("B") <= 15  # half of twenty
    assert list(made.alone.values()).count("A") == 32


def test_a_count_for_the_search_holds_for_each_side(domains: Domains) -> None:
    made = plan(*domains, search_count=4)
    assert Counter(made.alone[file] for file, split in made.splits.items() if split == "train-2") == {"A": 4, "B": 4}


def test_pairs_by_name_whatever_their_endings(tmp_path: Path) -> None:
    names = [f"ä {index}" for index in range(40)]
    a = paint(tmp_path / "it's a", *(f"{name}.png" for name in names))
    b = paint(tmp_path / "b", *(f"{name}.bmp" for name in names))
    made = plan(a, b, paired=True)
    assert not made.alone
    assert len(made.splits) == 40
    assert set(made.splits.values()) == {"train-1", "train-2", "val"}
    drawn = made.draw(next(file for file in made.splits if file.endswith("/ä_7.png")))
    assert all(np.array_equal(*pair) for pair in [drawn])  # painted alike
    held_out = paint(tmp_path / "val a", "1.png"), paint(tmp_path / "val b", "1.jpg")
    made = plan(a, b, paired=True, val_a=str(held_out[0]), val_b=str(held_out[1]))
    assert [file for file, split in made.splits.items() if split == "val"] == ["val/1.png"]


def test_missing_partners_are_named(tmp_path: Path) -> None:
    a, b = paint(tmp_path / "a", "1.png", "2.png", "3.png"), paint(tmp_path / "b", "2.png")
    with pytest.raises(GancompError, match=r"a/1\.png: has no partner of the same name in .*/b \(2 have none\)"):
        plan(a, b, paired=True)
    with pytest.raises(GancompError, match=r"a/1\.png: has no partner of the same name in .*/b"):
        plan(b, a, paired=True)
    with pytest.raises(GancompError, match="val_a is set, but not val_b"):
        plan(a, a, paired=True, val_a=str(b))


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    a = paint(tmp_path / "a", "1.png")
    (tmp_path / "empty").mkdir()
    for missing, message in (("nowhere", "no such folder"), ("empty", "holds no pictures")):
        for paired in (False, True):
            with pytest.raises(GancompError, match=f"{missing}: {message}"):
                plan(a, tmp_path / missing, paired=paired)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize(("channels", "stored"), [(1, 3), (2, 4), (3, 3), (4, 4)])
def test_the_input_side_alone_has_its_channels(tmp_path: Path, direction: str, channels: int, stored: int) -> None:
    names = [f"{index}.png" for index in range(9)]
    a, b = paint(tmp_path / "a", *names, mode="RGBA"), paint(tmp_path / "b", *names, mode="RGBA")
    made = plan(a, b, paired=True, channels=channels, direction=direction)
    source, target = made.draw(next(iter(made.splits)))[:: 1 if direction == "AtoB" else -1]
    assert target.shape == (12, 16, 3)
    assert source.shape == (12, 16, stored)
    gray = np.array_equal(source[..., 0], source[..., 1]) and np.array_equal(source[..., 0], source[..., 2])
    assert gray == (channels < 3)


def test_a_damaged_picture_is_named_when_drawn(domains: Domains) -> None:
    (domains[0] / "d ä3.png").write_bytes(b"x")
    made = plan(*domains)
    damaged = next(file for file in made.splits if file.endswith("A-d_ä3.png"))
    with pytest.raises(GancompError, match=r"d ä3\.png: not a picture"):
        made.draw(damaged)


def test_names_that_differ_in_their_endings_are_kept_in_domains_and_refused_in_pairs(tmp_path: Path) -> None:
    a = paint(tmp_path / "a", *(f"{index}.png" for index in range(20)), "3.jpeg", "x.png", "x.webp")
    b = paint(tmp_path / "b", *(f"{index}.png" for index in range(20)), "x.png")
    made = plan(a, b)
    names = {Path(file).name: split for file, split in made.splits.items()}
    assert {"A-3.png.png", "A-3.jpeg.png", "A-x.png.png", "A-x.webp.png", "B-3.png", "B-x.png"} < names.keys()
    assert names["A-3.png.png"] == names["A-3.jpeg.png"], "likely one picture twice"
    assert "A-3.png" not in names
    with pytest.raises(GancompError, match=r"a/3\.png: would get the same name as 3\.jpeg; rename one"):
        plan(a, b, paired=True)
