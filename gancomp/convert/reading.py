"""Read checkpoints of other projects as tensors by name, without running their code."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

#: Larger files are refused before reading; the largest known generator of these families has 0.4 GB.
MAX_BYTES = 4 << 30
MAX_TENSORS = 10_000
COUNTER = "num_batches_tracked"

Tensors = dict[str, Tensor]
Role = Literal["generator", "discriminator"]
#: Usual names of the networks in training code.
_NAMES: dict[Role, str] = {"generator": "G|gen|generator", "discriminator": "D|disc|discriminator"}


class Refused(Exception):
    """A file is refused. The message contains what was found and what to do, but not the file's name."""


def read_state(path: Path, role: Role = "generator", key: str | None = None) -> Tensors:
    """The state dict in *path*, `.safetensors` or as `torch.save` writes it: float32 tensors, int64 counters, names
    without the `module.` of parallel training.

    From a dictionary of several networks, returns the one at *key* (`netG`, `models.G`), or the one with a usual name
    of its *role*. No code in the file runs (`weights_only`), and its tensors use at most MAX_BYTES of memory.
    Raises Refused if the file is missing, too large or damaged, contains anything but tensors by name, or values that
    are not finite, and, with the choices, if several networks match or none has the name *key*.
    """
    _check_file(path)
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the exceptions of torch.load for damaged files have no common base
        raise Refused(_unreadable(error)) from None
    content = _unwrapped(content, role, key)
    _check_content(content)
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): _plain(name, tensor) for name, tensor in content.items()}


def some(names: Sequence[str]) -> str:
    """The first three of *names*, and the number of others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(_short(name) for name in names[:3]) + more


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise Refused("is not a file")
        if size > MAX_BYTES:
            raise Refused(f"has {size:,} bytes; a generator has at most {MAX_BYTES:,}")
        if not zipfile.is_zipfile(path):
            return  # the format before PyTorch 1.6
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(re.fullmatch(r"[^/]*/(constants\.pkl|code/.*)", member.filename) for member in members):
                raise Refused(
                    "is TorchScript, a program and not a state dict; in its original environment save its tensors: "
                    "torch.save(torch.jit.load(FILE).state_dict(), OUT)"
                )
    except FileNotFoundError:
        raise Refused("no such file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise Refused(f"cannot be read: {error}") from None
    # PyTorch stores members uncompressed: compressed ones, or ones larger than the file together, are a zip bomb.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
        sum(member.file_size for member in members) > size
    ):
        raise Refused("would expand when it is read, which no file of PyTorch does")


def _unreadable(error: Exception) -> str:
    # The function that the file would call; the rest of PyTorch's message says how to allow it.
    if wanted := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"wants to run {_short(wanted[1])} when it is read; a generator's state dict contains only tensors"
    return f"not a state dict that PyTorch can read ({type(error).__name__}): truncated, damaged or of another kind"


def _unwrapped(content: Any, role: Role, key: str | None) -> Any:
    """The dictionary of tensors in a training checkpoint, up to three levels deep; of several, by *key* or *role*."""
    found = {name: tensors for name, tensors in _dictionaries(content, "", 3) if _tensors_alone(tensors)}
    if key is not None:
        if key not in found:
            raise Refused(f"has no network {key!r}; it contains: {', '.join(map(_short, found)) or 'none'}")
        return found[key]
    if not isinstance(content, Mapping) or _tensors_alone(content) or not found:
        return content
    if len(found) > 1:
        names = [name for name in found if re.search(rf"(^|\.)(net_?)?({_NAMES[role]})$", name)]
        if len(names) != 1:
            raise Refused(f"contains several networks ({', '.join(map(_short, found))}); choose one: --key NAME")
        return found[names[0]]
    return next(iter(found.values()))


def _dictionaries(content: Any, name: str, depth: int) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    if isinstance(content, Mapping) and len(content) <= MAX_TENSORS and depth:
        for key, value in content.items():
            if isinstance(key, str) and isinstance(value, Mapping):
                yield f"{name}{key}", value
                yield from _dictionaries(value, f"{name}{key}.", depth - 1)


def _tensors_alone(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(_is_tensor(name, value) for name, value in content.items())


def _check_content(content: Any) -> None:
    if not isinstance(content, Mapping):
        raise Refused(f"contains a {type(content).__name__}, not tensors by name; save the generator's state_dict()")
    if not content or len(content) > MAX_TENSORS:
        raise Refused(f"contains {len(content):,} entries, not the tensors of a generator")
    if nested := [str(name) for name, value in content.items() if isinstance(value, Mapping)]:
        raise Refused(f"contains nested dictionaries ({some(nested)}); save only the generator's state_dict()")
    if others := [str(name) for name, value in content.items() if not _is_tensor(name, value)]:
        raise Refused(f"contains more than tensors by name ({some(others)}); save only the generator's state_dict()")
    # With strides of 0 a few bytes can expand to any size.
    if sum(tensor.numel() * tensor.element_size() for tensor in content.values()) > MAX_BYTES:
        raise Refused(f"its tensors would need more than {MAX_BYTES:,} bytes")


def _is_tensor(name: Any, value: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and (value.is_floating_point() or (value.dtype == torch.int64 and name.endswith(COUNTER)))
    )


def _plain(name: str, tensor: Tensor) -> Tensor:
    """A copy in separate memory, because tensors of a file may share theirs."""
    dtype = torch.int64 if name.endswith(COUNTER) else torch.float32
    plain = tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)
    if not torch.isfinite(plain).all():
        raise Refused(f"{_short(name)} contains values that are not finite: its training diverged")
    return plain


def _short(name: str) -> str:
    """A name from a file, printable and bounded in length."""
    return name if len(name) <= 80 and name.isprintable() else repr(name[:80])
