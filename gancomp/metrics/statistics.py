"""A data set's reference features, which every FID and KID of its pictures is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gancomp.artifacts import load_tensors, save_tensors
from gancomp.config import Split
from gancomp.data.datasets import PairedPictures
from gancomp.data.manifest import load_manifest
from gancomp.errors import GancompError
from gancomp.metrics.frechet import Statistics
from gancomp.progress import Progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

KIND = "reference-statistics"
#: train-1 trains; the search is scored on train-2, results on val.
SPLITS: tuple[Split, ...] = ("train-2", "val")
#: Pictures decoded at a time.
CHUNK = 64


class Extractor(Protocol):
    """What turns pictures (n, h, w, 3) uint8 into features (n, d) and names how in its key: `Inception`."""

    key: str

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def write_statistics(dataset_root: Path, inceptions: Sequence[Extractor], path: Path) -> None:
    """Features of the target side of every picture of `train-2` and `val`, by each of *inceptions*, under its key.

    The features themselves are kept, since the kernel distance needs them and mean and covariance follow.
    Raises GancompError when the data set is missing or damaged.
    """
    import torch

    manifest = load_manifest(dataset_root)
    for split in SPLITS:
        if len(manifest.splits[split]) < 2:
            raise GancompError(f"{dataset_root}: split {split} has fewer than 2 pictures; a covariance needs 2")
    direction = manifest.dataset["direction"]
    total = len(inceptions) * sum(len(manifest.splits[split]) for split in SPLITS)
    tensors: dict[str, torch.Tensor] = {}
    with Progress("statistics", total, unit="images") as progress:
        for split in SPLITS:
            pictures = PairedPictures(dataset_root, (split,), direction, cache_bytes=0)
            features: dict[str, list[NDArray[np.float32]]] = {inception.key: [] for inception in inceptions}
            for start in range(0, len(pictures), CHUNK):
                indices = range(start, min(start + CHUNK, len(pictures)))
                targets = pictures.batch(indices)[1]
                for inception in inceptions:
                    features[inception.key].append(inception(targets))
                    progress.advance(len(indices))
            tensors |= {f"{key}/{split}": torch.from_numpy(np.concatenate(parts)) for key, parts in features.items()}
    save_tensors(path, tensors, {"kind": KIND, "data_hash": manifest.data_hash})


def load_statistics(path: Path, split: Split, key: str, data_hash: str | None = None) -> Statistics:
    """The statistics of *split* made with Inception's *key*, refused unless of the data of *data_hash* (if given).

    Raises GancompError on a missing, damaged or mismatching file.
    """
    tensors, header = load_tensors(path)
    if header.get("kind") != KIND:
        raise GancompError(f"{path}: not reference statistics; delete it and run its stage again")
    if f"{key}/{split}" not in tensors:
        raise GancompError(
            f"{path}: holds {', '.join(tensors)}, and not {key}/{split}; scores of different precisions or runtimes do "
            "not compare: delete the file and make the statistics anew"
        )
    if data_hash is not None and header.get("data_hash") != data_hash:
        raise GancompError(f"{path}: belongs to other pictures (its data hash differs); make the statistics anew")
    return Statistics.from_features(tensors[f"{key}/{split}"].numpy())
