"""A data set's reference features, which every FID and KID of its pictures is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gancomp import rng
from gancomp.data.datasets import Pictures, to_rgb
from gancomp.data.manifest import Manifest, load_manifest
from gancomp.data.settings import Split
from gancomp.errors import GancompError
from gancomp.metrics.frechet import Statistics
from gancomp.pipeline.checkpoints import load_tensors, save_tensors
from gancomp.pipeline.progress import Progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

KIND = "reference-statistics"
#: train-1 trains; the search is scored on train-2, results on val.
SPLITS: tuple[Split, ...] = ("train-2", "val")
#: What `fid_targets: all` compares with instead: a larger real set lowers the bias of few pictures.
ALL: dict[Split, tuple[Split, ...]] = {"train-2": ("train-1", "train-2"), "val": ("train-1", "train-2", "val")}
#: Pictures decoded at a time.
CHUNK = 64


class Extractor(Protocol):
    """What turns pictures (n, h, w, 3) uint8 into features (n, d) and names how in its key: `Inception`."""

    key: str

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def write_statistics(dataset_root: Path, inceptions: Sequence[Extractor], path: Path) -> None:
    """Features of the targets of `train-2` and `val`, by each of *inceptions*, under its key.

    With `fid_targets: all` also those of `train-1`, which belong to both references. The features themselves are kept,
    since the kernel distance needs them and mean and covariance follow.
    Raises GancompError when the data set is missing or damaged.
    """
    import torch

    manifest = load_manifest(dataset_root)
    targets_of = "all" if manifest.dataset.get("fid_targets") == "all" else "split"
    splits: tuple[Split, ...] = ALL["val"] if targets_of == "all" else SPLITS
    parts = {split: _targets(dataset_root, manifest, split) for split in splits}
    total = len(inceptions) * sum(pictures.target_count for pictures in parts.values())
    tensors: dict[str, torch.Tensor] = {}
    with Progress("statistics", total, unit="images") as progress:
        for split, pictures in parts.items():
            features: dict[str, list[NDArray[np.float32]]] = {inception.key: [] for inception in inceptions}
            for start in range(0, pictures.target_count, CHUNK):
                targets = pictures.targets(range(start, min(start + CHUNK, pictures.target_count)))
                for inception in inceptions:
                    features[inception.key].append(inception(to_rgb(targets)))
                    progress.advance(len(targets))
            tensors |= {f"{key}/{split}": torch.from_numpy(np.concatenate(made)) for key, made in features.items()}
    save_tensors(path, tensors, {"kind": KIND, "data_hash": manifest.data_hash, "fid_targets": targets_of})


def load_statistics(path: Path, split: Split, key: str, data_hash: str | None = None) -> Statistics:
    """What pictures of *split*, train-2 or val, are held against, as made with Inception's *key*.

    These are the split's own targets, or with `fid_targets: all` the training targets too. Refused unless of the data
    of *data_hash* (if given): raises GancompError on a missing, damaged or mismatching file.
    """
    return _Features(path, key, data_hash).reference(split)


def load_real_pair(
    path: Path, key: str, data_hash: str | None = None, seed: int = 0
) -> tuple[NDArray[np.float32], Statistics]:
    """Features (n, d) of real pictures and the reference to hold them against, for the row *real against real*.

    No picture is on both sides. The targets of train-2, by lot no more than there are of val, against those of val;
    with `fid_targets: all`, the targets of val against all training targets. Raises GancompError as `load_statistics`.
    """
    features = _Features(path, key, data_hash)
    val = features.of("val")
    if features.targets_of == "all":
        return val, features.reference("train-2")
    real = features.of("train-2")
    return real[sorted(rng.sample(seed, "real against real", len(real), len(val)))], features.reference("val")


def load_real_pair_of_search(path: Path, key: str, count: int, seed: int = 0) -> tuple[NDArray[np.float32], Statistics]:
    """As `load_real_pair`, for the search: *count* targets of val, by lot, against what its scores are held against."""
    features = _Features(path, key, None)
    val = features.of("val")
    return val[sorted(rng.sample(seed, "real in the search", len(val), count))], features.reference("train-2")


class _Features:
    """The features in a file of statistics that were made with one key."""

    def __init__(self, path: Path, key: str, data_hash: str | None) -> None:
        self._path, self._key = path, key
        self._tensors, header = load_tensors(path)
        if header.get("kind") != KIND:
            raise GancompError(f"{path}: not reference statistics; delete it and run its stage again")
        if data_hash is not None and header.get("data_hash") != data_hash:
            raise GancompError(f"{path}: belongs to other pictures (its data hash differs); make the statistics anew")
        self.targets_of = header.get("fid_targets")

    def of(self, split: Split) -> NDArray[np.float32]:
        """Features (n, d) of the targets of *split* alone."""
        name = f"{self._key}/{split}"
        if name not in self._tensors:
            raise GancompError(
                f"{self._path}: holds {', '.join(self._tensors)}, and not {name}; scores of different precisions or "
                "runtimes do not compare: delete the file and make the statistics anew"
            )
        features: NDArray[np.float32] = self._tensors[name].numpy()
        return features

    def reference(self, split: Split) -> Statistics:
        splits = ALL[split] if self.targets_of == "all" and split in ALL else (split,)
        return Statistics.from_features(np.concatenate([self.of(part) for part in splits]))


def _targets(root: Path, manifest: Manifest, split: Split) -> Pictures:
    """The pictures of *split*; GancompError unless there are targets enough for a covariance."""
    pictures = Pictures(root, (split,), manifest.dataset["direction"], cache_bytes=0)
    if pictures.target_count < 2:
        raise GancompError(f"{root}: split {split} has fewer than 2 pictures; a covariance needs 2")
    return pictures
