"""The manifest is checked when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancomp.data.build import build
from gancomp.data.manifest import hash_of, load_manifest, verify
from gancomp.data.settings import AlignedDataset
from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json, write_json


@pytest.fixture
def root(aligned_folder: Path, tmp_path: Path) -> Path:
    dataset = AlignedDataset(source="aligned", path=str(aligned_folder), size=(12, 16))
    build("mine", dataset, tmp_path / "data", tmp_path)
    return tmp_path / "data"


def test_hash_is_over_sorted_lines() -> None:
    expected = hashlib.sha256(b"train/a.png 11\nval/b.png 22\n").hexdigest()
    assert hash_of({"val/b.png": "22", "train/a.png": "11"}) == expected


def escape(data: dict[str, Any]) -> None:
    data["splits"]["val"][0] = "val/../../secret.png"
    data["sha256"] = {file: "0" for split in data["splits"].values() for file in split}
    data["data_hash"] = hash_of(data["sha256"])


def leak(data: dict[str, Any]) -> None:
    data["splits"]["val"].append(data["splits"]["train-1"].pop())


def twice(data: dict[str, Any]) -> None:
    data["splits"]["train-2"].append(data["splits"]["train-1"][0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (escape, "'val/../../secret.png' is not a picture in val/"),
        (leak, "is not a picture in val/"),
        (twice, "every file must be in one split"),
        (lambda data: data["splits"].pop("val"), "splits must be"),
        (lambda data: data["sha256"].popitem(), "every file must be in one split"),
        (lambda data: data.update(data_hash="0"), "data_hash does not match"),
        (lambda data: data.update(size=[1]), "size"),
        (lambda data: data.update(extra=1), "extra"),
    ],
)
def test_a_spoilt_manifest_is_refused(root: Path, spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = read_json(root / "manifest.json")
    spoil(data)
    write_json(root / "manifest.json", data)
    with pytest.raises(GancompError, match=message) as caught:
        load_manifest(root)
    assert str(root / "manifest.json") in str(caught.value)


def rehash(data: dict[str, Any]) -> None:
    data["data_hash"] = hash_of(data["sha256"] | data["truth"])


def shared(data: dict[str, Any]) -> None:
    data["splits_b"] = {"val": data["splits"]["val"]}


def one_side(data: dict[str, Any]) -> None:
    data["splits_b"]["train-1"] = [data["splits"]["train-1"].pop()]


def escape_in_truth(data: dict[str, Any]) -> None:
    data["truth"] = {"truth/../../x.png": "0"}
    rehash(data)


def truth_elsewhere(data: dict[str, Any]) -> None:
    data["truth"] = {"val/new.png": "0"}
    rehash(data)


def coloured(*colours: list[int], kind: str = "labels") -> Callable[[dict[str, Any]], None]:
    def spoil(data: dict[str, Any]) -> None:
        data["kind"] = kind
        data["classes"] = [{"name": "x", "colour": colour, "scored_as": 0} for colour in colours]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shared, "every file must be in one split"),
        (one_side, "splits_b: does not belong to a data set of pairs"),
        (lambda data: data.update(kind="unpaired"), "splits_b: does not belong to a data set of unpaired"),
        (lambda data: data.update(kind="labels"), "classes: 0 do not belong to a data set of labels"),
        (coloured([0, 0, 0], kind="pairs"), "classes: 1 do not belong to a data set of pairs"),
        (coloured([0, 0, 0], [0, 0, 1]), "colours must be distinct, 8-bit, and even in blue"),
        (coloured([0, 0, 0], [0, 0, 0]), "colours must be distinct"),
        (coloured([0, 0, 256], [0, 0, 0]), "colours must be distinct, 8-bit"),
        (lambda data: data.update(kind="pictures"), "kind"),
        (escape_in_truth, "is not a picture in truth/"),
        (truth_elsewhere, "is not a picture in truth/"),
    ],
)
def test_kinds_sides_and_classes_must_fit(root: Path, spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = read_json(root / "manifest.json")
    spoil(data)
    write_json(root / "manifest.json", data)
    with pytest.raises(GancompError, match=message):
        load_manifest(root)


def test_truth_belongs_to_the_data_hash_and_is_verified(root: Path) -> None:
    data = read_json(root / "manifest.json")
    (root / "truth").mkdir()
    (root / "truth" / "0.png").write_bytes(b"x")
    data["truth"] = {"truth/0.png": hashlib.sha256(b"x").hexdigest()}
    write_json(root / "manifest.json", data)
    with pytest.raises(GancompError, match="data_hash does not match"):
        load_manifest(root)
    rehash(data)
    write_json(root / "manifest.json", data)
    verify(root)
    (root / "truth" / "0.png").write_bytes(b"y")
    with pytest.raises(GancompError, match=r"truth/0\.png: changed"):
        verify(root)


def test_missing_and_cut_off_manifests_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"manifest\.json: missing"):
        load_manifest(tmp_path)
    (root / "manifest.json").write_text((root / "manifest.json").read_text()[:100])
    with pytest.raises(GancompError, match=r"manifest\.json: not valid JSON"):
        load_manifest(root)


def test_verify_names_a_picture_that_changed_or_is_gone(root: Path) -> None:
    verify(root)
    picture = root / "train" / "7.png"
    picture.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(GancompError, match=r"train/7\.png: changed"):
        verify(root)
    picture.unlink()
    with pytest.raises(GancompError, match=r"train/7\.png: missing"):
        verify(root)
