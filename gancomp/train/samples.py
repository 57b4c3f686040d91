"""The same validation pictures by a generator on its way, again and again while it trains. They change no weight and no
random number, and nothing is chosen by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gancomp.data.datasets import Pictures, to_rgb
from gancomp.elastic.calibrate import calibrate
from gancomp.errors import GancompError
from gancomp.nets.generator import Generator
from gancomp.pipeline.files import atomic

#: Strips of a training where the configuration does not say how often.
STRIPS = 20


def sample_steps(every: int | None, total: int) -> range:
    """The steps, of *total*, after which there are sample pictures: each *every*th; none for 0; about `STRIPS` where it
    is None."""
    if every == 0:
        return range(0)
    every = every or max(1, total // STRIPS)
    return range(every, total + 1, every)


@torch.inference_mode()
def write_strip(path: Path, generator: Generator, pictures: Pictures, indices: Sequence[int]) -> None:
    """Write the inputs at *indices* of *pictures*, what *generator* makes of them, and the truth where it is known: one
    row below the other. BatchNorm takes the statistics of these very pictures, in place.

    A disk that refuses the file is told of, and costs no training.
    """
    inputs = pictures.inputs(indices)
    encoded = pictures.encode(inputs).to(next(generator.parameters()).device)
    calibrate(generator, [encoded])
    rows = [to_rgb(inputs), to_rgb(pictures.decode(generator.eval()(encoded)))]
    if pictures.paired:
        rows.append(to_rgb(pictures.targets(indices)))
    strip = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    try:
        with atomic(path) as temporary:
            Image.fromarray(strip).save(temporary, format="png")
    except GancompError as error:
        print(f"no sample pictures: {error}", flush=True)
