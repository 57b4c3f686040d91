"""The manifest is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancomp.config import AlignedDataset
from gancomp.data.build import build
from gancomp.data.manifest import hash_of, load_manifest, verify
from gancomp.errors import GancompError


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
        (lambda data: data.update(data_hash="0"), "data_hash does not belong"),
        (lambda data: data.update(size=[1]), "size"),
        (lambda data: data.update(extra=1), "extra"),
    ],
)
def test_a_spoilt_manifest_is_refused(root: Path, spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = json.loads((root / "manifest.json").read_text())
    spoil(data)
    (root / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(GancompError, match=message) as caught:
        load_manifest(root)
    assert str(root / "manifest.json") in str(caught.value)


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
