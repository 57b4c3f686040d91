"""Devices and precision, with Fabric and without it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gancomp.config.values import Precision
from gancomp.train.device import make_fabric, single_device


@pytest.mark.parametrize("module", ["train.stages", "search.scores", "measure.evaluate", "deploy.formats"])
def test_a_stage_starts_without_fabric(module: str) -> None:
    """Fabric takes as long to import as torch, and only a training needs it."""
    code = (
        f"import sys, gancomp.{module}; sys.exit('lightning_fabric' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_single_device_computes_as_fabric_does(precision: Precision) -> None:
    network, x = torch.nn.Conv2d(3, 5, 3), torch.rand(2, 3, 8, 8)
    alone, fabric = single_device(precision, "cpu"), make_fabric(precision, "cpu")
    with alone.autocast():
        own = network(x)
    with fabric.autocast():
        theirs = network(x)
    assert own.dtype == theirs.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert torch.equal(own, theirs)
    assert alone.device == fabric.device
