"""Export to Core ML. Only Apple's machines run it, so the package is read back and evaluated in PyTorch (`mil`)."""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gancomp.deploy.formats.mil import interpreted
from gancomp.deploy.formats.plain import EVERY_NTH
from gancomp.deploy.formats.program import Precision, Program, example_of, silent
from gancomp.extras import extra
from gancomp.nets import Generator
from gancomp.pipeline.checkpoints import HEADER_KEY
from gancomp.pipeline.files import atomic_folder


class _Named(nn.Module):
    """A generator whose argument is called `input`, which becomes the name of the package's input."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        picture: Tensor = self.generator(input)
        return picture


def to_coreml(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    """Returns an ML program for iOS 16, macOS 13 and later, of a fixed size.

    Raises GancompError if coremltools is not installed, or if `mil` does not know one of the program's operations.
    """
    with silent():
        coremltools = extra("coremltools")
        # A copy, because coremltools changes the statistics of batch normalisation without scales in place.
        exported = torch.export.export(_Named(deepcopy(generator)).eval(), (example_of(generator),)).run_decompositions(
            EVERY_NTH
        )
        half = precision == "fp16"
        model = coremltools.convert(
            exported,
            # Float32 out as well as in, whatever it computes in.
            outputs=[coremltools.TensorType(name="picture", dtype=np.float32)],
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32,
        )
    kept = tempfile.TemporaryDirectory()
    whole = Path(kept.name) / "model.mlpackage"
    model.save(str(whole))

    def write(out: Path, about: str) -> None:
        model.user_defined_metadata[HEADER_KEY] = about
        model.save(str(whole))
        with atomic_folder(out) as temporary:
            shutil.copytree(whole, temporary, dirs_exist_ok=True)
        kept.cleanup()

    return Program(interpreted(whole), write, {"torch": torch.__version__, "coremltools": coremltools.__version__})
