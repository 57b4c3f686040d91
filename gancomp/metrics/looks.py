"""What sees and compares pictures by weights that the configuration gives, as it stands beside FID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gancomp.metrics.dists import Dists
from gancomp.metrics.embedding import Embedding
from gancomp.metrics.given import OF_FEATURES, Given
from gancomp.metrics.scoring import FRECHET, GAUSSIAN, Compare, Look
from gancomp.metrics.statistics import load_statistics

if TYPE_CHECKING:
    import torch

    from gancomp.data.settings import Split

#: How features of each metric are compared with those of real pictures.
DISTANCES = {"fd_dinov2": FRECHET, "cmmd": GAUSSIAN}


def given_looks(
    weights: Iterable[Given], statistics: Path, split: Split, data_hash: str, device: torch.device
) -> dict[str, Look]:
    """By metric what sees pictures by *weights*, and the real ones of *split* in the file *statistics*.

    Raises GancompError where weights are not those of their network, or the file was made without them.
    """
    looks = {}
    for given in weights:
        if given.metric in OF_FEATURES:
            embedding = Embedding(given, device)
            reference = load_statistics(statistics, split, embedding.key, data_hash)
            looks[given.metric] = Look(embedding, reference, DISTANCES[given.metric])
    return looks


def given_comparisons(weights: Iterable[Given], device: torch.device) -> dict[str, Compare]:
    """By metric what compares pictures with their truth by *weights*; GancompError as `given_looks`."""
    return {given.metric: Dists(given, device) for given in weights if given.metric == "dists"}
