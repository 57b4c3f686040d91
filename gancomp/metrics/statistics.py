"""A data set's reference features, which every FID and KID of its pictures is measured against."""

from __future__ import annotations

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


def write_statistics(dataset_root: Path, inception: Extractor, path: Path) -> None:
    """Features of the target side of every picture of `train-2` and `val`, with the key of how they were made.

    The features themselves are kept, since the kernel distance needs them and mean and covariance follow.
    Raises GancompError when the data set is missing or damaged.
    """
    import torch

    manifest = load_manifest(dataset_root)
    for split in SPLITS:
        if len(manifest.splits[split]) < 2:
            raise GancompError(f"{dataset_root}: split {split} has fewer than 2 pictures; a covariance needs 2")
    direction = manifest.dataset["direction"]
    tensors: dict[str, torch.Tensor] = {}
    with Progress("statistics", sum(len(manifest.splits[split]) for split in SPLITS), unit="images") as progress:
        for split in SPLITS:
            pictures = PairedPictures(dataset_root, (split,), direction, cache_bytes=0)
            features = []
            for start in range(0, len(pictures), CHUNK):
                indices = range(start, min(start + CHUNK, len(pictures)))
                features.append(inception(pictures.batch(indices)[1]))
                progress.advance(len(indices))
            tensors[split] = torch.from_numpy(np.concatenate(features))
    save_tensors(path, tensors, {"kind": KIND, "key": inception.key, "data_hash": manifest.data_hash})


def load_statistics(path: Path, split: Split, key: str | None = None, data_hash: str | None = None) -> Statistics:
    """The statistics of *split*, refused unless made with Inception's *key* and of the data of *data_hash* (if given).

    Raises GancompError on a missing, damaged or mismatching file.
    """
    tensors, header = load_tensors(path)
    if header.get("kind") != KIND or split not in tensors:
        raise GancompError(f"{path}: holds no reference statistics of {split}; delete it and run its stage again")
    if key is not None and header.get("key") != key:
        raise GancompError(
            f"{path}: its features were made by Inception {header.get('key')}, these scores use {key}; scores of "
            "different precisions or runtimes do not compare: use the same precision, or make the statistics anew"
        )
    if data_hash is not None and header.get("data_hash") != data_hash:
        raise GancompError(f"{path}: belongs to other pictures (its data hash differs); make the statistics anew")
    return Statistics.from_features(tensors[split].numpy())
