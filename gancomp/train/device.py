"""Devices and precision: for trainings by Lightning Fabric, for everything else by torch alone."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import torch

from gancomp.config.values import Precision
from gancomp.errors import GancompError
from gancomp.pipeline.provenance import processor_has_bf16

if TYPE_CHECKING:  # takes as long to import as torch
    from lightning_fabric import Fabric

Device = Literal["auto", "cpu", "cuda"]

# GPUs are looked for without starting CUDA, which reads CUDA_VISIBLE_DEVICES but once: `_take_gpus` sets it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


@dataclass(frozen=True)
class Machine:
    """The resources of a training: kind of device, number of devices (None: the configuration's), and a time limit
    (`time.monotonic()`; None: no limit)."""

    device: Device = "auto"
    devices: int | None = None
    until: float | None = None


def has_bf16(device: Device = "auto") -> bool:
    """Whether bf16 is fast on the device: a GPU that supports it, or a processor with AMX or AVX512-BF16."""
    if device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return processor_has_bf16()


@dataclass(frozen=True)
class SingleDevice:
    """One device and its precision, without Fabric: for everything but the trainings."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def single_device(precision: Precision, device: Device = "auto") -> SingleDevice:
    """A device with the same autocast to bf16 as `make_fabric` sets up."""
    return SingleDevice(take_device(device), _set_precision(precision, device))


def _set_precision(precision: Precision, device: Device) -> bool:
    """Whether to autocast to bf16."""
    bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device))
    # `precision: 32` means it: TF32 would be a third precision under its name, and autotuning changes the last bits.
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = bf16
    return bf16


def make_fabric(precision: Precision, device: Device = "auto", devices: int = 1) -> Fabric:
    """Set up *devices* devices, each with its own process, which this call starts (the same command, one rank
    each); and autocast to bf16 if *precision* says so or `auto` finds it fast.

    Raises GancompError if there are fewer GPUs.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    found = take_device(device, devices).type
    accelerator = found if device == "auto" else device
    bf16 = _set_precision(precision, device)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        # Buffers are the same on every rank without being sent: BatchNorm's statistics are those of the whole batch.
        strategy=DDPStrategy(broadcast_buffers=False) if devices > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
        # Its own launcher, also in a job of a cluster, where Fabric would count the job's tasks.
        plugins=[LightningEnvironment()],
    )
    if devices > 1:
        if accelerator == "cpu" and is_launcher():
            # Two processes of as many threads as there are cores are slower than one.
            os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // devices))
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        fabric.launch()
    return fabric


def take_device(device: Device, count: int = 1) -> torch.device:
    """The devices: GPUs that no other job has taken, or the processor. Raises GancompError if there are fewer."""
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    _take_gpus(count)
    # What computes in fp32 does so. TF32, which convolutions take by default, would be another precision by that name.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


def is_launcher() -> bool:
    """Whether this process was started by a user, not as a rank of another's training."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


# --- one device for each job -------------------------------------------------------------------

#: Held until the process ends, which frees its GPUs.
_held: list[IO[str]] = []


def _take_gpus(count: int) -> None:
    """Choose *count* GPUs that no other job of this user on this machine has taken.

    If CUDA_VISIBLE_DEVICES is set, as clusters do, nothing is chosen. If all GPUs are taken, jobs share them.
    """
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        own = claim([str(index) for index in range(torch.cuda.device_count())], count, Path(tempfile.gettempdir()))
        # Heard by torch as nothing has run on a GPU yet, and by the ranks that are started from here.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    elif torch.cuda.device_count() < count:
        raise GancompError(
            f"--devices {count}: {torch.cuda.device_count()} can be seen here "
            f"(CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}); ask for fewer, or give the job more"
        )


def claim(names: Sequence[str], count: int, folder: Path) -> list[str]:
    """*count* of the devices *names*, preferably those that no other running process has claimed in *folder*.

    Raises GancompError if there are fewer than *count* in total.
    """
    if len(names) < count:
        raise GancompError(f"--devices {count}: there are {len(names)} on this machine")
    free: list[str] = []
    for name in names:
        if len(free) == count:
            break
        stream = (folder / f"gancomp-{os.getuid()}-gpu-{name}.lock").open("a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
        else:
            _held.append(stream)
            free.append(name)
    return [*free, *(name for name in names if name not in free)][:count]
