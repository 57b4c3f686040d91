"""The user's generator: a checkpoint, a function that builds it with its state dict, or the module itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancomp.builders import allow
from gancomp.convert.generators import detect, load_original
from gancomp.elastic.reading import read_network
from gancomp.errors import GancompError
from gancomp.nets.module import built_by
from gancomp.network import BUILDER_PATTERN
from gancomp.pipeline.files import atomic
from gancomp.spec import GeneratorSpec, Norm, Statistics, Upsampling


def imported(
    generator: Path | str,
    weights: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    channels: int | None = None,
    *,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
) -> tuple[GeneratorSpec, Mapping[str, Tensor] | None]:
    """The spec of *generator* (a checkpoint or a builder), and its weights under gancomp's names; a builder without
    weights gives none.

    Raises GancompError as `detect` and `read_network`, and for options of the other kind.
    """
    if not is_builder(generator):
        of_builders = {"weights": weights, "arguments": arguments, "channels": channels}
        if given := [name for name, value in of_builders.items() if value is not None]:
            raise GancompError(f"--{given[0]}: applies to a builder (package.module:function), not to a checkpoint")
        return detect(generator, size, upsampling, norm, statistics, key)
    if given := [name for name, value in (("upsampling", upsampling), ("norm", norm)) if value is not None]:
        raise GancompError(f"--{given[0]}: is for files that do not contain it, but {generator} does; remove it")
    builder = str(generator)
    allow(builder)
    network = read_network(builder, arguments, size or (256, 256), channels)
    spec = GeneratorSpec.model_validate({"family": "module", "network": network, "statistics": statistics})
    return spec, load_original(weights, spec, key=key).state_dict() if weights else None


def is_builder(generator: Path | str) -> bool:
    """Whether *generator* is `package.module:function`, and not a file."""
    return re.fullmatch(BUILDER_PATTERN, str(generator)) is not None and not Path(generator).exists()


def builder_of(module: nn.Module, arguments: Mapping[str, Any]) -> str:
    """The reference of *module*'s class. Raises GancompError if that does not build the same network."""
    kind = type(module)
    reference = f"{kind.__module__}:{kind.__qualname__}"
    wanted = "name a function that builds it: compress(..., builder='package.module:function', arguments={...})"
    if kind.__module__ == "__main__" or not re.fullmatch(BUILDER_PATTERN, reference):
        raise GancompError(f"{reference}: cannot be imported by the stages of the workflow; {wanted}")
    allow(reference)
    try:
        like = built_by(reference, arguments).state_dict()
    except GancompError as error:
        raise GancompError(f"{error}; {wanted}") from None
    own = module.state_dict()
    if {name: tensor.shape for name, tensor in like.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise GancompError(
            f"{reference}: called with {dict(arguments)} builds another network than the given one; {wanted}"
        )
    return reference


def check_findable(builder: str) -> None:
    """Raises GancompError if the workflow's stages, which are separate processes, cannot find *builder*'s module."""
    module = builder.partition(":")[0]
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    if subprocess.run([sys.executable, "-c", code, module.partition(".")[0]], check=False).returncode:
        raise GancompError(
            f"{builder}: the stages of the workflow run in {Path.cwd()} and do not find the module {module} there or "
            "on Python's path; run this in the folder that contains it, or add that folder to PYTHONPATH"
        )


def write_weights(path: Path, module: nn.Module) -> Path:
    """Write the state dict of *module* to a file, for the stages to read. A file that holds it already is left alone:
    its time of writing decides whether they run again."""
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(module.state_dict().items())}
    content = save(own)
    if not (path.is_file() and path.read_bytes() == content):
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    return path
