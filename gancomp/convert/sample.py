"""An imported generator held against a picture that the original's own code made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gancomp.data.images import read_rgb
from gancomp.deploy.apply import translate
from gancomp.errors import GancompError
from gancomp.nets import Generator

#: Differences in steps of 8 bits, on average and at most, of what is still the same picture: rounding and another
#: device's sums; JPEG's and WebP's loss.
LOSSLESS, LOSSY = (1.0, 16), (4.0, 96)
_LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})


def check_sample(generator: Generator, source: Path, expected: Path, assumptions: Sequence[str]) -> None:
    """Compare what *generator* draws of the picture *source* with *expected*, which the original drew of it, and print
    how far they are apart.

    Raises GancompError where that is more than LOSSLESS (LOSSY of a JPEG or WebP), naming the *assumptions* that the
    import made, and where the two pictures differ in size.
    """
    wanted, read = read_rgb(expected), read_rgb(source)
    if wanted.shape != read.shape:
        raise GancompError(
            f"{expected}: is {_size(wanted)}, and {source} {_size(read)} (height x width); give the input as the "
            "original's code saw it, resized and cropped"
        )
    apart = np.abs(np.asarray(translate(generator, source).convert("RGB")).astype(int) - wanted)
    mean, most = LOSSY if expected.suffix.lower() in _LOSSY_SUFFIXES else LOSSLESS
    found = f"{apart.mean():.2f} of 255 on average, {apart.max()} at most"
    if apart.mean() > mean or apart.max() > most:
        raise GancompError(
            f"{expected}: is not what this generator draws of {source}: they differ by {found}; "
            f"{mean:g} and {most} are allowed. It is taken to have: {'; '.join(assumptions)}"
        )
    print(f"{expected}: the generator draws it too: they differ by {found}")


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"
