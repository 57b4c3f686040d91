"""How fast networks run on this machine: a few steps on random weights and pictures, within a limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gancomp.nets.layers import lay_out
from gancomp.pipeline.provenance import processor
from gancomp.train.device import SingleDevice

#: MACs of a measured pass, at most where pictures and batches can be made smaller: a fraction of a second.
MACS = {"cpu": 3e9, "cuda": 3e11}


@dataclass(frozen=True)
class Network:
    """A network to measure: built for pictures (*channels*, height, width) of some size, which may be made smaller
    down to a *least* side. *trained*: whether it takes training steps, or forward passes alone."""

    build: Callable[[tuple[int, int]], nn.Module]
    channels: int
    size: tuple[int, int]
    least: int
    trained: bool = False


@dataclass(frozen=True)
class Speed:
    """Seconds for a MAC of one pass, and the bytes of activations that a pass keeps of one picture of full size."""

    seconds: float
    activations: float


def measure(network: Network, batch: int, on: SingleDevice, seconds: float) -> Speed:
    """Run *network* on batches of *batch*, and smaller ones where that is slow, for about *seconds* and twice at least;
    the fastest counts. A training step is forward, backward and Adam, and counts three passes.
    """
    batch, size = _affordable(network, batch, MACS[on.device.type])
    macs = batch * _macs(network, size)
    module = network.build(size)
    if next(module.parameters()).is_meta:
        module = module.to_empty(device="cpu")
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    lay_out(module)
    module = module.to(on.device).train(network.trained)
    x = torch.rand(batch, network.channels, *size, device=on.device)
    optimizer = torch.optim.Adam(module.parameters()) if network.trained else None

    def step() -> float:
        began = time.perf_counter()
        _pass(module, x, on, optimizer)
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    kept = _kept(lambda: _pass(module, x, on, optimizer))  # also the first pass, which chooses kernels
    ends, times = time.perf_counter() + seconds, [step()]
    while time.perf_counter() < ends:
        times.append(step())
    passes = 3 if optimizer else 1
    whole = network.size[0] * network.size[1] / (size[0] * size[1])
    return Speed(min(times) / (passes * macs), kept * whole / batch)


def described(on: SingleDevice) -> str:
    """The device, its threads and the precision, in a few words."""
    digits = "bf16" if on.bf16 else "fp32"
    if on.device.type == "cuda":
        return f"{torch.cuda.get_device_name()} in {digits}"
    return f"{processor()} (threads: {torch.get_num_threads()}) in {digits}"


def _pass(module: nn.Module, x: Tensor, on: SingleDevice, optimizer: torch.optim.Optimizer | None) -> None:
    with torch.set_grad_enabled(optimizer is not None), on.autocast():
        made = [leaf.float().mean() for leaf in tree_leaves(module(x))]
    if optimizer:
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(made).sum())
        optimizer.step()


def _affordable(network: Network, batch: int, most: float) -> tuple[int, tuple[int, int]]:
    """The batch, and the size of its pictures, halved until a pass takes at most so many MACs, if they can be."""
    size = network.size
    while batch > 2 and batch * _macs(network, size) > most:
        batch //= 2
    halved = (size[0] // 2, size[1] // 2)
    while (
        batch * _macs(network, size) > most
        and min(halved) >= network.least
        and not any(side % network.least for side in halved)
    ):
        size, halved = halved, (halved[0] // 2, halved[1] // 2)
    return batch, size


def _macs(network: Network, size: tuple[int, int]) -> float:
    """Of one picture of *size*."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.build(size)(torch.empty(1, network.channels, *size))
    return float(counter.get_total_flops()) / 2


def _kept(run: Callable[[], None]) -> float:
    """The bytes that *run* keeps for its backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return float(sum(kept.values()))
