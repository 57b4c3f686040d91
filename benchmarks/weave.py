"""How strong the weave of transposed convolutions is, in areas where neither drawing nor truth has a pattern.

Run as `python -m benchmarks.weave DATASET MODEL.safetensors …`; needs the data set and checkpoints of its size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gancomp.config.loading import load
from gancomp.data.datasets import Pictures, to_float
from gancomp.nets import load_generator
from gancomp.pipeline import paths

Array = NDArray[np.floating[Any]]
#: The side of a block, in pixels, and the most that colours may differ (of 255): of the drawing in a block and those
#: around it, and of the truth in the block, which may be shaded.
SIDE, FLAT, SMOOTH = 4, 4, 12
BATCH = 16


def blocks(pictures: Array) -> Array:
    """Pictures (n, c, h, w) as (n, c, h / SIDE, w / SIDE, SIDE, SIDE)."""
    n, c, h, w = pictures.shape
    return pictures.reshape(n, c, h // SIDE, SIDE, w // SIDE, SIDE).transpose(0, 1, 2, 4, 3, 5)


def weave(pictures: Array) -> Array:
    """The summed sizes of the three patterns of period 2 in each block, mean over channels: (n, h / SIDE, w / SIDE)."""
    turns, still = np.array([1, -1] * (SIDE // 2)), np.ones(SIDE)
    patterns = (np.outer(turns, still), np.outer(still, turns), np.outer(turns, turns))
    sizes: Array = sum(np.abs((blocks(pictures) * pattern).mean((-1, -2))) for pattern in patterns)
    return sizes.mean(axis=1)


def quiet(drawings: Array, truth: Array) -> NDArray[np.bool_]:
    """The blocks of coloured areas where the drawing is of one colour, around them too, and the truth is smooth."""

    def around(values: Array, extreme: Callable[..., Array]) -> Array:
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        return extreme(sliding_window_view(padded, (3, 3), axis=(2, 3)), (-1, -2))

    drawn, true = blocks(drawings), blocks(truth)
    flat = (around(drawn.max((-1, -2)), np.max) - around(drawn.min((-1, -2)), np.min)).max(axis=1) < FLAT
    smooth = (true.max((-1, -2)) - true.min((-1, -2))).max(axis=1) < SMOOTH
    coloured = true.min((1, -1, -2)) < 127.5 - 1
    return flat & smooth & coloured


def main(
    dataset: Annotated[str, typer.Argument(help="a data set of config.yaml, with pairs")],
    models: Annotated[list[Path], typer.Argument(help="checkpoints of generators")],
) -> None:
    """Print the mean weave of the validation truth and of each generator's pictures, in 8-bit steps."""
    pictures = Pictures(paths.dataset(dataset), ("val",), load(["config.yaml"]).datasets[dataset].direction)
    drawings, truth = pictures.batch(np.arange(len(pictures)))
    targets = to_float(truth).numpy() * 127.5
    counted = quiet(to_float(drawings).numpy() * 127.5, targets)
    print(f"truth: {weave(targets)[counted].mean():.3f} in {counted.sum():,} blocks")
    for path in models:
        generator = load_generator(path)
        with torch.inference_mode():
            batches = (drawings[first : first + BATCH] for first in range(0, len(drawings), BATCH))
            made = np.concatenate([generator(pictures.encode(batch)).numpy() for batch in batches])
        print(f"{path}: {weave(made * 127.5)[counted].mean():.3f}")


if __name__ == "__main__":
    typer.run(main)
