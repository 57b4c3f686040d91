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

from gancomp.config import AlignedDataset
from gancomp.data.build import build
from gancomp.data.datasets import PairedPictures, batch_indices, to_float, to_uint8
from gancomp.errors import GancompError

ALL = ("train-1", "train-2", "val")


@pytest.fixture
def root(aligned_folder: Path, tmp_path: Path) -> Path:
    dataset = AlignedDataset(source="aligned", path=str(aligned_folder), size=(12, 16))
    build("mine", dataset, tmp_path / "data", tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("cache_bytes", [0, 3000, 1 << 20])
def test_batches_hold_the_halves_asked_for(root: Path, direction: Literal["AtoB", "BtoA"], cache_bytes: int) -> None:
    pictures = PairedPictures(root, ["train-1", "val"], direction, cache_bytes)
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
    parts = [PairedPictures(root, [split], "AtoB") for split in ALL]
    whole = PairedPictures(root, ALL, "AtoB")
    assert [len(part) for part in parts if len(part) == 0] == []
    assert Counter(name for part in parts for name in part.names) == Counter(whole.names)
    assert len(set(whole.names)) == len(whole) == 43
    assert whole.data_hash == parts[0].data_hash


def test_pictures_in_memory_are_not_read_again(root: Path) -> None:
    cached, uncached = PairedPictures(root, ALL, "AtoB"), PairedPictures(root, ALL, "AtoB", cache_bytes=0)
    before = cached.batch([0])
    uncached.batch([0])
    (root / cached.names[0]).unlink()
    assert np.array_equal(cached.batch([0])[0], before[0])
    with pytest.raises(GancompError, match="no such picture"):
        uncached.batch([0])


def test_a_batch_may_be_changed_without_harm(root: Path) -> None:
    pictures = PairedPictures(root, ALL, "AtoB")
    first = pictures.batch([0, 1])[0]
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(pictures.batch([0, 1])[0], kept)


def test_a_missing_picture_is_an_error_at_once(root: Path) -> None:
    (root / "train" / "7.png").unlink()
    with pytest.raises(GancompError, match=r"train/7\.png: missing"):
        PairedPictures(root, ALL, "AtoB")


def test_a_damaged_picture_is_named(root: Path) -> None:
    pictures = PairedPictures(root, ALL, "AtoB")
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
