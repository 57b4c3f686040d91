"""A data set's statistics: of the targets, one key, one data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancomp import rng
from gancomp.data.build import build as build_dataset
from gancomp.data.manifest import hash_of, load_manifest
from gancomp.data.settings import FoldersDataset
from gancomp.errors import GancompError
from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.statistics import CHUNK, load_real_pair, load_statistics, write_statistics
from gancomp.pipeline.checkpoints import save_tensors
from gancomp.pipeline.files import file_sha256, read_json, write_json

SPLITS = {"train-1": 2, "train-2": CHUNK + 3, "val": 4}
SIZE = 8
KEY = "mean-colour-32"


class MeanColour:
    """Stands in for Inception: three features a picture."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key

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
    write_statistics(tmp_path, [MeanColour()], path)
    for split in ("train-2", "val"):
        statistics = load_statistics(path, split, key=KEY)
        expected = MeanColour()(pictures[split][:, :, target])
        np.testing.assert_allclose(statistics.features, expected, rtol=1e-6)
        assert frechet_distance(expected, statistics) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    build(tmp_path, "AtoB")
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, [MeanColour()], path)
    return path


def targets_of(pictures: dict[str, np.ndarray], *splits: str) -> np.ndarray:
    return np.concatenate([MeanColour()(pictures[split][:, :, SIZE:]) for split in splits])


def declare(root: Path, **settings: object) -> None:
    """Change what the manifest says that the data set declares."""
    manifest = read_json(root / "manifest.json")
    write_json(root / "manifest.json", manifest | {"dataset": manifest["dataset"] | settings})


def test_a_reference_of_all_targets_holds_those_of_training(tmp_path: Path) -> None:
    pictures = build(tmp_path, "AtoB")
    declare(tmp_path, fid_targets="all")
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, [MeanColour()], path)
    for split, parts in {"train-2": ("train-1", "train-2"), "val": ("train-1", "train-2", "val")}.items():
        expected = targets_of(pictures, *parts)
        np.testing.assert_allclose(load_statistics(path, split, KEY).features, expected, rtol=1e-6)


@pytest.mark.parametrize("fid_targets", ["split", "all"])
def test_real_is_held_against_other_real_pictures(tmp_path: Path, fid_targets: str) -> None:
    pictures = build(tmp_path, "AtoB")
    declare(tmp_path, fid_targets=fid_targets)
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, [MeanColour()], path)
    features, reference = load_real_pair(path, KEY, seed=3)
    if fid_targets == "split":
        sample = sorted(rng.sample(3, "real against real", SPLITS["train-2"], SPLITS["val"]))
        expected = targets_of(pictures, "train-2")[sample], targets_of(pictures, "val")
    else:
        expected = targets_of(pictures, "val"), targets_of(pictures, "train-1", "train-2")
    np.testing.assert_allclose(features, expected[0], rtol=1e-6)
    np.testing.assert_allclose(reference.features, expected[1], rtol=1e-6)


def test_the_targets_of_unpaired_pictures_are_the_other_side(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for folder, count in (("a", 40), ("b", 30)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            picture = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{index}.png")
    a, b = (str(tmp_path / folder) for folder in "ab")
    dataset = FoldersDataset(source="folders", a=a, b=b, size=(SIZE, SIZE), search_count=9, val_fraction=0.3)
    build_dataset("two", dataset, tmp_path / "data", tmp_path)
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path / "data", [MeanColour()], path)
    files = load_manifest(tmp_path / "data").splits_b["train-2"]
    made = np.stack([np.asarray(Image.open(tmp_path / "data" / file)) for file in files])
    assert len(made) == 9
    np.testing.assert_allclose(load_statistics(path, "train-2", KEY).features, MeanColour()(made), rtol=1e-6)


def test_another_precision_is_refused(written: Path) -> None:
    with pytest.raises(GancompError, match=r"mean-colour-32.*mean-colour-bf16.*precision"):
        load_statistics(written, "val", key="mean-colour-bf16")


def test_several_precisions_lie_side_by_side(tmp_path: Path) -> None:
    build(tmp_path, "AtoB")
    path = tmp_path / "statistics.safetensors"
    write_statistics(tmp_path, [MeanColour(), MeanColour("mean-colour-bf16")], path)
    for key in (KEY, "mean-colour-bf16"):
        assert load_statistics(path, "val", key).count == SPLITS["val"]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.safetensors"
    save_tensors(path, {"val": torch.ones(4, 3)}, {"kind": "generator"})
    with pytest.raises(GancompError, match="not reference statistics"):
        load_statistics(path, "val", KEY)


def test_other_pictures_are_refused(written: Path) -> None:
    with pytest.raises(GancompError, match="other pictures"):
        load_statistics(written, "val", KEY, data_hash="0" * 64)


def test_training_pictures_have_no_statistics(written: Path) -> None:
    with pytest.raises(GancompError, match="and not mean-colour-32/train-1"):
        load_statistics(written, "train-1", KEY)


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"statistics\.safetensors: no such file"):
        load_statistics(tmp_path / "statistics.safetensors", "val", KEY)


def test_one_picture_has_no_statistics(tmp_path: Path) -> None:
    build(tmp_path, "AtoB", {"train-1": 1, "train-2": 2, "val": 1})
    with pytest.raises(GancompError, match="split val has fewer than 2"):
        write_statistics(tmp_path, [MeanColour()], tmp_path / "statistics.safetensors")
    assert not (tmp_path / "statistics.safetensors").exists()


def test_equal_content_gives_equal_bytes(written: Path) -> None:
    before = written.read_bytes()
    write_statistics(written.parent, [MeanColour()], written)
    assert written.read_bytes() == before
