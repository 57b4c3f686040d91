"""Pictures too large for memory, or for an export of one size: tile by tile, and without seams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gancomp.deploy.runtimes import Model, Pixels, Run
from gancomp.errors import GancompError
from gancomp.nets import Generator, build_generator
from gancomp.spec import GeneratorSpec

#: Of a tile's sides, what it shares with each neighbour where that cannot make tiles exact.
SHARED = 1 / 4
#: The longest strip on which it is tried how far a network sees, in pixels.
LONGEST_STRIP = 4096


@dataclass(frozen=True)
class Sight:
    """What of a picture decides one of its pixels: *halo*, so many pixels to each side (a multiple of the stride; None:
    all of it), once the *norms*, normalisations by a picture's own statistics, know theirs."""

    halo: int | None
    norms: int


@dataclass(frozen=True)
class Span:
    """Of one axis: where a tile is read, [start, stop), and what is kept of it, [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def read(self) -> slice:
        return slice(self.start, self.stop)

    def within(self, side: int) -> slice:
        """What is kept, in an activation of the tile that is *side* long."""
        length = self.stop - self.start
        return slice((self.first - self.start) * side // length, (self.last - self.start) * side // length)


def spans(side: int, tile: int, overlap: int, stride: int) -> list[Span]:
    """*side* in tiles of *tile* that share at least *overlap*, cut in the middle of what they share. The lengths are
    multiples of *stride*, and so is where tiles start and are cut."""
    if side <= tile:
        return [Span(0, side, 0, side)]
    starts = [*range(0, side - tile, tile - overlap), side - tile]
    cuts = [(before + tile + after) // 2 // stride * stride for before, after in pairwise(starts)]
    return [
        Span(start, start + tile, first, last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, side], strict=True)
    ]


def in_tiles(model: Model, tile: int) -> tuple[Model, str]:
    """*model* for pictures of any size, of which it sees at most *tile* × *tile* pixels at once; and in words what
    that makes of them. An export of a single size has tiles of that, whatever *tile* says.

    Tiles share as much as the network sees to a side, and of each its middle is kept: what comes out is what the whole
    picture gives. With normalisation by a picture's own statistics it is so in PyTorch, where those of all tiles
    together are taken, at the cost of a pass as far as each normalisation. Where the network sees further than a tile
    can hold, or its statistics are a runtime's own, tiles share a quarter, in which they are blended linearly.
    GancompError if *tile* is less than the least picture.
    """
    spec = model.spec
    stride = spec.stride
    if model.size:
        sides = model.size
    else:
        sides = (tile // stride * stride,) * 2
        if sides[0] < spec.least:
            raise GancompError(f"--tile {tile}: this network reads pictures of at least {spec.least} × {spec.least}")
    sight = sight_of(spec)
    shown = f"tiles of {sides[0]} × {sides[1]}"
    own = sight.norms > 0 and model.runtime != "pytorch"
    if sight.halo is not None and not own and 2 * sight.halo < min(sides):
        overlaps, blended = (2 * sight.halo,) * 2, False
        told = f"{shown} that share {overlaps[0]} pixels, in which they agree: the picture is that of a single pass"
        if sight.norms:
            told += f"; each is read {sight.norms + 1} times, for the {sight.norms} statistics of the whole picture"
    else:
        overlaps, blended = (2 * max(round(sides[0] * SHARED / 2), 1), 2 * max(round(sides[1] * SHARED / 2), 1)), True
        told = f"{shown} that share {overlaps[0]} × {overlaps[1]} pixels, in which they are blended: "
        if own:
            told += "each is normalised by its own statistics, and not the picture's (model.safetensors shares them)"
        elif sight.halo is None:
            told += "this network sees the whole picture, and a tile shows it a part"
        else:
            least = 2 * sight.halo + stride
            told += f"this network sees {sight.halo} pixels to a side, and only tiles of at least {least} are exact"

    def run(x: Pixels) -> Pixels:
        height, width = x.shape[2:]
        if model.size:  # the only one that reads no less
            added = [(0, max(least - side, 0)) for least, side in zip(sides, (height, width), strict=True)]
            x = np.pad(x, [(0, 0), (0, 0), *added], mode="reflect")
        rows, columns = (
            spans(side, most, overlap, 1 if blended else stride)
            for side, most, overlap in zip(x.shape[2:], sides, overlaps, strict=True)
        )
        tiles = [(row, column) for row in rows for column in columns]
        if len(tiles) == 1:
            made = model.run(x)
        elif blended:
            made = _blended(model.run, x, tiles)
        elif sight.norms:
            made = _shared(model.run, x, tiles, sight.norms)
        else:
            made = _cut(model.run, x, tiles)
        return made[:, :, :height, :width]

    return replace(model, run=run, size=None), told


Tiles = list[tuple[Span, Span]]


def _read(x: Pixels, rows: Span, columns: Span) -> Pixels:
    return np.ascontiguousarray(x[:, :, rows.read, columns.read])


def _cut(run: Run, x: Pixels, tiles: Tiles, before: Callable[[Span, Span], None] | None = None) -> Pixels:
    """The middles of what *run* makes of each tile of *x*, side by side; *before* hears of each."""
    whole: Pixels | None = None
    for rows, columns in tiles:
        if before:
            before(rows, columns)
        made = run(_read(x, rows, columns))
        if whole is None:
            whole = np.empty((*made.shape[:2], *x.shape[2:]), np.float32)
        kept = made[:, :, rows.within(made.shape[2]), columns.within(made.shape[3])]
        whole[:, :, rows.first : rows.last, columns.first : columns.last] = kept
    assert whole is not None
    return whole


def _blended(run: Run, x: Pixels, tiles: Tiles) -> Pixels:
    """What *run* makes of each tile of *x*, each fading out where its neighbours fade in."""
    whole: Pixels | None = None
    total = np.zeros(x.shape[2:], np.float32)
    for rows, columns in tiles:
        made = run(_read(x, rows, columns))
        if whole is None:
            whole = np.zeros((*made.shape[:2], *x.shape[2:]), np.float32)
        weights = _fading(rows, x.shape[2])[:, None] * _fading(columns, x.shape[3])
        whole[:, :, rows.read, columns.read] += made * weights
        total[rows.read, columns.read] += weights
    assert whole is not None
    return whole / total


def _fading(span: Span, side: int) -> NDArray[np.float32]:
    """The weight of each pixel of a tile: 1, but linearly less towards neighbours, over twice what is cut off there."""
    at = np.arange(span.stop - span.start, dtype=np.float32) + 0.5
    weights = np.ones_like(at)
    if span.start:
        weights = np.minimum(weights, at / (2 * (span.first - span.start)))
    if span.stop < side:
        weights = np.minimum(weights, at[::-1] / (2 * (span.stop - span.last)))
    return weights


# --- normalisation by the whole picture's statistics ---------------------------------------------


def _of_the_picture(function: Callable[..., Any], arguments: dict[str, Any] | None) -> bool:
    """Whether a call takes each picture's own statistics."""
    return function is F.instance_norm and (arguments or {}).get("use_input_stats", True)


@dataclass
class _Moments:
    """Count, mean and squared deviations of what has been seen, each picture's and channel's: (n, c)."""

    count: int
    mean: Tensor
    squares: Tensor

    @staticmethod
    def of(x: Tensor) -> _Moments:
        """Of activations (n, c, h, w)."""
        variance, mean = torch.var_mean(x.double(), dim=(2, 3), correction=0)
        count = x.shape[2] * x.shape[3]
        return _Moments(count, mean, variance * count)

    def with_more(self, other: _Moments) -> _Moments:
        """Of both, by Chan's formula."""
        count = self.count + other.count
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart.square() * self.count * other.count / count
        return _Moments(count, self.mean + apart * other.count / count, squares)

    @property
    def variance(self) -> Tensor:
        return self.squares / self.count


class _Enough(Exception):
    """Ends a pass whose rest is of no use."""


class _Shared(TorchFunctionMode):
    """Instance normalisation by the statistics of a whole picture, of which tiles are seen one after the other.

    A pass ends at the first normalisation whose statistics are not *known* yet, and what they are is *found* there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: list[_Moments] = []
        self.found: _Moments | None = None
        self._next = 0
        self._tile: tuple[Span, Span] | None = None

    def at(self, rows: Span, columns: Span) -> None:
        """The tile that comes next."""
        self._next, self._tile = 0, (rows, columns)

    def learn(self) -> None:
        """What was found of all tiles together is known from now on."""
        assert self.found
        self.known.append(self.found)
        self.found = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if _of_the_picture(func, kwargs):
            return self._normalise(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalise(
        self,
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if self._next == len(self.known):
            assert self._tile
            rows, columns = self._tile
            found = _Moments.of(x[:, :, rows.within(x.shape[2]), columns.within(x.shape[3])])
            self.found = self.found.with_more(found) if self.found else found
            raise _Enough
        known = self.known[self._next]
        self._next += 1
        mean, variance = (value.to(x.dtype).flatten() for value in (known.mean, known.variance))
        scale, shift = (None if value is None else value.repeat(len(x)) for value in (weight, bias))
        channels = x.reshape(1, -1, *x.shape[2:])  # of all pictures of the batch
        return F.batch_norm(channels, mean, variance, scale, shift, training=False, eps=eps).reshape(x.shape)


def _shared(run: Run, x: Pixels, tiles: Tiles, norms: int) -> Pixels:
    """As `_cut`, with statistics of all tiles together.

    A layer's depend on those of the layers before it, so there is one pass for each normalisation, as far as that.
    (All at once from the last pass's, again and again, does not settle: trained networks blow small errors up.)
    """
    shared = _Shared()
    with shared:
        for _ in range(norms):
            for rows, columns in tiles:
                shared.at(rows, columns)
                with suppress(_Enough):
                    run(_read(x, rows, columns))
            shared.learn()
        return _cut(run, x, tiles, shared.at)


# --- how far a network sees ----------------------------------------------------------------------


class _WithoutStatistics(TorchFunctionMode):
    """Instance normalisation does nothing, and is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if _of_the_picture(func, kwargs):
            self.count += 1
            return args[0]
        return func(*args, **(kwargs or {}))


def sight_of(spec: GeneratorSpec) -> Sight:
    """How far a generator of *spec* sees, whatever its weights.

    Tried, not derived, so that it holds for a network of one's own: what is not a number spreads from the pixels of
    one stride to all that they decide. On strips as narrow as the network reads, upright and lying.
    """
    # Widths change nothing of it, and narrow ones are fast.
    generator = build_generator(spec if spec.network else spec.with_widths((1,) * len(spec.widths))).eval()
    halos, norms = [], 0
    for upright in (False, True):
        halo, norms = _spread(generator, upright)
        halos.append(halo)
    known = [halo for halo in halos if halo is not None]
    return Sight(max(known) if len(known) == len(halos) else None, norms)


@torch.inference_mode()
def _spread(generator: Generator, upright: bool) -> tuple[int | None, int]:
    spec = generator.spec
    narrow = spec.fitting((1, 1))[0]
    length = max(narrow, 8 * spec.stride)
    while length <= LONGEST_STRIP:
        middle = length // 2 // spec.stride * spec.stride
        strip = torch.zeros(1, spec.in_channels, narrow, length)
        strip[..., middle : middle + spec.stride] = torch.nan
        with _WithoutStatistics() as without:
            made = generator(strip.mT.contiguous() if upright else strip)
        reached = torch.isnan(made.mT if upright else made)[0].any(0).any(0).nonzero().flatten()
        first, last = int(reached[0]), int(reached[-1])
        if first > 0 and last < length - 1:
            halo = max(middle - first, last - (middle + spec.stride - 1))
            return -(-halo // spec.stride) * spec.stride, without.count
        length *= 2
    return None, without.count
