"""A program of `torch.export`."""

from __future__ import annotations

from pathlib import Path

import torch

from gancomp.deploy.formats.program import Precision, Program, example_of, module_of, open_shapes
from gancomp.deploy.runtimes import Pixels
from gancomp.nets import Generator
from gancomp.pipeline.checkpoints import HEADER_KEY
from gancomp.pipeline.files import atomic


def to_torch(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    program = torch.export.export(
        module_of(generator, precision), (example_of(generator),), dynamic_shapes=open_shapes(dynamic)
    )
    module = program.module()

    @torch.inference_mode()
    def run(x: Pixels) -> Pixels:
        made: Pixels = module(torch.from_numpy(x)).numpy()
        return made

    def write(out: Path, about: str) -> None:
        with atomic(out) as temporary:
            torch.export.save(program, temporary, extra_files={f"{HEADER_KEY}.json": about})

    return Program(run, write, {"torch": torch.__version__})
