"""Self-describing checkpoints: safetensors with a header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from gancomp import __version__
from gancomp.config.strict import Strict
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec, Role, ValueRange

if TYPE_CHECKING:
    import torch
from gancomp.pipeline.files import atomic

HEADER_KEY = "gancomp"
#: Where the header says the hash of its file's content.
DIGEST_KEY = "sha256"


class Header(Strict):
    """What a generator checkpoint says about itself. `ranges` are those of numbers that it reads or makes."""

    spec: GeneratorSpec
    experiment: str = ""
    stage: str = ""
    signature: str = ""
    code_version: str = __version__
    ranges: dict[Role, ValueRange] = Field(default_factory=dict)


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash over names, types, shapes and values of tensors, whatever file format carried them."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Safetensors with one metadata key of sorted JSON, which makes equal content equal bytes.

    Beside *header* it holds a hash over all, which tells a damaged file.
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    text = json.dumps({**header, DIGEST_KEY: _digest(own, header)}, sort_keys=True)
    with atomic(path) as temporary:
        temporary.write_bytes(save(own, {HEADER_KEY: text}))


def load_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a file that gancomp wrote; GancompError if it is missing, cut off, damaged or foreign.

    A file from before there was a hash is taken as it is.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise GancompError(f"{path}: no such file; run the stage that writes it first")
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise GancompError(f"{path}: not a readable safetensors file ({error}); it is cut off or damaged") from None
    header = _header(metadata)
    if header is None:
        raise GancompError(f"{path}: a safetensors file, but not one that gancomp wrote (no header)")
    digest = header.pop(DIGEST_KEY, None)
    if digest is not None and digest != _digest(tensors, header):
        raise GancompError(
            f"{path}: damaged: its content is not what was written (another sha256); delete it and run its stage "
            "again, or copy it anew"
        )
    return tensors, header


def is_own(path: Path | str) -> bool:
    """Whether *path* is a safetensors file that gancomp wrote, or one too damaged to tell."""
    from safetensors import SafetensorError, safe_open

    if Path(path).suffix != ".safetensors":
        return False
    try:
        with safe_open(Path(path), framework="numpy") as stream:
            return HEADER_KEY in (stream.metadata() or {})
    except (SafetensorError, OSError):
        return True


def read_header(path: Path | str) -> Header:
    """The header of a generator checkpoint, without its tensors and without torch."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), framework="numpy") as stream:
            header = _header(stream.metadata() or {})
    except FileNotFoundError:
        raise GancompError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, OSError) as error:
        raise GancompError(f"{path}: not a readable safetensors file ({error}); it is cut off or damaged") from None
    try:
        return Header.model_validate({name: value for name, value in (header or {}).items() if name != DIGEST_KEY})
    except ValidationError:
        raise GancompError(f"{path}: not a generator checkpoint that gancomp wrote (no header)") from None


def _header(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """What gancomp wrote about a file, if it did."""
    try:
        header = json.loads(metadata[HEADER_KEY])
    except (KeyError, json.JSONDecodeError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _digest(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> str:
    """Hash over a checkpoint's tensors and what its header says besides."""
    about = json.dumps({name: value for name, value in header.items() if name != DIGEST_KEY}, sort_keys=True)
    return hashlib.sha256(f"{tensors_sha256(tensors)}|{about}".encode()).hexdigest()
