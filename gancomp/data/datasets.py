"""Prepared data sets for training: batches of inputs and targets, and the order of the batches."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancomp.data.images import read_input, read_values
from gancomp.data.manifest import load_manifest, name_of
from gancomp.data.palette import Palette, edges_in
from gancomp.data.plan import Picture
from gancomp.data.settings import Split
from gancomp.data.values import unpack
from gancomp.errors import GancompError
from gancomp.spec import Role

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8 | np.uint16]
Indices = Sequence[int] | NDArray[np.integer]
#: Separate the permutations from other random numbers of the same seed; unpaired targets have their own.
_ORDER_STREAM = 0x6F72646572
_TARGET_STREAM = 0x746172676574
#: The stored channels of a picture, by its number of channels.
STORED = {1: slice(0, 1), 2: slice(0, 4, 3), 3: slice(0, 3), 4: slice(0, 4)}


class _View(NamedTuple):
    """The location of a picture: a file, and its first column there."""

    file: str
    left: int


class Pictures:
    """The pictures of some splits of the data set in *root*, decoded on first use.

    *direction* says which side is the input. If `paired`, input and target of one index are a pair; else the targets
    have their own number and order. `names` are the inputs' names by `manifest.name_of`. Decoded pictures are cached
    up to *cache_bytes*.
    The constructor raises GancompError when the manifest is missing or damaged or a picture is missing; reading raises
    it when a picture does not decode, has another size than the manifest's, or is a label map with an unknown colour.
    """

    def __init__(
        self,
        root: Path,
        splits: Sequence[Split],
        direction: Literal["AtoB", "BtoA"],
        cache_bytes: int = 2 << 30,
    ) -> None:
        manifest = load_manifest(root)
        self.kind = manifest.kind
        self.size = manifest.size
        self.data_hash = manifest.data_hash
        self.classes = manifest.classes
        self.paired = not any(split in manifest.splits_b for split in splits)
        alone = {file for split in manifest.splits_b for file in (*manifest.splits[split], *manifest.splits_b[split])}
        a = [_View(file, 0) for split in splits for file in manifest.splits[split]]
        b = [
            _View(file, 0 if file in alone else self.size[1])
            for split in splits
            for file in manifest.splits_b.get(split, manifest.splits[split])
        ]
        self._inputs, self._targets = (a, b) if direction == "AtoB" else (b, a)
        self.names = [name_of(view.file) for view in self._inputs]
        self._alone = alone
        self._truth = {Path(file).name: file for file in manifest.truth}
        self._channels = manifest.dataset.get("channels", 3)
        self.target_channels: int = manifest.dataset.get("target_channels", 3)
        self.ranges = manifest.ranges
        self._root = root
        self._cache: dict[str, Picture] = {}
        self._cache_room = cache_bytes
        self._pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="pictures")
        for file in dict.fromkeys(view.file for view in a + b):
            if not (root / file).is_file():
                raise GancompError(f"{root / file}: missing; delete {root} and build the data set again")

    def __len__(self) -> int:
        """Number of inputs."""
        return len(self._inputs)

    @property
    def target_count(self) -> int:
        return len(self._targets)

    @property
    def per_epoch(self) -> int:
        """Pictures in an epoch: those of the larger side, if unpaired."""
        return max(len(self._inputs), len(self._targets))

    # --- pictures ------------------------------------------------------------------------------

    def inputs(self, indices: Indices) -> Pixels:
        """The inputs at *indices*: (n, height, width, channels), uint8, or uint16 if they have a range of values;
        label maps in their colours."""
        return self._of("input", self._gather(_at(self._inputs, indices))[0])

    def targets(self, indices: Indices) -> Pixels:
        """The targets at *indices* (of targets): (n, height, width, target_channels), typed like inputs."""
        return self._of("target", self._gather(_at(self._targets, indices))[0])

    def batch(self, indices: Indices) -> tuple[Pixels, Pixels]:
        """Inputs and targets of the pairs at *indices*. Raises ValueError if the pictures are not paired."""
        if not self.paired:
            raise ValueError("these pictures are unpaired: ask for inputs and targets, each by their own indices")
        return self._both(indices, indices)

    def training_batch(self, step: int, batch: int, seed: int, share: slice = slice(None)) -> tuple[Pixels, Pixels]:
        """Inputs and targets of training step *step* (from 0), or their *share*; depends on the arguments alone.

        The order is that of `batch_indices`; unpaired targets have their own permutations.
        """
        indices = batch_indices(step, len(self), batch, seed)[share]
        if self.paired:
            return self.batch(indices)
        return self._both(indices, batch_indices(step, self.target_count, batch, seed, _TARGET_STREAM)[share])

    def scored_labels(self, indices: Indices) -> NDArray[np.uint8]:
        """The true labels of the targets at *indices*: uint8 (n, H, W), 255 where metrics ignore them.

        They have the size of the pictures, or that of the data set's `truth/` if it has one. Raises ValueError if the
        data set has neither label maps nor `truth/`.
        """
        if self._truth:
            files = [self._truth[Path(self.names[int(index)]).name] for index in indices]
            return np.stack([read_values(self._root / file).astype(np.uint8) for file in files])
        numbers = np.array([one.scored_as for one in self.classes], dtype=np.uint8)
        scored: NDArray[np.uint8] = numbers[self.labels(self.inputs(indices))]
        return scored

    # --- what a generator reads ----------------------------------------------------------------

    def encode(self, inputs: Pixels) -> torch.Tensor:
        """Inputs (n, height, width, c) as float32 (n, channels, height, width).

        Photos are in [-1, 1]. A label map is one-hot, with the edges as the last channel.
        """
        import torch

        if self.kind != "labels":
            return to_float(inputs)
        ids = torch.from_numpy(self.labels(inputs).astype(np.int64))
        planes = torch.zeros(len(ids), len(self.classes) + 1, *ids.shape[1:])
        planes.scatter_(1, ids[:, None], 1.0)
        planes[:, -1] = torch.from_numpy(edges_in(_in_8_bits(inputs)))
        return planes

    def decode(self, made: torch.Tensor) -> Pixels:
        """A generator's output (n, c, height, width) in the format of `targets`: the inverse of `to_float`."""
        return to_pixels(made, 65_535) if "target" in self.ranges else to_uint8(made)

    def as_targets(self, inputs: Pixels) -> Pixels:
        """*inputs* converted to the targets' channels and depth, without a network."""
        if "target" not in self.ranges:
            return as_channels(inputs, self.target_channels)
        return inputs if inputs.dtype == np.uint16 else as_channels(inputs, 1).astype(np.uint16) * 257

    def labels(self, inputs: Pixels) -> NDArray[np.uint8]:
        """Class indices (n, height, width) of label maps. Raises ValueError if the data set has none."""
        return self._palette.ids(_in_8_bits(inputs))

    @cached_property
    def _palette(self) -> Palette:
        return Palette(self.classes)

    # --- reading -------------------------------------------------------------------------------

    def _both(self, inputs: Indices, targets: Indices) -> tuple[Pixels, Pixels]:
        """Inputs and targets; a file that contains both is read once."""
        read = self._gather(_at(self._inputs, inputs), _at(self._targets, targets))
        return self._of("input", read[0]), self._of("target", read[1])

    def _of(self, role: Role, stored: Picture) -> Pixels:
        """Decode stored pictures into inputs or targets."""
        if role in self.ranges:
            return unpack(stored)
        return stored[..., STORED[self._channels if role == "input" else self.target_channels]]

    def _gather(self, *wanted: list[_View]) -> list[Picture]:
        """Each list of views as one array."""
        missing = [
            file for file in dict.fromkeys(view.file for views in wanted for view in views) if file not in self._cache
        ]
        decoded = dict(zip(missing, self._pool.map(self._read, missing), strict=True))
        for file, picture in decoded.items():
            if picture.nbytes <= self._cache_room:
                self._cache[file] = picture
                self._cache_room -= picture.nbytes
        at_hand = ChainMap(decoded, self._cache)
        width = self.size[1]
        return [np.stack([at_hand[file][:, left : left + width] for file, left in views]) for views in wanted]

    def _read(self, file: str) -> Picture:
        path = self._root / file
        with_alpha = {self._channels, self.target_channels} & {2, 4}
        picture = read_input(path, 4 if with_alpha else 3)
        height, width = self.size
        halves = 1 if file in self._alone else 2
        if picture.shape[:2] != (height, halves * width):
            raise GancompError(
                f"{path}: is {picture.shape[0]}x{picture.shape[1]} (height x width), but the manifest says "
                f"{'one picture' if halves == 1 else 'two halves'} of {height}x{width}; delete {self._root} and build "
                "the data set again"
            )
        if self.kind == "labels":
            left = self._inputs[0].left
            try:
                self.labels(picture[:, left : left + width, :3])
            except ValueError as error:
                raise GancompError(f"{path}: {error}; delete {self._root} and build the data set again") from None
        return picture


def _at(views: list[_View], indices: Indices) -> list[_View]:
    return [views[int(index)] for index in indices]


def batch_indices(step: int, count: int, batch: int, seed: int, stream: int = _ORDER_STREAM) -> NDArray[np.int64]:
    """The pictures of training step *step* (from 0): *batch* indices below *count*; depends on the arguments alone.

    An epoch is count // batch steps over one permutation that depends on (stream, seed, epoch); the remainder is
    dropped. With fewer pictures than a batch, an epoch is one step that repeats its permutation.
    """
    if count < 1 or batch < 1:
        raise ValueError(f"a batch of {batch} out of {count} pictures")
    epoch, position = divmod(step, max(1, count // batch))
    order = np.random.default_rng([stream, seed, epoch]).permutation(count)
    return np.resize(order[position * batch : (position + 1) * batch], batch)


def to_float(pictures: Pixels) -> torch.Tensor:
    """uint8 or uint16 (n, height, width, c) → float32 (n, c, height, width) in [-1, 1]."""
    import torch

    channels_first = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    if channels_first.dtype == np.uint16:
        return torch.from_numpy(channels_first.astype(np.float32)).div_(32_767.5).sub_(1.0)
    return torch.from_numpy(channels_first).float().div_(127.5).sub_(1.0)


def to_uint8(tensor: torch.Tensor) -> Picture:
    """float (n, c, height, width) in [-1, 1] → uint8 (n, height, width, c), rounded to the nearest; the inverse of
    `to_float`. Values outside the range are clipped."""
    return to_pixels(tensor, 255).astype(np.uint8, copy=False)


def to_pixels(tensor: torch.Tensor, most: Literal[255, 65_535]) -> Pixels:
    """Like `to_uint8`, to 0 … *most* in 8 or 16 bits."""
    import torch

    scaled = tensor.detach().float().add(1.0).mul_(most / 2).round_().clamp_(0, most)
    kind = torch.uint8 if most == 255 else torch.uint16
    return scaled.to(kind).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_rgb(pictures: Pixels) -> Picture:
    """Pictures of any number of channels and depth as RGB, for display."""
    return as_channels(pictures, 3)


def as_channels(pictures: Pixels, channels: int) -> Picture:
    """Convert pictures (n, height, width, 1 to 4) to 8 bits and 1 to 4 *channels*.

    Gray is repeated, colours become luma (ITU-R 601), a missing alpha is opaque, and transparency is composited on
    white if the result has no alpha.
    """
    own = pictures.shape[-1]
    pictures = _in_8_bits(pictures)
    if own == channels:
        return pictures
    colours, alpha = pictures[..., : 3 if own > 2 else 1], pictures[..., -1:] if own in (2, 4) else None
    if alpha is not None and channels not in (2, 4):
        opacity = alpha.astype(np.uint16)
        # Integers up to 255² fit; + 127 rounds to the nearest.
        colours = ((colours * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
    wanted = 3 if channels > 2 else 1
    if colours.shape[-1] > wanted:
        luma = colours.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
        colours = ((luma + 500) // 1000).astype(np.uint8)[..., None]
    shown = np.broadcast_to(colours, (*pictures.shape[:-1], wanted))
    if channels in (2, 4):
        shown = np.concatenate([shown, np.full_like(shown[..., :1], 255) if alpha is None else alpha], axis=-1)
    return np.ascontiguousarray(shown)


def _in_8_bits(pictures: Pixels) -> Picture:
    if pictures.dtype == np.uint16:
        return ((pictures.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return pictures.astype(np.uint8, copy=False)
