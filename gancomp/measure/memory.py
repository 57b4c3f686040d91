"""Memory: what this process held at most, and the activations alive at once during one forward pass."""

from __future__ import annotations

import resource
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancomp.nets.generator import Generator


def peak_bytes() -> int:
    """The most memory that this process has held. Linux's rusage also counts what its parent held when it began."""
    status = Path("/proc/self/status")
    if status.is_file():
        kibibytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kibibytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# torch declares no types for TorchDispatchMode.
class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations allocate, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()
        if not pointer or pointer in self.seen:
            return
        self.seen.add(pointer)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, pointer, size)

    def _free(self, pointer: int, size: int) -> None:
        self.seen.discard(pointer)
        self.live -= size


@torch.inference_mode()
def activation_bytes(generator: Generator, picture: Tensor) -> int:
    """Peak bytes of activations for one picture (1, c, h, w) in PyTorch eager; weights and the picture not counted."""
    counter = _LiveBytes()
    counter.seen.update(tensor.untyped_storage().data_ptr() for tensor in (*generator.parameters(), picture))
    with counter:
        generator(picture)
    return counter.peak
