"""Building data sets."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancomp.data import aligned, openmoji
from gancomp.data.build import build, load_manifest, verify
from gancomp.data.datasets import Pictures
from gancomp.data.settings import AlignedDataset, FoldersDataset, LabelsDataset, OpenmojiDataset
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256, read_json

Snapshot = Callable[[Path], dict[str, bytes]]
EMOJI = OpenmojiDataset(source="openmoji", size=(16, 16))


def mine(folder: Path, **settings: Any) -> AlignedDataset:
    return AlignedDataset(source="aligned", path=str(folder), size=(12, 16), **settings)


def test_emoji_end_to_end(downloads: Path, tmp_path: Path) -> None:
    root = tmp_path / "emoji"
    built = build("emoji", EMOJI, root, downloads)
    assert built == read_json(root / "manifest.json")
    manifest = verify(root)
    files = [file for split in manifest.splits.values() for file in split]
    assert len(files) == len(set(files)) == 59
    assert {str(path.relative_to(root)) for path in root.glob("*/*")} == set(files)
    assert all(manifest.sha256[file] == file_sha256(root / file) for file in files)
    assert list(manifest.rejected.values()) == ["input side A is one colour"]
    assert next(iter(manifest.rejected)).endswith("/2B1C.png")
    assert (root / "ATTRIBUTION.txt").read_text() == manifest.attribution
    with Image.open(root / files[0]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (32, 16))


def test_a_second_build_gives_the_same_bytes(downloads: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    build("emoji", EMOJI, tmp_path / "one", downloads)
    before = snapshot(tmp_path / "one")
    build("emoji", EMOJI, tmp_path / "one", downloads)
    build("emoji", EMOJI, tmp_path / "two", downloads)
    assert snapshot(tmp_path / "one") == before == snapshot(tmp_path / "two")


def test_a_killed_build_is_taken_up(
    downloads: Path, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("emoji", EMOJI, tmp_path / "whole", downloads)
    root = tmp_path / "killed"
    drawn = []

    def die(name: str, *rest: Any) -> Any:
        drawn.append(name)
        if len(drawn) == 20:
            raise KeyboardInterrupt
        return render_pair(name, *rest)

    render_pair = openmoji.render_pair
    monkeypatch.setattr(openmoji, "render_pair", die)
    with pytest.raises(KeyboardInterrupt):
        build("emoji", EMOJI, root, downloads)
    assert not (root / "manifest.json").exists()
    monkeypatch.undo()
    monkeypatch.setattr(openmoji, "SHA256", file_sha256(next(downloads.iterdir())))
    (root / "train" / ".1F600.png.x1y2z3.png").write_bytes(b"half")  # what a kill leaves
    build("emoji", EMOJI, root, downloads)
    assert snapshot(root) == snapshot(tmp_path / "whole")


def test_files_of_other_settings_are_removed_in_the_picture_folders_only(
    downloads: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    root = tmp_path / "emoji"
    build("emoji", EMOJI, root, downloads)
    (root / "statistics.safetensors").write_bytes(b"kept")
    smaller = EMOJI.model_copy(update={"limit": 40})
    built = build("emoji", smaller, root, downloads)
    expected = {*built["sha256"], "manifest.json", "ATTRIBUTION.txt", "statistics.safetensors"}
    assert set(snapshot(root)) == expected


def test_a_picture_that_became_constant_does_not_stay(aligned_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    build("mine", mine(aligned_folder), root, tmp_path)
    Image.new("RGB", (32, 12)).save(aligned_folder / "train" / "7.png")
    built = build("mine", mine(aligned_folder), root, tmp_path)
    assert built["rejected"] == {"train/7.png": "input side A is one colour"}
    assert not (root / "train" / "7.png").exists()


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_the_input_side_decides_what_is_rejected(aligned_folder: Path, tmp_path: Path, direction: str) -> None:
    pair = np.random.default_rng(0).integers(0, 256, (12, 32, 3), dtype=np.uint8)
    pair[:, 16:] = 9
    Image.fromarray(pair).save(aligned_folder / "train" / "flat.png")
    built = build("mine", mine(aligned_folder, direction=direction), tmp_path / "data", tmp_path)
    assert built["rejected"] == ({} if direction == "AtoB" else {"train/flat.png": "input side B is one colour"})
    if direction == "AtoB":  # and the file stays A|B
        assert np.array_equal(np.asarray(Image.open(tmp_path / "data" / "train" / "flat.png")), pair)


def test_an_empty_split_is_an_error_before_any_work(downloads: Path, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"data set emoji: split .* has no pictures \(1 in all\)"):
        build("emoji", EMOJI.model_copy(update={"limit": 1}), tmp_path / "emoji", downloads)
    assert not (tmp_path / "emoji").exists()


def test_a_missing_source_leaves_what_was_built(
    downloads: Path, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("emoji", EMOJI, tmp_path / "emoji", downloads)
    before = snapshot(tmp_path / "emoji")
    next(downloads.iterdir()).unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(GancompError, match="could not be fetched"):
        build("emoji", EMOJI, tmp_path / "emoji", downloads)
    assert snapshot(tmp_path / "emoji") == before


def test_a_bad_picture_is_named_and_no_manifest_is_left(aligned_folder: Path, tmp_path: Path) -> None:
    (aligned_folder / "train" / "7.png").write_bytes(b"broken")
    with pytest.raises(GancompError, match=r"train/7\.png: not a picture"):
        build("mine", mine(aligned_folder), tmp_path / "data", tmp_path)
    assert not (tmp_path / "data" / "manifest.json").exists()


def test_a_full_disk_leaves_nothing_half_written(
    aligned_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith(".7.png."):  # the temporary name, whose random part may hold anything
            write_bytes(path, content[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(GancompError, match=r"7\.png: cannot be written: No space left on device"):
        build("mine", mine(aligned_folder), tmp_path / "data", tmp_path)
    assert not (tmp_path / "data" / "manifest.json").exists()
    assert not [path for path in (tmp_path / "data").rglob("*") if path.name.startswith((".", "7."))]


@pytest.mark.parametrize("path", ["mine", "link"])
def test_ones_own_pictures_are_never_overwritten(aligned_folder: Path, path: str, snapshot: Snapshot) -> None:
    (aligned_folder.parent / "link").symlink_to(aligned_folder)
    before = snapshot(aligned_folder)
    with pytest.raises(GancompError, match="lie where the prepared data set is written"):
        build("mine", mine(aligned_folder.parent / path), aligned_folder, aligned_folder.parent)
    assert snapshot(aligned_folder) == before


def test_nothing_is_removed_through_a_link(aligned_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x.png").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "precious")
    with pytest.raises(GancompError, match="is a link"):
        build("mine", mine(aligned_folder), tmp_path / "data", tmp_path)
    assert (tmp_path / "precious" / "x.png").exists()


def test_the_hash_of_the_data_follows_the_pictures(aligned_folder: Path, tmp_path: Path) -> None:
    before = build("mine", mine(aligned_folder), tmp_path / "data", tmp_path)["data_hash"]
    picture = np.array(Image.open(aligned_folder / "train" / "7.png"))
    picture[0, 0, 0] ^= 1
    Image.fromarray(picture).save(aligned_folder / "train" / "7.png")
    assert build("mine", mine(aligned_folder), tmp_path / "data", tmp_path)["data_hash"] != before
    assert load_manifest(tmp_path / "data").data_hash != before


# --- unpaired pictures and label maps ----------------------------------------------------------


def two(domains: tuple[Path, Path], **options: Any) -> FoldersDataset:
    a, b = map(str, domains)
    return FoldersDataset(source="folders", a=a, b=b, size=(12, 16), search_fraction=0.3, **options)


def maps(folder: Path, **options: Any) -> LabelsDataset:
    return LabelsDataset(
        source="labels",
        images=str(folder / "photos"),
        labels=str(folder / "maps"),
        names=("sky", "sea", "land"),
        size=(12, 16),
        **options,
    )


def test_unpaired_end_to_end(domains: tuple[Path, Path], tmp_path: Path, snapshot: Snapshot) -> None:
    built = build("two", two(domains), tmp_path / "one", tmp_path)
    manifest = verify(tmp_path / "one")
    assert manifest.kind == built["kind"] == "unpaired"
    assert [len(manifest.splits[split]) > 0 for split in manifest.splits] == [True] * 3
    a, b = ([file for files in side.values() for file in files] for side in (manifest.splits, manifest.splits_b))
    assert (len(a), len(b)) == (30, 20)
    assert all(Path(file).name.startswith("A-") for file in a)
    assert all(Path(file).name.startswith("B-") for file in b)
    with Image.open(tmp_path / "one" / a[0]) as picture:
        assert picture.size == (16, 12)
    build("two", two(domains), tmp_path / "two", tmp_path)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_both_domains_are_inputs_so_blank_ones_of_either_go(
    domains: tuple[Path, Path], tmp_path: Path, direction: str
) -> None:
    Image.new("RGB", (16, 12)).save(domains[0] / "d ä7.png")
    Image.new("RGB", (16, 12)).save(domains[1] / "b ä7.png")
    built = build("two", two(domains, direction=direction), tmp_path / "data", tmp_path)
    assert sorted(built["rejected"].values()) == ["side A is one colour", "side B is one colour"]


def test_a_side_that_is_missing_in_a_split_is_named(domains: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"split train-1 has no pictures of side B \(.* in all\)"):
        build("two", two(domains, search_count=20), tmp_path / "data", tmp_path)


def test_label_maps_end_to_end(labelled: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    build("maps", maps(labelled), tmp_path / "one", tmp_path)
    manifest = verify(tmp_path / "one")
    assert manifest.kind == "labels"
    assert [one.name for one in manifest.classes] == ["sky", "sea", "land", "unlabelled"]
    build("maps", maps(labelled), tmp_path / "two", tmp_path)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_of_label_maps_the_photo_decides_what_is_rejected(labelled: Path, tmp_path: Path) -> None:
    Image.new("L", (16, 12)).save(labelled / "maps" / "3.png")
    Image.new("RGB", (16, 12)).save(labelled / "photos" / "4.png")
    built = build("maps", maps(labelled), tmp_path / "data", tmp_path)
    assert list(built["rejected"].values()) == ["photo is one colour"]
    assert next(iter(built["rejected"])).endswith("/4.png")


def test_truth_is_written_beside_what_is_scored_and_stale_truth_goes(
    aligned_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    (root / "truth").mkdir(parents=True)
    (root / "truth" / "old.png").write_bytes(b"x")
    plan = aligned.plan(mine(aligned_folder))
    truth = np.arange(24 * 32, dtype=np.uint32).astype(np.uint8).reshape(24, 32)
    monkeypatch.setattr(aligned, "plan", lambda _: replace(plan, truth=lambda file: truth + int(Path(file).stem)))
    built = build("mine", mine(aligned_folder), root, tmp_path)
    scored = [*built["splits"]["val"], *built["splits"]["train-2"]]
    assert set(built["truth"]) == {f"truth/{Path(file).name}" for file in scored}
    assert {path.name for path in (root / "truth").iterdir()} == {Path(file).name for file in scored}
    verify(root)
    assert np.array_equal(np.asarray(Image.open(root / "truth" / "2.png")), truth + 2)
    monkeypatch.undo()
    build("mine", mine(aligned_folder), root, tmp_path)
    assert not list((root / "truth").iterdir())


def test_many_pictures_lie_in_sub_folders(
    aligned_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot
) -> None:
    """And are the same data set: its hash, names and order do not depend on where they lie."""
    plan = aligned.plan(mine(aligned_folder))
    truth = np.zeros((24, 32), dtype=np.uint8)
    monkeypatch.setattr(aligned, "plan", lambda _: replace(plan, truth=lambda file: truth + int(Path(file).stem)))
    flat, root = tmp_path / "flat", tmp_path / "data"
    build("mine", mine(aligned_folder), flat, tmp_path)
    build("mine", mine(aligned_folder), root, tmp_path)
    monkeypatch.setattr("gancomp.data.build.IN_A_FOLDER", 3)
    built = build("mine", mine(aligned_folder), root, tmp_path)  # over the flat one

    manifest = verify(root)
    assert manifest.data_hash == verify(flat).data_hash
    lie = {path: content for path, content in snapshot(root).items() if path.endswith(".png")}
    assert lie.keys() == {*manifest.sha256, *manifest.truth}
    assert max(Counter(Path(path).parent for path in lie).values()) == 3
    assert any(file.startswith("train/0001/") for file in built["splits"]["train-1"])
    mine_, theirs = (Pictures(folder, ("train-2", "val"), "AtoB") for folder in (root, flat))
    every = range(len(theirs))
    assert mine_.names == theirs.names
    assert np.array_equal(mine_.batch(every), theirs.batch(every))
    assert np.array_equal(mine_.scored_labels(every), theirs.scored_labels(every))

    monkeypatch.setattr("gancomp.data.build.IN_A_FOLDER", 1_000)
    build("mine", mine(aligned_folder), root, tmp_path)
    assert snapshot(root) == snapshot(flat)
    assert not list(root.glob("*/0*/"))


def test_pictures_of_ones_own_are_never_overwritten(labelled: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    for dataset in (
        maps(labelled).model_copy(update={"val_labels": str(root / "train")}),
        two((labelled / "photos", root / "val" / "deeper")),
        two((root, labelled / "photos")),
    ):
        with pytest.raises(GancompError, match="lie where the prepared data set is written"):
            build("mine", dataset, root, tmp_path)
