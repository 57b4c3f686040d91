"""Device and precision, by Lightning Fabric."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

from gancomp.config import Precision

Device = Literal["auto", "cpu", "cuda"]


def has_bf16(device: Device = "auto") -> bool:
    """Whether bf16 is fast there: a GPU that supports it, or a processor with AMX or AVX512-BF16."""
    if device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def make_fabric(precision: Precision, device: Device = "auto") -> Fabric:
    """One device, and autocast to bf16 where *precision* asks for it or `auto` finds it fast."""
    bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device))
    accelerator = "cuda" if device == "auto" and torch.cuda.is_available() else device
    if accelerator == "auto":
        accelerator = "cpu"
    # `precision: 32` means it: TF32 would be a third precision under its name, and autotuning changes the last bits.
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = bf16
    return Fabric(accelerator=accelerator, devices=1, precision="bf16-mixed" if bf16 else "32-true")
