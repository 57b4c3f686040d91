"""What each convolution loses by eight bits: in the order of the network, and more where it is made to lose."""

from __future__ import annotations

import csv

import torch
from tiny_run import EXPERIMENT, Workspace
from torch import nn

from gancomp.deploy.runtimes import on_pytorch
from gancomp.measure.sensitivity import measure_sensitivity, sensitivity_of
from gancomp.nets import load_generator
from gancomp.report.sensitivity import ALL


def test_every_layer_and_all_of_them(workspace: Workspace) -> None:
    measure_sensitivity(workspace.config(), EXPERIMENT)
    folder = workspace.stage("latency")
    with (folder / "sensitivity.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    generator = load_generator(workspace.stage("export") / "model.safetensors")
    layers = [name for name, one in generator.named_modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d)]
    assert [row["layer"] for row in rows] == [*layers, ALL]
    assert all(0 < float(row["mean_8_bit_steps"]) <= float(row["max_8_bit_steps"]) for row in rows)
    assert (folder / "sensitivity.svg").read_text().startswith("<?xml")
    assert (folder / "sensitivity.png").is_file()


def test_a_layer_of_wide_range_loses_most(workspace: Workspace) -> None:
    """One weight a hundred times the others of its channel leaves them a hundredth of the steps."""
    generator = load_generator(workspace.stage("export") / "model.safetensors")
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)).numpy() * 2 - 1
    name, spoiled = next((n, one) for n, one in reversed(list(generator.named_modules())) if isinstance(one, nn.Conv2d))
    with torch.no_grad():
        spoiled.weight[:, :, 0, 0] += 100 * spoiled.weight.abs().max()
    before = on_pytorch(generator)(x[:1])
    rows = sensitivity_of(generator, x, x, "test")
    assert max(rows[:-1], key=lambda row: row.mean).layer == name
    assert (on_pytorch(generator)(x[:1]) == before).all()  # it is left as it was
