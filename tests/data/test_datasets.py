"""Batches of prepared pictures and their order."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gancomp.data.build import build
from gancomp.data.datasets import STORED, Pictures, as_channels, batch_indices, to_float, to_rgb, to_uint8
from gancomp.data.images import as_image, read_input
from gancomp.data.manifest import hash_of
from gancomp.data.palette import borders
from gancomp.data.settings import AlignedDataset, FoldersDataset, LabelsDataset
from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json, write_json

ALL = ("train-1", "train-2", "val")


@pytest.fixture
def root(aligned_folder: Path, tmp_path: Path) -> Path:
    dataset = AlignedDataset(source="aligned", path=str(aligned_folder), size=(12, 16))
    build("mine", dataset, tmp_path / "data", tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("cache_bytes", [0, 3000, 1 << 20])
def test_batches_hold_the_halves_asked_for(root: Path, direction: Literal["AtoB", "BtoA"], cache_bytes: int) -> None:
    pictures = Pictures(root, ["train-1", "val"], direction, cache_bytes)
    indices = [3, 0, len(pictures) - 1, 3]
    for _ in range(2):  # the second time from memory, where it fits
        inputs, targets = pictures.batch(indices)
        assert inputs.shape == targets.shape == (4, 12, 16, 3)
        assert inputs.dtype == targets.dtype == np.uint8
        for row, index in enumerate(indices):
            pair = np.asarray(Image.open(root / pictures.names[index]))
            a, b = pair[:, :16], pair[:, 16:]
            expected = (a, b) if direction == "AtoB" else (b, a)
            assert np.array_equal(inputs[row], expected[0])
            assert np.array_equal(targets[row], expected[1])


def test_splits_are_disjoint_and_whole(root: Path) -> None:
    parts = [Pictures(root, [split], "AtoB") for split in ALL]
    whole = Pictures(root, ALL, "AtoB")
    assert [len(part) for part in parts if len(part) == 0] == []
    assert Counter(name for part in parts for name in part.names) == Counter(whole.names)
    assert len(set(whole.names)) == len(whole) == 43
    assert whole.data_hash == parts[0].data_hash


def test_pictures_in_memory_are_not_read_again(root: Path) -> None:
    cached, uncached = Pictures(root, ALL, "AtoB"), Pictures(root, ALL, "AtoB", cache_bytes=0)
    before = cached.batch([0])
    uncached.batch([0])
    (root / cached.names[0]).unlink()
    assert np.array_equal(cached.batch([0])[0], before[0])
    with pytest.raises(GancompError, match="no such picture"):
        uncached.batch([0])


def test_a_batch_may_be_changed_without_harm(root: Path) -> None:
    pictures = Pictures(root, ALL, "AtoB")
    first = pictures.batch([0, 1])[0]
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(pictures.batch([0, 1])[0], kept)


def test_a_missing_picture_is_an_error_at_once(root: Path) -> None:
    (root / "train" / "7.png").unlink()
    with pytest.raises(GancompError, match=r"train/7\.png: missing"):
        Pictures(root, ALL, "AtoB")


def test_a_damaged_picture_is_named(root: Path) -> None:
    pictures = Pictures(root, ALL, "AtoB")
    index = pictures.names.index("train/7.png")
    Image.new("RGB", (30, 12)).save(root / "train" / "7.png")
    with pytest.raises(GancompError, match=r"train/7\.png: is 12x30 \(height x width\)"):
        pictures.batch([index])
    (root / "train" / "7.png").write_bytes(b"broken")
    with pytest.raises(GancompError, match=r"train/7\.png: not a picture"):
        pictures.batch([index])


def test_reading_pictures_imports_no_torch() -> None:
    code = (
        "import sys, gancomp.data.datasets, gancomp.data.build, gancomp.data.augment; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- unpaired pictures -------------------------------------------------------------------------


@pytest.fixture
def unpaired_root(domains: tuple[Path, Path], tmp_path: Path) -> Path:
    a, b = map(str, domains)
    dataset = FoldersDataset(source="folders", a=a, b=b, size=(12, 16), search_fraction=0.3)
    build("two", dataset, tmp_path / "data", tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_unpaired_sides_have_their_own_counts(unpaired_root: Path, direction: Literal["AtoB", "BtoA"]) -> None:
    pictures = Pictures(unpaired_root, ALL, direction)
    assert (pictures.kind, pictures.paired) == ("unpaired", False)
    assert {len(pictures), pictures.target_count} == {30, 20}
    assert len(pictures) == (30 if direction == "AtoB" else 20)
    assert pictures.per_epoch == 30
    dark, bright = (pictures.inputs, pictures.targets) if direction == "AtoB" else (pictures.targets, pictures.inputs)
    assert dark(range(30)).max() < 105
    assert bright(range(20)).min() >= 150
    assert np.array_equal(pictures.inputs([5])[0], np.asarray(Image.open(unpaired_root / pictures.names[5])))
    with pytest.raises(ValueError, match="unpaired"):
        pictures.batch([0])


def test_both_sides_of_an_unpaired_split_lie_in_it_alone(unpaired_root: Path) -> None:
    counts = [(len(part), part.target_count) for part in (Pictures(unpaired_root, [split], "AtoB") for split in ALL)]
    assert np.sum(counts, axis=0).tolist() == [30, 20]
    assert np.min(counts) > 0


def test_unpaired_training_batches_go_by_two_orders(unpaired_root: Path) -> None:
    pictures = Pictures(unpaired_root, ALL, "AtoB")
    inputs, targets = zip(*(pictures.training_batch(step, 2, seed=3) for step in range(30)), strict=True)
    assert len(np.unique(np.concatenate(inputs[:15]), axis=0)) == 30  # an epoch of the inputs
    assert len(np.unique(np.concatenate(targets[:10]), axis=0)) == 20  # an epoch of the targets
    assert len(np.unique(np.concatenate(targets[10:20]), axis=0)) == 20
    expected = pictures.inputs(batch_indices(7, 30, 2, 3))
    assert np.array_equal(inputs[7], expected)
    resumed = Pictures(unpaired_root, ALL, "AtoB", cache_bytes=0).training_batch(7, 2, seed=3)
    assert np.array_equal(resumed[0], inputs[7])
    assert np.array_equal(resumed[1], targets[7])


def test_the_orders_of_both_sides_are_independent(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:  # of equal numbers of pictures, and equal pictures
        folder.mkdir()
        for index in range(40):
            picture = np.full((8, 8, 3), index, np.uint8)
            picture[0, 0] = 255
            Image.fromarray(picture).save(folder / f"{index}.png")
    dataset = FoldersDataset(source="folders", a=str(folders[0]), b=str(folders[1]), size=(8, 8))
    build("twins", dataset, tmp_path / "data", tmp_path)
    pictures = Pictures(tmp_path / "data", ALL, "AtoB")
    steps = [pictures.training_batch(step, 1, seed=0) for step in range(40)]
    assert sum(np.array_equal(*pair) for pair in steps) < 10


def test_validation_may_be_paired_where_training_is_not(unpaired_root: Path) -> None:
    path = unpaired_root / "manifest.json"
    manifest = read_json(path)
    for file in manifest["splits"]["val"] + manifest["splits_b"].pop("val"):
        pair = np.asarray(Image.open(unpaired_root / file))
        Image.fromarray(np.concatenate([pair, 255 - pair], axis=1)).save(unpaired_root / file)
    manifest["splits"]["val"] = [file for file in manifest["sha256"] if file.startswith("val/")]
    write_json(path, manifest)
    val = Pictures(unpaired_root, ["val"], "AtoB")
    assert val.paired
    inputs, targets = val.batch(range(len(val)))
    assert np.array_equal(targets, 255 - inputs)
    both = Pictures(unpaired_root, ["train-1", "val"], "BtoA")
    assert not both.paired
    assert both.target_count == len(manifest["splits"]["train-1"]) + len(val)
    assert np.array_equal(both.targets([both.target_count - 1]), inputs[-1:])


def test_paired_training_batches_are_the_pairs_of_the_order(root: Path) -> None:
    pictures = Pictures(root, ALL, "AtoB")
    for step in (0, 3, 50):
        expected = pictures.batch(batch_indices(step, len(pictures), 4, 7))
        assert np.array_equal(pictures.training_batch(step, 4, 7), expected)
    assert pictures.per_epoch == pictures.target_count == len(pictures)


# --- label maps --------------------------------------------------------------------------------


@pytest.fixture
def labels_root(labelled: Path, tmp_path: Path) -> Path:
    dataset = LabelsDataset(
        source="labels",
        images=str(labelled / "photos"),
        labels=str(labelled / "maps"),
        names=("sky", "sea", "land"),
        size=(12, 16),
    )
    build("labels", dataset, tmp_path / "data", tmp_path)
    return tmp_path / "data"


def test_label_maps_are_encoded_as_classes_and_edges(labels_root: Path, labelled: Path) -> None:
    pictures = Pictures(labels_root, ALL, "AtoB")
    assert pictures.kind == "labels"
    assert pictures.paired
    inputs = pictures.inputs(range(30))
    planes = pictures.encode(inputs)
    assert planes.shape == (30, 5, 12, 16)
    assert planes.dtype == torch.float32
    for name, ids, plane, scored in zip(
        pictures.names, pictures.labels(inputs), planes.numpy(), pictures.scored_labels(range(30)), strict=True
    ):
        original = np.asarray(Image.open(labelled / "maps" / Path(name).name))
        expected = np.where(original == 255, 3, original)
        assert np.array_equal(ids, expected)
        assert np.array_equal(plane[:4], np.arange(4)[:, None, None] == expected)
        assert np.array_equal(plane[4], borders(expected))
        assert np.array_equal(scored, original)


def test_photos_are_encoded_as_floats(root: Path) -> None:
    pictures = Pictures(root, ALL, "AtoB")
    inputs = pictures.inputs([0, 1])
    assert torch.equal(pictures.encode(inputs), to_float(inputs))
    with pytest.raises(ValueError, match="0 classes"):
        pictures.labels(inputs)


def test_a_colour_of_no_class_is_refused_by_name(labels_root: Path) -> None:
    pictures = Pictures(labels_root, ALL, "AtoB")
    path = labels_root / pictures.names[4]
    pair = np.array(Image.open(path))
    pair[5, 15] = (1, 2, 3)
    Image.fromarray(pair).save(path)
    with pytest.raises(GancompError, match=rf"{path.name}: the colour \(1, 2, 3\) belongs to no class"):
        pictures.batch([4])


def test_truth_of_a_larger_size_takes_precedence(root: Path) -> None:
    path = root / "manifest.json"
    manifest = read_json(path)
    file = manifest["splits"]["val"][1]
    manifest["truth"] = {f"truth/{Path(file).name}": "0"}
    manifest["data_hash"] = hash_of(manifest["sha256"] | manifest["truth"])
    write_json(path, manifest)
    truth = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)
    (root / "truth").mkdir()
    Image.fromarray(truth).save(root / "truth" / Path(file).name)
    val = Pictures(root, ["val"], "AtoB")
    assert np.array_equal(val.scored_labels([1]), truth[None])


# --- channels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "target_channels"), [(1, 3), (2, 3), (3, 3), (4, 3), (1, 1), (3, 1), (3, 2), (1, 4), (2, 4), (4, 2)]
)
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_pictures_have_the_channels_declared(
    tmp_path: Path, direction: Literal["AtoB", "BtoA"], channels: int, target_channels: int
) -> None:
    pairs = np.random.default_rng(0).integers(0, 256, (30, 6, 16, 4), dtype=np.uint8)
    for kind, chosen in (("train", pairs[:25]), ("val", pairs[25:])):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for index, pair in enumerate(chosen):
            Image.fromarray(pair).save(tmp_path / "mine" / kind / f"{index}.png")
    dataset = AlignedDataset(
        source="aligned",
        path=str(tmp_path / "mine"),
        size=(6, 8),
        channels=channels,
        target_channels=target_channels,
        direction=direction,
    )
    build("mine", dataset, tmp_path / "data", tmp_path)
    pictures = Pictures(tmp_path / "data", ["val"], direction)
    inputs, targets = pictures.batch(range(5))
    assert inputs.shape == (5, 6, 8, channels)
    assert targets.shape == (5, 6, 8, target_channels)
    assert np.array_equal(inputs, pictures.inputs(range(5)))
    assert np.array_equal(targets, pictures.targets(range(5)))
    assert pictures.encode(inputs).shape == (5, channels, 6, 8)
    half = pairs[25:, :, :8] if direction == "AtoB" else pairs[25:, :, 8:]
    if channels in (2, 4):
        assert np.array_equal(inputs[..., -1], half[..., 3])
    if channels == 4:
        assert np.array_equal(inputs, half)
    other = pairs[25:, :, 8:] if direction == "AtoB" else pairs[25:, :, :8]
    as_read = read_input(tmp_path / "mine" / "val" / "0.png", target_channels)
    as_read = as_read[:, 8:] if direction == "AtoB" else as_read[:, :8]
    assert np.array_equal(targets[0], as_read[..., STORED[target_channels]])
    if target_channels in (2, 4):
        assert np.array_equal(targets[..., -1], other[..., 3])
    shown = to_rgb(inputs)
    assert shown.shape == (5, 6, 8, 3)
    seen = Image.fromarray(half[0])
    white = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB" if channels > 2 else "L")
    expected = np.asarray(white.convert("RGB")).astype(int)
    assert np.abs(shown[0] - expected).max() <= 2  # alpha and gray do not quite change places in 8 bits


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_channels_are_shown_as_others(seed: int, own: int, wanted: int) -> None:
    pictures = np.random.default_rng(seed).integers(0, 256, (2, 3, 4, own), dtype=np.uint8)
    shown = as_channels(pictures, wanted)
    assert shown.shape == (2, 3, 4, wanted)
    if own == wanted:
        assert np.array_equal(shown, pictures)
    if wanted in (2, 4):
        assert np.array_equal(shown[..., -1], pictures[..., -1] if own in (2, 4) else np.full((2, 3, 4), 255))
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    for one, expected in zip(pictures, shown, strict=True):
        image = as_image(one)
        assert image.mode == mode[own]
        if own in (2, 4) and wanted not in (2, 4):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        seen = np.asarray(image.convert(mode[wanted]), int).reshape(expected.shape)
        assert np.abs(seen - expected).max() <= 2


# --- order -------------------------------------------------------------------------------------

counts, batches, seeds = st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**31 - 1)


@settings(deadline=None)
@given(counts, batches, seeds, st.integers(0, 5))
def test_an_epoch_shows_every_picture_at_most_once(count: int, batch: int, seed: int, epoch: int) -> None:
    steps = max(1, count // batch)
    shown = Counter(
        index for step in range(steps) for index in batch_indices(epoch * steps + step, count, batch, seed).tolist()
    )
    assert sum(shown.values()) == steps * batch
    assert set(shown) <= set(range(count))
    if batch <= count:
        assert max(shown.values()) == 1
    else:  # round and round, so evenly
        assert len(shown) == count
        assert max(shown.values()) - min(shown.values()) <= 1


@settings(deadline=None)
@given(counts, batches, seeds, st.integers(0, 40), st.integers(1, 10))
def test_resuming_at_any_step_continues_the_same_order(count: int, batch: int, seed: int, step: int, more: int) -> None:
    whole = [batch_indices(s, count, batch, seed).tolist() for s in range(step + more)]
    resumed = [batch_indices(s, count, batch, seed).tolist() for s in range(step, step + more)]
    assert whole[step:] == resumed


def test_epochs_and_seeds_differ() -> None:
    first = batch_indices(0, 1000, 1000, 0)
    assert not np.array_equal(first, batch_indices(1, 1000, 1000, 0))
    assert not np.array_equal(first, batch_indices(0, 1000, 1000, 1))
    assert not np.array_equal(first, np.arange(1000))


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 4 out of 0"):
        batch_indices(0, 0, 4, 0)


# --- tensors -----------------------------------------------------------------------------------


def test_conversions_are_inverse_for_every_value() -> None:
    pictures = np.arange(256 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 8, 16, 3)
    tensor = to_float(pictures)
    assert tensor.shape == (2, 3, 8, 16)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert (tensor.min().item(), tensor.max().item()) == (-1.0, 1.0)
    assert np.array_equal(to_uint8(tensor), pictures)


def test_rounding_is_to_the_nearest_and_cuts() -> None:
    values = torch.tensor([-3.0, -1.0, 100.4 / 127.5 - 1, 100.6 / 127.5 - 1, 1.0, 3.0]).reshape(1, 1, 1, 6)
    before = values.clone()
    assert to_uint8(values).ravel().tolist() == [0, 0, 100, 101, 255, 255]
    assert torch.equal(values, before)


def test_half_precision_outputs_are_accepted() -> None:
    assert to_uint8(torch.ones(1, 3, 2, 2, dtype=torch.bfloat16, requires_grad=True)).max() == 255
