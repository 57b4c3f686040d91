"""Compare an imported generator with an output of its original code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gancomp.data.images import read_rgb
from gancomp.deploy.apply import translate
from gancomp.errors import GancompError
from gancomp.nets import Generator

#: Largest mean and largest single difference, in 8-bit steps, of equal pictures: from rounding and other devices'
#: order of summation; from the compression of JPEG and WebP.
LOSSLESS, LOSSY = (1.0, 16), (4.0, 96)
_LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})


def check_sample(generator: Generator, source: Path, expected: Path, assumptions: Sequence[str]) -> None:
    """Compare *generator*'s output for the picture *source* with *expected*, the original's output, and print the
    difference.

    Raises GancompError if it exceeds LOSSLESS (LOSSY for JPEG and WebP), with the *assumptions* of the import, or if
    the two pictures differ in size.
    """
    wanted, read = read_rgb(expected), read_rgb(source)
    if wanted.shape != read.shape:
        raise GancompError(
            f"{expected}: is {_size(wanted)}, but {source} is {_size(read)} (height x width); pass the input after the "
            "resizing and cropping of the original's code"
        )
    apart = np.abs(np.asarray(translate(generator, source).convert("RGB")).astype(int) - wanted)
    mean, most = LOSSY if expected.suffix.lower() in _LOSSY_SUFFIXES else LOSSLESS
    found = f"{apart.mean():.2f} of 255 on average, {apart.max()} at most"
    if apart.mean() > mean or apart.max() > most:
        raise GancompError(
            f"{expected}: is not this generator's output for {source}: they differ by {found}; "
            f"{mean:g} and {most} are allowed. The import assumes: {'; '.join(assumptions)}"
        )
    print(f"{expected}: matches the generator's output: they differ by {found}")


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"
