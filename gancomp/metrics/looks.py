"""The metrics with given weights, in the form in which the scorer takes them beside FID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gancomp.metrics.dists import Dists
from gancomp.metrics.embedding import Embedding
from gancomp.metrics.given import OF_FEATURES, Given
from gancomp.metrics.inception import Inception
from gancomp.metrics.scoring import FRECHET, GAUSSIAN, Compare, Look
from gancomp.metrics.statistics import load_statistics
from gancomp.pipeline.paths import INCEPTION

if TYPE_CHECKING:
    import torch

    from gancomp.config.values import Precision
    from gancomp.data.settings import Split
    from gancomp.train.device import Device

#: How features of each metric are compared with those of real pictures.
DISTANCES = {"fd_dinov2": FRECHET, "cmmd": GAUSSIAN}


def given_looks(
    weights: Iterable[Given], statistics: Path, split: Split, data_hash: str, device: torch.device
) -> dict[str, Look]:
    """The feature networks of *weights*, by metric, with the real pictures of *split* from *statistics*.

    Raises GancompError if weights do not fit their network, or the file was made without them.
    """
    looks = {}
    for given in weights:
        if given.metric in OF_FEATURES:
            embedding = Embedding(given, device)
            reference = load_statistics(statistics, split, embedding.key, data_hash)
            looks[given.metric] = Look(embedding, reference, DISTANCES[given.metric])
    return looks


def clean_look(statistics: Path, split: Split, data_hash: str, precision: Precision, device: Device) -> Look:
    """Inception with clean-fid's resizing. Raises GancompError if the file *statistics* was made without it."""
    clean = Inception(INCEPTION, precision=precision, device=device, resizing="clean")
    return Look(clean, load_statistics(statistics, split, clean.key, data_hash))


def given_comparisons(weights: Iterable[Given], device: torch.device) -> dict[str, Compare]:
    """The networks of *weights* that compare pictures with targets, by metric. Raises GancompError as `given_looks`."""
    return {given.metric: Dists(given, device) for given in weights if given.metric == "dists"}
