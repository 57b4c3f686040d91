"""Re-estimate BatchNorm's running statistics, because those of once-for-all training fit no single subnet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gancomp import ranks


def _batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def has_batch_statistics(module: nn.Module) -> bool:
    """Whether the outputs of *module* depend on running statistics of BatchNorm."""
    return bool(_batch_norms(module))


@contextmanager
def estimating(module: nn.Module) -> Iterator[None]:
    """Within the block every batch is normalised by its own statistics, which are averaged into new running ones.

    The averages are cumulative: each batch has the same weight, in any order. In place; the mode of every layer is
    restored.
    """
    layers = _batch_norms(module)
    before = [(layer.training, layer.momentum) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        layer.momentum = None  # torch's name for the cumulative average
    try:
        with ranks.apart():  # all see the same pictures
            yield
    finally:
        for layer, (training, momentum) in zip(layers, before, strict=True):
            layer.train(training)
            layer.momentum = momentum


@torch.no_grad()
def calibrate(generator: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of every BatchNorm by the averages over *batches* (n, in, h, w), in place.

    They are the means of the batches' means and unbiased variances. Raises ValueError if there is no batch.
    """
    if not has_batch_statistics(generator):
        return
    seen = 0
    with estimating(generator):
        for batch in batches:
            generator(batch)
            seen += 1
    if not seen:
        raise ValueError("no batch to estimate BatchNorm's statistics from")
