"""Export to LiteRT (TensorFlow Lite)."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from gancomp.deploy.formats.plain import plain_program
from gancomp.deploy.formats.program import Precision, Program, example_of, module_of, silent, write_with_note
from gancomp.deploy.runtimes import on_litert
from gancomp.extras import extra
from gancomp.nets import Generator


def to_litert(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    """Returns a model of a fixed size, in float32. Raises GancompError if litert-torch is not installed."""
    with silent():
        litert_torch = extra("litert_torch")
    versions = {name: version(name) for name in ("litert-torch", "ai-edge-litert")}
    module = plain_program(module_of(generator, precision), example_of(generator), transposed=False).module()
    with tempfile.TemporaryDirectory() as folder, silent():
        path = Path(folder) / "model.tflite"
        litert_torch.convert(module, (example_of(generator),)).export(str(path))
        content = path.read_bytes()
    run, _ = on_litert(content)
    return Program(
        run, lambda out, about: write_with_note(out, content, about), {"torch": torch.__version__, **versions}
    )
