"""A data set's statistics: of the targets, one key, one data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancomp.artifacts import file_sha256, write_json
from gancomp.data.manifest import hash_of
from gancomp.errors import GancompError
from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.statistics import CHUNK, load_statistics, write_statistics

SPLITS = {"train-1": 2, "train-2": CHUNK + 3, "val": 4}
SIZE = 8


class MeanColour:
    """Stands in for Inception: three features a picture."""

    key = "mean-colour-32"

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return pictures.mean(axis=(1, 2), dtype=np.float32)


def build(root: Path, direction: str, splits: dict[str, int] = SPLITS) -> dict[str, np.ndarray]:
    """A data set of random A|B pictures; returns the pictures of each split."""
    generator = np.random.default_rng(0)
    files: dict[str, list[str]] = {}
    pictures = {}
    for split, count in splits.items():
        folder = "val" if split == "val" else "train"
        (root / folder).mkdir(parents=True, exist_ok=True)
        files[split] = [f"{folder}/{split}-{index:03}.png" for index in range(count)]
        pictures[split] = generator.integers(0, 256, (count, SIZE, 2 * SIZE, 3), dtype=np.uint8)
        for file, picture in zip(files[split], pictures[split], strict=True):
            Image.fromarray(picture).save(root / file)
    sha256 = {file: file_sha256(root / file) for members in files.values() for file in members}
    manifest = {
        "name": "made-up",
        "dataset": {"direction": direction},
        "size": [SIZE, SIZE],
        "splits": files,
        "sha256": sha256,
        "data_hash": hash_of(sha256),
        "attribution": "",
        "rejected": {},
    }
    write_json(root / "manifest.json", manifest)
    return pictures


@pytest.mark.parametrize(("direction", "target"), [("AtoB", slice(SIZE, None)), ("BtoA", slice(SIZE))])
def test_holds_the_features_of_the_target_side(direction: str, target: slice, tmp_path: Path) -> None:
    pictures = build(tmp_path, direction)
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, MeanColour(), path)
    for split in ("train-2", "val"):
        statistics = load_statistics(path, split, key=MeanColour.key)
        expected = MeanColour()(pictures[split][:, :, target])
        np.testing.assert_allclose(statistics.features, expected, rtol=1e-6)
        assert frechet_distance(expected, statistics) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    build(tmp_path, "AtoB")
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, MeanColour(), path)
    return path


def test_another_precision_is_refused(written: Path) -> None:
    with pytest.raises(GancompError, match=r"mean-colour-32.*mean-colour-bf16.*precision"):
        load_statistics(written, "val", key="mean-colour-bf16")


def test_other_pictures_are_refused(written: Path) -> None:
    with pytest.raises(GancompError, match="other pictures"):
        load_statistics(written, "val", data_hash="0" * 64)


def test_training_pictures_have_no_statistics(written: Path) -> None:
    with pytest.raises(GancompError, match="no reference statistics of train-1"):
        load_statistics(written, "train-1")


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"statistics\.safetensors: no such file"):
        load_statistics(tmp_path / "statistics.safetensors", "val")


def test_one_picture_has_no_statistics(tmp_path: Path) -> None:
    build(tmp_path, "AtoB", {"train-1": 1, "train-2": 2, "val": 1})
    with pytest.raises(GancompError, match="split val has fewer than 2"):
        write_statistics(tmp_path, MeanColour(), tmp_path / "statistics.safetensors")
    assert not (tmp_path / "statistics.safetensors").exists()


def test_equal_content_gives_equal_bytes(written: Path) -> None:
    before = written.read_bytes()
    write_statistics(written.parent, MeanColour(), written)
    assert written.read_bytes() == before
