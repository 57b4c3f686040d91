"""What all formats share: the exported program, example inputs, and writing with metadata."""

from __future__ import annotations

import copy
import io
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gancomp.deploy.runtimes import NOTE, Pixels, Run
from gancomp.nets import Generator
from gancomp.pipeline.files import atomic
from gancomp.spec import GeneratorSpec

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Program:
    """An exported generator that is not yet written: how it runs, and how it is written with its metadata."""

    run: Run
    write: Callable[[Path, str], None]
    versions: dict[str, str]
    #: In the numbers that the runtime prefers on this processor, where those are others (bf16, say).
    fast: Run | None = None
    #: Of ONNX, the model (onnx.ModelProto).
    model: Any = None


class _Half(nn.Module):
    """The generator in half precision between a float32 input and a float32 picture."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).half()

    def forward(self, x: Tensor) -> Tensor:
        picture: Tensor = self.generator(x.half()).float()
        return picture


def module_of(generator: Generator, precision: Precision) -> nn.Module:
    """What is exported: float32 in and out, whatever it computes in."""
    return (_Half(generator) if precision == "fp16" else generator).eval()


def random_inputs(spec: GeneratorSpec, size: tuple[int, int], count: int) -> Pixels:
    """*count* inputs (n, c, height, width) of noise; for a spade generator, label maps of random blocks with edges."""
    draw = np.random.default_rng(0)
    if not spec.reads_labels:
        return draw.uniform(-1, 1, (count, spec.in_channels, *size)).astype(np.float32)
    ids = draw.integers(spec.in_channels - 1, size=(count, -(-size[0] // 8), -(-size[1] // 8)))
    ids = ids.repeat(8, axis=1).repeat(8, axis=2)[:, : size[0], : size[1]]
    planes = np.zeros((count, spec.in_channels, *size), np.float32)
    np.put_along_axis(planes, ids[:, None], 1.0, axis=1)
    planes[:, -1, ::8] = planes[:, -1, :, ::8] = 1.0
    return planes


def example_of(generator: Generator) -> Tensor:
    """One input (1, c, h, w), of the size of training."""
    return torch.from_numpy(random_inputs(generator.spec, generator.spec.size, 1))


def open_shapes(dynamic: bool) -> tuple[dict[int, Any]] | None:
    """Which sides of the input torch.export leaves open."""
    return ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},) if dynamic else None


@contextmanager
def silent() -> Iterator[None]:
    """Discards what exporters print of their progress."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def write_with_note(out: Path, content: bytes, about: str) -> None:
    """Write *content*, followed by a zip with one file, NOTE, that holds the metadata *about* it.

    TensorFlow Lite stores associated files in this way, and neither its reader nor ExecuTorch's reads past the end of
    the model. `unzip -p FILE gancomp.json` shows the metadata. Equal arguments give equal bytes.
    """
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(NOTE), about)
    with atomic(out) as temporary:
        temporary.write_bytes(buffer.getvalue())


@contextmanager
def quiet() -> Iterator[None]:
    """Hides the exporters' warnings, which say nothing that the comparison with PyTorch does not."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "coremltools", "executorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
