"""The pictures over which BatchNorm's statistics are estimated, the same wherever that happens."""

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
    """What gives the batches anew each time that it is called: encoded inputs (n, channels, h, w) on *device*.

    Of train-1, by lot and in an order by lot (*seed*), as they are, in whole batches; fewer pictures than one batch are
    one batch.
    """
    pictures = Pictures(root, ("train-1",), dataset.direction)
    count = min(settings.images, len(pictures))
    batch = min(settings.batch, count)
    order = rng.sample(seed, "pictures of the calibration", len(pictures), count)

    def batches() -> Iterator[torch.Tensor]:
        for start in range(0, count - batch + 1, batch):
            yield pictures.encode(pictures.inputs(order[start : start + batch])).to(device)

    return batches
