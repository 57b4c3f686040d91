"""Exports are what PyTorch computes, say so, and are not written where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir
import pytest
import torch
from torch import nn

from gancomp.deploy import formats
from gancomp.deploy.formats import SUFFIX, Differences, export_generator, export_path, random_inputs
from gancomp.deploy.runtimes import on_pytorch, open_model
from gancomp.errors import GancompError
from gancomp.nets import Generator, build_generator, load_generator, save_generator
from gancomp.pipeline.files import file_sha256
from gancomp.spec import GeneratorSpec

SPECS = {
    "resnet": GeneratorSpec(widths=(4, 6, 4, 8, 6, 4, 4, 4), block="separable", size=(32, 48), in_channels=1),
    "unet": GeneratorSpec(family="unet", widths=4, size=32, downs=5, norm="batch"),
    "spade": GeneratorSpec(family="spade", widths=2, size=64, in_channels=4, upsampling="normal"),
    # The innermost level needs more than one pixel to have a variance.
    "unet by each picture's statistics": GeneratorSpec(
        family="unet", widths=4, size=64, downs=5, norm="batch", statistics="batch"
    ),
}


def checkpoint(folder: Path, family: str) -> Path:
    """A generator whose running statistics are no identity: a BatchNorm folded wrongly would show."""
    torch.manual_seed(0)
    generator = build_generator(SPECS[family])
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 3)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # Activations of the order of 1 everywhere: near 0 every difference would vanish.
            nn.init.kaiming_normal_(module.weight)
    path = folder / "model.safetensors"
    save_generator(path, generator, experiment="mine", stage="export", signature="s")
    return path


@pytest.mark.parametrize("to", ["onnx", "openvino", "torch", "tensorrt"])
@pytest.mark.parametrize("family", SPECS)
def test_an_export_is_what_pytorch_computes(tmp_path: Path, family: str, to: formats.Format) -> None:
    model = checkpoint(tmp_path, family)
    real = random_inputs(SPECS[family], SPECS[family].size, 3)[1:]
    out = export_generator(model, to, real=real)
    assert out == export_path(model, to)
    about = json.loads(out.with_name(out.name + ".json").read_text())
    assert about["source_sha256"] == file_sha256(model)
    assert about["sha256"] == file_sha256(out)
    found = about["differences_in_8_bit_steps"]
    assert {name: one["pictures"] for name, one in found.items()} == {"random": 2, "real": 2}
    assert max(one["max"] for one in found.values()) <= 1
    assert str(tmp_path) not in out.read_text(errors="replace")
    if to == "torch":
        return
    opened = open_model(out, numbers="exact")
    assert opened.spec == SPECS[family]
    assert opened.size == SPECS[family].size
    expected = on_pytorch(load_generator(model))
    assert np.ptp(expected(real)) > 0.5
    assert Differences.between(expected, opened.run, real).max <= 1


@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("family", ["resnet", "spade"])
def test_sizes_left_open(tmp_path: Path, family: str, to: formats.Format) -> None:
    model = checkpoint(tmp_path, family)
    opened = open_model(export_generator(model, to, tmp_path / f"open{SUFFIX[to]}", dynamic=True), numbers="exact")
    assert opened.size is None
    larger = random_inputs(SPECS[family], (96, 128), 1)
    assert Differences.between(on_pytorch(load_generator(model)), opened.run, larger).max <= 1


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_half_precision_is_half_as_large_and_nearly_the_same(tmp_path: Path, to: formats.Format) -> None:
    model = checkpoint(tmp_path, "unet")
    sizes = {}
    for precision in ("fp32", "fp16"):
        out = export_generator(model, to, precision=precision)
        about = json.loads(out.with_name(out.name + ".json").read_text())
        sizes[precision] = about["bytes"]
        assert about["precision"] == precision
    assert 0 < about["differences_in_8_bit_steps"]["random"]["max"] <= 16
    assert sizes["fp16"] < 0.65 * sizes["fp32"]


def test_8_bits(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "resnet")
    with pytest.raises(GancompError, match="needs a data set to calibrate"):
        export_generator(model, "onnx", precision="int8")
    inputs = random_inputs(SPECS["resnet"], SPECS["resnet"].size, 8)
    out = export_generator(model, "onnx", precision="int8", calibration=inputs)
    assert out.name == "model-int8.onnx"
    assert any(node.op_type == "DequantizeLinear" for node in onnx_ir.load(out).graph)
    found = Differences.between(on_pytorch(load_generator(model)), open_model(out).run, inputs)
    assert 0 < found.mean <= 8


def test_batch_norm_is_folded_where_a_convolution_comes_before_it(tmp_path: Path) -> None:
    def batch_norms(family: str) -> int:
        out = export_generator(checkpoint(tmp_path, family), "onnx", tmp_path / f"{family}.onnx")
        return sum(node.op_type == "BatchNormalization" for node in onnx_ir.load(out).graph)

    assert batch_norms("unet") == 0
    # Of the 18 of a SPADE generator, 11 read a sum or a doubled picture, which others read too.
    assert batch_norms("spade") == 11


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_last_convolution_is_folded_where_the_size_is_known(tmp_path: Path, dynamic: bool) -> None:
    out = export_generator(checkpoint(tmp_path, "resnet"), "onnx", dynamic=dynamic)
    last = [node.op_type for node in onnx_ir.load(out).graph][-3:]
    assert last == (["Pad", "Conv", "Tanh"] if dynamic else ["Conv", "DepthToSpace", "Tanh"])


def test_a_u_nets_last_convolution_is_folded(tmp_path: Path) -> None:
    out = export_generator(checkpoint(tmp_path, "unet"), "onnx")
    assert [node.op_type for node in onnx_ir.load(out).graph][-4:] == ["Conv", "DepthToSpace", "Slice", "Tanh"]


def test_equal_models_export_to_equal_bytes(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "resnet")
    first = export_generator(model, "onnx", tmp_path / "a.onnx").read_bytes()
    assert export_generator(model, "onnx", tmp_path / "b.onnx").read_bytes() == first


def test_a_mismatch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checkpoint(tmp_path, "resnet")
    honest = formats.PROGRAMS["onnx"]

    def wrong(generator: Generator, precision: formats.Precision, dynamic: bool) -> formats.Program:
        generator.get_parameter("output.4.bias").data.add_(0.05)
        program = honest(generator, precision, dynamic)
        generator.get_parameter("output.4.bias").data.sub_(0.05)
        return program

    monkeypatch.setitem(formats.PROGRAMS, "onnx", wrong)
    with pytest.raises(GancompError, match="not written: on random inputs"):
        export_generator(model, "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_foreign_name_or_foreign_pictures_are_refused(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "resnet")
    with pytest.raises(GancompError, match=r"ends in \.onnx"):
        export_generator(model, "onnx", tmp_path / "model.pb")
    with pytest.raises(GancompError, match="executorch has no fp16 here: XNNPACK keeps"):
        export_generator(model, "executorch", precision="fp16")
    with pytest.raises(GancompError, match="coreml is exported with one size"):
        export_generator(model, "coreml", dynamic=True)
    with pytest.raises(GancompError, match=r"3×32×48 .* reads 1×32×48"):
        export_generator(model, "onnx", real=np.zeros((1, 3, 32, 48), np.float32))


def test_the_difference_is_in_8_bit_steps() -> None:
    x = np.zeros((2, 1, 2, 2), np.float32)
    found = Differences.between(lambda x: x, lambda x: x + 2 / 255, x)
    assert found.pictures == 2
    assert found.max == pytest.approx(1)
    assert found.mean == pytest.approx(1)
