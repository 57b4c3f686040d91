"""The pictures on which BatchNorm's statistics are estimated, the same for every network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gancomp import rng
from gancomp.config.experiment import Calibration
from gancomp.data.datasets import Pictures
from gancomp.data.settings import DatasetBase

if TYPE_CHECKING:
    import torch


def calibration_batches(
    root: Path, dataset: DatasetBase, settings: Calibration, seed: int, device: torch.device | str
) -> Callable[[], Iterator[torch.Tensor]]:
    """A function that returns an iterator over the batches: encoded inputs (n, channels, h, w) on *device*.

    They are a random sample of train-1 (by *seed*), without augmentation, in full batches; fewer pictures than a batch
    make one batch.
    """
    pictures = Pictures(root, ("train-1",), dataset.direction)
    count = min(settings.images, len(pictures))
    batch = min(settings.batch, count)
    order = rng.sample(seed, "pictures of the calibration", len(pictures), count)

    def batches() -> Iterator[torch.Tensor]:
        for start in range(0, count - batch + 1, batch):
            yield pictures.encode(pictures.inputs(order[start : start + batch])).to(device)

    return batches
