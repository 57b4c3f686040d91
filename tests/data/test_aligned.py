"""One's own pictures A|B."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gancomp.data import aligned
from gancomp.data.aligned import by_name, read_pair, safe_name
from gancomp.data.plan import Plan, split_of
from gancomp.data.settings import AlignedDataset
from gancomp.errors import GancompError


def plan(folder: Path) -> Plan:
    return aligned.plan(AlignedDataset(source="aligned", path=str(folder), size=(12, 16)))


def test_the_plan_sorts_and_splits_by_name(aligned_folder: Path) -> None:
    splits = plan(aligned_folder).splits
    assert len(splits) == 43
    assert splits["train/7.png"] == split_of("7", 0.0, 0.15)
    assert [file for file, split in splits.items() if split == "val"] == ["val/0.png", "val/1.png", "val/2.png"]


def test_halves_are_kept_when_they_fit(aligned_folder: Path) -> None:
    source = np.asarray(Image.open(aligned_folder / "train" / "7.png"))
    a, b = plan(aligned_folder).draw("train/7.png")
    assert np.array_equal(a, source[:, :16])
    assert np.array_equal(b, source[:, 16:])


def test_halves_do_not_bleed_into_each_other(tmp_path: Path) -> None:
    pair = np.zeros((20, 40, 3), dtype=np.uint8)
    pair[:, 20:] = 255
    Image.fromarray(pair).save(tmp_path / "x.png")
    a, b = read_pair(tmp_path / "x.png", (8, 12))
    assert a.shape == b.shape == (8, 12, 3)
    assert a.max() == 0
    assert b.min() == 255


def test_an_odd_width_is_refused_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (31, 10)).save(tmp_path / "odd.png")
    with pytest.raises(GancompError, match=r"odd\.png: is 31 pixels wide"):
        read_pair(tmp_path / "odd.png", (8, 8))


def test_test_stands_in_for_val(aligned_folder: Path) -> None:
    (aligned_folder / "val").rename(aligned_folder / "test")
    assert "val/2.png" in plan(aligned_folder).splits


def test_missing_folders_are_named(aligned_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"nowhere: has no folder train/"):
        plan(tmp_path / "nowhere")
    (aligned_folder / "val").rename(aligned_folder / "hidden")
    with pytest.raises(GancompError, match=r"mine: has no folder val/ or test/"):
        plan(aligned_folder)


def test_an_empty_folder_is_named(aligned_folder: Path) -> None:
    for path in (aligned_folder / "val").iterdir():
        path.unlink()
    (aligned_folder / "val" / "notes.txt").write_text("no picture")
    with pytest.raises(GancompError, match="val: holds no pictures"):
        plan(aligned_folder)


def test_pictures_that_differ_in_their_endings_are_both_kept(aligned_folder: Path) -> None:
    """With the ending in the stored name, in one split; all others keep the names that they had."""
    before = plan(aligned_folder).splits
    for name in ("a.png", "a.webp", "3.jpeg", "a.b.png"):
        Image.new("RGB", (32, 12)).save(aligned_folder / "train" / name)
    splits = plan(aligned_folder).splits
    added = {"train/a.png.png", "train/a.webp.png", "train/3.png.png", "train/3.jpeg.png", "train/a.b.png"}
    assert splits.keys() - before.keys() == added
    assert before.keys() - splits.keys() == {"train/3.png"}
    assert splits["train/3.png.png"] == splits["train/3.jpeg.png"] == before["train/3.png"]
    assert splits["train/a.png.png"] == splits["train/a.webp.png"]


def test_equal_names_are_refused(aligned_folder: Path) -> None:
    for name in ("a b.png", "a_b.png"):
        Image.new("RGB", (32, 12)).save(aligned_folder / "train" / name)
    with pytest.raises(GancompError, match="would get the same name"):
        plan(aligned_folder)


NAMES = st.lists(
    st.tuples(st.text("ab. _", min_size=1, max_size=3), st.sampled_from([".png", ".webp", ".PNG"])),
    max_size=6,
    unique=True,
)


@given(NAMES)
def test_every_picture_has_a_name_of_its_own_or_is_refused(parts: list[tuple[str, str]]) -> None:
    paths = [Path(f"{stem}{ending}") for stem, ending in parts]
    try:
        named = by_name(paths)
    except GancompError:
        return
    assert sorted(named.values()) == sorted(set(paths)) == sorted(paths)
    for name, path in named.items():
        alone = sum(safe_name(other.stem) == safe_name(path.stem) for other in paths) == 1
        assert name == safe_name(path.stem if alone else path.name)


def test_other_and_hidden_files_are_passed_over(aligned_folder: Path) -> None:
    (aligned_folder / "train" / "Thumbs.db").write_bytes(b"x")
    (aligned_folder / "train" / ".7.png").write_bytes(b"x")
    (aligned_folder / "train" / "folder.png").mkdir()
    assert len(plan(aligned_folder).splits) == 43


@pytest.mark.parametrize(
    ("stem", "safe"),
    [
        ("ok-1_2.x", "ok-1_2.x"),
        ("a b/c\\d", "a_b_c_d"),
        ("..", "_."),
        ("-rf", "_rf"),
        ("Äpfel", "Äpfel"),
        ("a\nb", "a_b"),
    ],
)
def test_names_are_made_safe(stem: str, safe: str) -> None:
    assert safe_name(stem) == safe
