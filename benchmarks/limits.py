"""What a machine can do at most, measured, and what a piece of work must at least do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from benchmarks.throughput import Clock

#: Sides of the square matrices whose product is timed, and floats of the array that is copied (256 MB).
SIDE, COPIED = 3072, 64 << 20
TIMES = 20
aten: Any = torch.ops.aten


@dataclass(frozen=True)
class Machine:
    """The best of many tries: floating-point operations a second of a matrix product, bytes a second of a copy."""

    flops_fp32: float
    flops_bf16: float
    bytes: float

    @classmethod
    def measure(cls, clock: Clock = time.perf_counter) -> Machine:
        def product(kind: torch.dtype) -> float:
            a, b = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
            return 2 * SIDE**3 / best(lambda: a @ b, clock)

        source = torch.randn(COPIED)
        target = torch.empty_like(source)
        copied = 2 * source.nbytes / best(lambda: target.copy_(source), clock)
        return cls(product(torch.float32), product(torch.bfloat16), copied)

    def flops(self, kind: torch.dtype) -> float:
        return self.flops_bf16 if kind == torch.bfloat16 else self.flops_fp32


def best(work: Callable[[], object], clock: Clock) -> float:
    """Seconds by *clock* of the fastest of a number of runs, after one to warm up."""
    work()
    times = []
    for _ in range(TIMES):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


@dataclass
class Least:
    """The least seconds that work takes on a machine where every operation reaches the limit that binds it."""

    by_flops: float = 0.0
    by_bytes: float = 0.0

    @property
    def seconds(self) -> float:
        return self.by_flops + self.by_bytes

    def of(self, units: float) -> Least:
        """Of one of so many *units*."""
        return Least(self.by_flops / units, self.by_bytes / units)

    @property
    def limit(self) -> str:
        """What binds the larger share of it."""
        return "FLOP/s" if self.by_flops >= self.by_bytes else "bytes/s"


class Counting(TorchDispatchMode):
    """Adds to `least` what the operations within this block must do on *machine*, by their convolutions' arithmetic or
    by the bytes that they read and write, whichever takes longer. Bytes count as if no cache held them."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine, self.least = machine, Least()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not _is_view(func):
            tensors = [*_tensors((args, kwargs)), *_tensors(out)]
            by_bytes = sum(tensor.nbytes for tensor in tensors) / self.machine.bytes
            flops = _flops(func, args, out)
            by_flops = flops / self.machine.flops(args[0].dtype) if flops else 0.0
            if by_flops > by_bytes:
                self.least.by_flops += by_flops
            else:
                self.least.by_bytes += by_bytes
        return out


def _flops(func: Any, args: Any, out: Any) -> int:
    """Of a convolution or its gradients; of all else they are few, and it is bound by bytes."""
    if func is aten.convolution.default:
        x, weight, transposed = args[0], args[1], args[6]
        return 2 * int((x if transposed else out).numel() * weight[0].numel())
    if func is aten.convolution_backward.default:
        gradient, x, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
        return 2 * int((x if transposed else gradient).numel() * weight[0].numel()) * sum(wanted[:2])
    return 0


def _is_view(func: Any) -> bool:
    return any(given.alias_info and not given.alias_info.is_write for given in func._schema.returns)


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in tree_flatten(values)[0] if isinstance(value, Tensor))
