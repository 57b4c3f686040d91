"""Export to ExecuTorch, with the operations delegated to XNNPACK."""

from __future__ import annotations

from importlib.metadata import version

import torch

from gancomp.deploy.formats.plain import plain_program
from gancomp.deploy.formats.program import Precision, Program, example_of, module_of, write_with_note
from gancomp.deploy.runtimes import on_executorch
from gancomp.extras import extra
from gancomp.nets import Generator


def to_executorch(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    """Returns a program of a fixed size, in float32. Raises GancompError if executorch is not installed."""
    extra("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = plain_program(module_of(generator, precision), example_of(generator))
    made = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    content = bytes(made.buffer)
    run, _ = on_executorch(content)
    return Program(
        run,
        lambda out, about: write_with_note(out, content, about),
        {"torch": torch.__version__, "executorch": version("executorch")},
    )
