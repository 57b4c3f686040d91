"""Files that others read: atomic writes, self-describing checkpoints, provenance."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gancomp import __version__
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec, Strict

if TYPE_CHECKING:
    import torch

HEADER_KEY = "gancomp"


class Header(Strict):
    """What a generator checkpoint says about itself."""

    spec: GeneratorSpec
    experiment: str = ""
    stage: str = ""
    signature: str = ""
    code_version: str = __version__


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside *path* that takes its name when the block ends well, and is removed otherwise.

    A reader never sees half a file. Raises GancompError naming *path* when the disk is full or refuses the write.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())  # a power loss must not leave the name without the content
        temporary.chmod(0o644 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path | str, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, data: Any) -> None:
    write_text(path, json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Raises GancompError naming *path* when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GancompError(f"{path}: missing; run the stage that writes it first") from None
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GancompError(f"{path}: not valid JSON ({error}); delete it and run its stage again") from None


def write_csv(path: Path | str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as CSV in the order given; a key outside *columns* raises ValueError."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def file_sha256(path: Path | str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash over names, types, shapes and values of tensors, whatever file format carried them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.view(-1).numpy().tobytes())
    return digest.hexdigest()


# --- checkpoints -------------------------------------------------------------------------------


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Safetensors with one metadata key of sorted JSON, which makes equal content equal bytes."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    with atomic(path) as temporary:
        try:
            save_file(own, temporary, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)})
        except SafetensorError as error:  # what a full disk is to safetensors
            raise GancompError(f"{path}: cannot be written: {error}") from error


def load_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a file that gancomp wrote; GancompError if it is missing, cut off or foreign."""
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
    try:
        header = json.loads(metadata[HEADER_KEY])
    except (KeyError, json.JSONDecodeError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise GancompError(f"{path}: a safetensors file, but not one that gancomp wrote (no header)")
    return tensors, header


def read_header(path: Path | str) -> Header:
    """The header of a generator checkpoint, without its tensors and without torch."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), framework="numpy") as stream:
            metadata = stream.metadata() or {}
        return Header.model_validate_json(metadata[HEADER_KEY])
    except FileNotFoundError:
        raise GancompError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, OSError) as error:
        raise GancompError(f"{path}: not a readable safetensors file ({error}); it is cut off or damaged") from None
    except (KeyError, ValidationError):
        raise GancompError(f"{path}: not a generator checkpoint that gancomp wrote (no header)") from None


# --- provenance --------------------------------------------------------------------------------


@functools.cache
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout."""
    here = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{described}"


def processor() -> str:
    """The processor's name, with AMX said where it has it."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return f"{name or platform.machine()}{' (AMX)' if 'amx_bf16' in info else ''}"


def provenance() -> dict[str, Any]:
    """Where and with what a result was made; goes into metrics.json and tables."""
    from importlib.metadata import version

    return {
        "code_version": code_version(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
