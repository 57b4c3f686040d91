"""The batches that BatchNorm's statistics come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from untrained import prepare

from gancomp import rng
from gancomp.config.experiment import Calibration
from gancomp.data.calibration import calibration_batches


@pytest.mark.parametrize(
    ("images", "batch", "expected"),
    [(8, 4, [4, 4]), (10, 4, [4, 4]), (3, 4, [3]), (999, 5, [5, 5, 5]), (999, 400, [18])],
)
def test_train_1_by_lot_in_whole_batches(
    images: int, batch: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare("batch", tmp_path, monkeypatch)
    dataset = made.config().datasets["gray"]
    batches = calibration_batches(made.root, dataset, Calibration(images=images, batch=batch), 0, "cpu")
    first, second = list(batches()), list(batches())
    assert [len(part) for part in first] == expected
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "anew each time"
    pictures = made.pictures("train-1")
    assert len(pictures) == 18
    order = rng.sample(0, "pictures of the calibration", 18, sum(expected))
    assert torch.equal(torch.cat(first), pictures.encode(pictures.inputs(order)))
    assert sorted(order) != list(range(len(order))) or len(order) == 18, "not the first by name"
    other = calibration_batches(made.root, dataset, Calibration(images=images, batch=batch), 1, "cpu")
    assert not torch.equal(torch.cat(list(other())), torch.cat(first)), "another seed, another lot"
