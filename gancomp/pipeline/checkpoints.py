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
#: The header's key of the hash of the file's content.
DIGEST_KEY = "sha256"


class Header(Strict):
    """The metadata of a generator checkpoint. `ranges` are the value ranges of numeric inputs and outputs."""

    spec: GeneratorSpec
    experiment: str = ""
    stage: str = ""
    signature: str = ""
    code_version: str = __version__
    ranges: dict[Role, ValueRange] = Field(default_factory=dict)


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash over names, types, shapes and values of tensors, independent of the file format."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write safetensors with one metadata key of sorted JSON, so that equal content gives equal bytes.

    The metadata are *header* and a hash over all, which detects damaged files.
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    text = json.dumps({**header, DIGEST_KEY: _digest(own, header)}, sort_keys=True)
    with atomic(path) as temporary:
        temporary.write_bytes(save(own, {HEADER_KEY: text}))


def load_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a file of gancomp's. Raises GancompError if it is missing, truncated, damaged or foreign.

    The content of files of earlier versions without a hash is not checked.
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
        raise GancompError(f"{path}: not a readable safetensors file ({error}); it is truncated or damaged") from None
    header = _header(metadata)
    if header is None:
        raise GancompError(f"{path}: a safetensors file, but not one that gancomp wrote (no header)")
    digest = header.pop(DIGEST_KEY, None)
    if digest is not None and digest != _digest(tensors, header):
        raise GancompError(
            f"{path}: damaged: its content has another sha256 than when it was written; delete it and run its "
            "stage again, or copy it again"
        )
    return tensors, header


def is_own(path: Path | str) -> bool:
    """Whether *path* is a safetensors file of gancomp's; also True if it is unreadable."""
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
        raise GancompError(f"{path}: not a readable safetensors file ({error}); it is truncated or damaged") from None
    try:
        return Header.model_validate({name: value for name, value in (header or {}).items() if name != DIGEST_KEY})
    except ValidationError:
        raise GancompError(f"{path}: not a generator checkpoint that gancomp wrote (no header)") from None


def _header(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """gancomp's header in a file's metadata; None without one."""
    try:
        header = json.loads(metadata[HEADER_KEY])
    except (KeyError, json.JSONDecodeError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _digest(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> str:
    """Hash over a checkpoint's tensors and the other keys of its header."""
    about = json.dumps({name: value for name, value in header.items() if name != DIGEST_KEY}, sort_keys=True)
    return hashlib.sha256(f"{tensors_sha256(tensors)}|{about}".encode()).hexdigest()
