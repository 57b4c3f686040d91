"""Prepared pictures as training reads them: batches of inputs and targets, and the order of the batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gancomp.config import Split
from gancomp.data.images import read_rgb
from gancomp.data.manifest import load_manifest
from gancomp.data.plan import Picture
from gancomp.errors import GancompError

if TYPE_CHECKING:
    import torch

#: Keeps the permutations apart from other draws of the same seed.
_ORDER_STREAM = 0x6F72646572


class PairedPictures:
    """The pairs of some splits of the data set in *root*, decoded when first asked for.

    *direction* says which half is the input. Decoded pictures stay in memory until they take *cache_bytes*.
    Raises GancompError, at once, when the manifest is missing or damaged or a picture is missing.
    """

    def __init__(
        self,
        root: Path,
        splits: Sequence[Split],
        direction: Literal["AtoB", "BtoA"],
        cache_bytes: int = 2 << 30,
    ) -> None:
        manifest = load_manifest(root)
        self.size = manifest.size
        self.data_hash = manifest.data_hash
        self.names = [file for split in splits for file in manifest.splits[split]]
        self._root = root
        self._a_is_input = direction == "AtoB"
        self._cache: dict[int, Picture] = {}
        self._cache_room = cache_bytes
        self._pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="pictures")
        for name in self.names:
            if not (root / name).is_file():
                raise GancompError(f"{root / name}: missing; delete {root} and build the data set again")

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: Sequence[int] | NDArray[np.integer]) -> tuple[Picture, Picture]:
        """Inputs and targets of the pictures at *indices* of `names`: uint8 (n, height, width, 3) each.

        Raises GancompError naming a picture that does not decode or has not the manifest's size.
        """
        wanted = [int(index) for index in indices]
        missing = [index for index in dict.fromkeys(wanted) if index not in self._cache]
        decoded = dict(zip(missing, self._pool.map(self._read, missing), strict=True))
        for index, pair in decoded.items():
            if pair.nbytes <= self._cache_room:
                self._cache[index] = pair
                self._cache_room -= pair.nbytes
        pairs = np.stack([decoded[index] if index in decoded else self._cache[index] for index in wanted])
        width = self.size[1]
        a, b = pairs[:, :, :width], pairs[:, :, width:]
        return (a, b) if self._a_is_input else (b, a)

    def _read(self, index: int) -> Picture:
        path = self._root / self.names[index]
        pair = read_rgb(path)
        height, width = self.size
        if pair.shape != (height, 2 * width, 3):
            raise GancompError(
                f"{path}: is {pair.shape[0]}x{pair.shape[1]} (height x width), but the manifest says two halves of "
                f"{height}x{width}; delete {self._root} and build the data set again"
            )
        return pair


def batch_indices(step: int, count: int, batch: int, seed: int) -> NDArray[np.int64]:
    """The pictures of training step *step* (from 0): *batch* indices below *count*, a function of the arguments alone.

    An epoch is count // batch steps over one permutation drawn from (seed, epoch); the rest of it is left out. With
    fewer pictures than a batch, an epoch is one step that goes round its permutation.
    """
    if count < 1 or batch < 1:
        raise ValueError(f"a batch of {batch} out of {count} pictures")
    epoch, position = divmod(step, max(1, count // batch))
    order = np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(count)
    return np.resize(order[position * batch : (position + 1) * batch], batch)


def to_float(pictures: Picture) -> torch.Tensor:
    """uint8 (n, height, width, 3) → float32 (n, 3, height, width) in [-1, 1]."""
    import torch

    channels_first = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    return channels_first.float().div_(127.5).sub_(1.0)


def to_uint8(tensor: torch.Tensor) -> Picture:
    """float (n, 3, height, width) in [-1, 1] → uint8 (n, height, width, 3), rounded to the nearest; the inverse of
    `to_float`. Values outside the range are cut."""
    import torch

    scaled = tensor.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
