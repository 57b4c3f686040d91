"""`gancomp compress` with a checkpoint in pytorch-CycleGAN-and-pix2pix's layout, from the file to the report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gancomp.pipeline.checkpoints import read_header
from tests.convert.foreign import Resnet, patch_gan, saved
from tests.workflow.conftest import Workspace

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent


def gancomp(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    left_out = {"SNAKEMAKE_PROFILE", "PYTHONDONTWRITEBYTECODE"}
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [str(Path(sys.executable).parent / "gancomp"), *arguments]
    return subprocess.run(command, cwd=folder, env=env, text=True, timeout=1500, capture_output=True)


def test_one_command_from_a_checkpoint_and_a_folder_to_a_compressed_generator(tiny: Workspace, tmp_path: Path) -> None:
    """In an empty folder without any configuration; a budget so tight that few subnets are left to search."""
    for part in ("downloads", "inception"):
        shutil.copytree(tiny.folder / "data" / part, tmp_path / "data" / part)
    for side in ("train", "val"):
        shutil.copytree(tiny.folder / "data/emoji-tiny" / side, tmp_path / "my pictures" / side)
    saved(Resnet((8,) * 8, 6, dropout=True), tmp_path / "latest_net_G.pth")
    saved(patch_gan(6, 8, 2), tmp_path / "latest_net_D.pth")
    arguments = ("compress", "--generator", "latest_net_G.pth", "--discriminator", "latest_net_D.pth")
    arguments += ("--data", "my pictures", "--budget", "25x", "--size", "32", "--epochs", "1", "--name", "mine")

    planned = gancomp(tmp_path, *arguments, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert not (tmp_path / "mine.yaml").exists()
    assert "Reasons" not in planned.stdout + planned.stderr
    assert "budget 25x: at most" in planned.stdout

    done = gancomp(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-10_000:]
    results = tmp_path / "results/mine"
    exported = results / "export/model.safetensors"
    assert str(exported.relative_to(tmp_path)) in done.stdout
    assert (results / "report.html").is_file()
    original = read_header(results / "original/model.safetensors").spec
    assert (original.blocks, original.size, set(original.widths)) == (6, (32, 32), {8})
    assert read_header(exported).spec.block == "separable"
    cost = json.loads((results / "benchmark/benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert cost["original"]["macs"] >= 25 * cost["finetune"]["macs"]
    assert json.loads((results / "teacher/metrics.json").read_text(encoding="utf-8"))["imported"]
    assert "imported" in (results / "tables/table.md").read_text(encoding="utf-8").lower()

    again = gancomp(tmp_path, *arguments)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr + again.stdout


def test_a_network_of_ones_own_from_its_builder_to_a_folder_of_pictures(tiny: Workspace, tmp_path: Path) -> None:
    """The module of the page that explains it, in the folder where the command runs; and what comes out of it used."""
    for part in ("downloads", "inception"):
        shutil.copytree(tiny.folder / "data" / part, tmp_path / "data" / part)
    for side in ("train", "val"):
        shutil.copytree(tiny.folder / "data/emoji-tiny" / side, tmp_path / "pictures" / side)
    page = (ROOT / "docs/own-generator.md").read_text(encoding="utf-8")
    source = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "mynets.py").write_text(source)
    scope: dict[str, Any] = {"__name__": "mynets"}
    exec(source, scope)
    torch.save(scope["build"](8, 3).state_dict(), tmp_path / "net.pth")
    own = ("--generator", "mynets:build", "--weights", "net.pth", "--arguments", '{"ngf": 8, "blocks": 3}')
    done = gancomp(
        tmp_path, "compress", *own, *("--data", "pictures", "--budget", "16x", "--size", "32", "--epochs", "1"),
        *("--name", "mine"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-10_000:]
    exported = tmp_path / "results/mine/export/model.safetensors"
    spec = read_header(exported).spec
    assert spec.network
    assert (spec.family, spec.block, spec.network.builder) == ("module", "separable", "mynets:build")
    table = (tmp_path / "results/mine/tables/table.md").read_text(encoding="utf-8")
    assert "Uniform narrow, widths " in table
    cost = json.loads((tmp_path / "results/mine/benchmark/benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert cost["original"]["macs"] >= 16 * cost["finetune"]["macs"]

    # A target of the workflow passes the builder that the configuration names.
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "mine.yaml"]
    onnx = subprocess.run(
        [*command, "--cores", "1", "results/mine/export/model.onnx"], cwd=tmp_path, text=True, capture_output=True
    )
    assert onnx.returncode == 0, onnx.stdout + onnx.stderr
    assert (tmp_path / "results/mine/export/model.onnx.json").is_file()

    inputs = tmp_path / "inputs"
    inputs.mkdir()
    shutil.copy(next((tmp_path / "pictures/val").rglob("*.png")), inputs / "one.png")
    unnamed = gancomp(tmp_path, "apply", str(exported), "inputs")
    assert unnamed.returncode == 1
    assert "built by mynets:build, which is code that runs when it is loaded" in unnamed.stderr
    named = gancomp(tmp_path, "--builder", "mynets:build", "apply", str(exported), "inputs", "--out", "out")
    assert named.returncode == 0, named.stderr
    assert (tmp_path / "out/one.png").is_file()
