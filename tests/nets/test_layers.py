"""Batch normalisation over one process and over several."""

from __future__ import annotations

import multiprocessing
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from gancomp.nets.layers import BatchNorm

RANKS, CHANNELS = 2, 3
SETTINGS: list[dict[str, Any]] = [{}, {"affine": False, "momentum": None}]


def batch() -> tuple[Tensor, Tensor]:
    """Activations far from zero, and what their outputs are multiplied with to give a loss."""
    draw = torch.Generator().manual_seed(0)
    shape = (6, CHANNELS, 4, 5)
    x = 50 + 3 * torch.randn(shape, generator=draw, dtype=torch.float64)
    return x, torch.randn(shape, generator=draw, dtype=torch.float64)


def run(norm: nn.BatchNorm2d, x: Tensor, towards: Tensor) -> dict[str, Tensor]:
    """Two steps' outputs, gradients and running statistics."""
    with torch.no_grad():
        if norm.affine:
            norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
            norm.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    x = x.clone().requires_grad_()
    out = norm(x) + norm(x.square())
    (out.tanh() * towards).sum().backward()
    assert x.grad is not None
    found = {"out": out.detach(), "x": x.grad}
    found |= {name: parameter.grad for name, parameter in norm.named_parameters() if parameter.grad is not None}
    return found | {f"buffer {name}": value for name, value in norm.named_buffers()}


def one_rank(rank: int, folder: str) -> None:
    """What one of the processes does: its share of the batch, its results in a file."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )
    mine = slice(None, 2) if rank == 0 else slice(2, None)  # shares need not be equal
    x, towards = batch()
    found = [run(BatchNorm(CHANNELS, **settings).double(), x[mine], towards[mine]) for settings in SETTINGS]
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_are_one_batch(tmp_path: Path) -> None:
    """In double precision, where nothing but rounding may differ."""
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=one_rank, args=(rank, str(tmp_path))) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=120)
        assert process.exitcode == 0
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]

    for index, settings in enumerate(SETTINGS):
        shares = [own[index] for own in found]
        expected = run(nn.BatchNorm2d(CHANNELS, **settings).double(), *batch())
        for name in expected:
            if name in ("out", "x"):
                together = [torch.cat([share[name] for share in shares])]
            elif name.startswith("buffer"):
                together = [share[name] for share in shares]
            else:  # each rank has its share of a parameter's gradient
                together = [torch.stack([share[name] for share in shares]).sum(dim=0)]
            for own in together:
                torch.testing.assert_close(own, expected[name], rtol=1e-9, atol=1e-11)


def test_alone_it_is_batch_normalisation() -> None:
    x, towards = batch()
    ours, theirs = (run(kind(CHANNELS).double(), x, towards) for kind in (BatchNorm, nn.BatchNorm2d))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
