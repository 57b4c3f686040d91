"""The processes (ranks) that train one network, each with its share of every batch. One process is a single rank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

_apart = False


def count() -> int:
    """Number of ranks; one if this process works alone or within `apart`."""
    together = distributed.is_available() and distributed.is_initialized() and not _apart
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """This process's number among the ranks; 0 if it works alone or within `apart`."""
    return distributed.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this is the rank that writes files and prints."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


@contextmanager
def apart() -> Iterator[None]:
    """Within the block every rank works alone: all compute the same on the same pictures, and nothing is reduced."""
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


def share(batch: int) -> slice:
    """This rank's share of *batch* pictures. Raises ValueError if it cannot be split equally."""
    each, rest = divmod(batch, count())
    if rest:
        raise ValueError(f"a batch of {batch} cannot be split equally over {count()} ranks")
    first = each * rank()
    return slice(first, first + each)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all ranks; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


def summed(x: Tensor) -> Tensor:
    """The sum of *x* over all ranks, differentiable."""
    total: Tensor = _Sum.apply(x) if count() > 1 else x
    return total


def averaged(x: Tensor) -> Tensor:
    """The mean of *x* over all ranks."""
    return summed(x) / count()


def gathered(x: Tensor) -> Tensor:
    """The whole batch, from the shares (n, …) of all ranks, without gradients."""
    if count() == 1:
        return x.detach()
    shares = [torch.empty_like(x) for _ in range(count())]
    distributed.all_gather(shares, x.detach().contiguous())
    return torch.cat(shares)


def anywhere(flag: bool, device: torch.device) -> bool:
    """Whether *flag* is set on any rank; all ranks return the same."""
    return bool(summed(torch.tensor(float(flag), device=device)) > 0) if count() > 1 else flag


def leave_the_rest_to_the_first() -> None:
    """Continue on the first rank alone; the other processes exit successfully."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    first = is_first()
    distributed.barrier()
    distributed.destroy_process_group()
    if not first:
        raise SystemExit(0)
