"""Published weight files: fetched, verified, and read as tensors only."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from gancomp.data.download import fetch_file
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

Tensors = dict[str, torch.Tensor]

#: VGG19, the largest file, has 575 MB.
MAX_BYTES = 1 << 30


def fetch_torchvision(url: str, downloads: Path) -> Path:
    """The file of *url* in *downloads*, fetched if it is missing.

    By torchvision's convention its name ends in the first eight digits of its sha256, which are checked.
    Raises GancompError if it cannot be fetched, or has another hash.
    """
    path = downloads / url.rsplit("/", 1)[1]
    prefix = path.stem.rsplit("-", 1)[1]

    def check(file: Path) -> None:
        found = file_sha256(file)
        if not found.startswith(prefix):
            raise GancompError(f"{path}: its sha256 is {found[:16]}…, not {prefix}…: damaged or tampered with")

    fetch_file([url], path, check=check, max_bytes=MAX_BYTES)
    return path


def read_tensors(source: Path | bytes, name: str) -> Tensors:
    """The tensors of a PyTorch file by name, without the prefix `module.` of parallel training.

    A `state_dict` entry of a checkpoint is used if there is one. No code in the file is run. Raises GancompError
    with *name* if the file contains anything but named tensors.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        content = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # the errors of torch.load on damaged files have no common base
        raise GancompError(f"{name}: not readable as weights ({type(error).__name__}: {error})") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        raise GancompError(f"{name}: holds {type(content).__name__}, not tensors by name; it is not a file of weights")
    return {key.removeprefix("module."): value for key, value in content.items()}


def read_weights(path: Path) -> Tensors:
    """The tensors of a `.safetensors` file, or of a PyTorch file as `read_tensors` reads it; raises as that."""
    if path.suffix != ".safetensors":
        return read_tensors(path, str(path))
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise GancompError(f"{path}: not readable as weights ({error}); it is truncated or damaged") from None


def pick(tensors: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor], name: str) -> Tensors:
    """The *tensors* for a network with the state dict *like*, checked for names and shapes.

    Counters of batches may be missing, as in old files. Raises GancompError with *name* and the tensors that are
    missing, unexpected, or of another shape.
    """
    needed = {key for key in like if not key.endswith("num_batches_tracked")}
    faults = {
        "missing": sorted(needed - tensors.keys()),
        "unexpected": sorted(tensors.keys() - like.keys()),
        "of another shape": sorted(key for key in needed & tensors.keys() if tensors[key].shape != like[key].shape),
    }
    if any(faults.values()):
        told = "; ".join(f"{fault}: {_some(keys)}" for fault, keys in faults.items() if keys)
        raise GancompError(f"{name}: not the weights of this network ({told})")
    return {key: tensors.get(key, torch.zeros_like(like[key], device="cpu")) for key in like}


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
