"""Exports for phones and boards: compared with PyTorch, and opened again by the runtimes that are installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from needed import missing
from onnx import TensorProto, helper
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.deploy import formats
from gancomp.deploy.apply import apply_folder
from gancomp.deploy.formats import EXPORTERS, Differences, Format, export_generator, random_inputs
from gancomp.deploy.formats.plain import plain_program
from gancomp.deploy.formats.program import write_with_note
from gancomp.deploy.formats.tensorrt import refuse_what_tensorrt_lacks
from gancomp.deploy.runtimes import on_pytorch, open_model
from gancomp.errors import GancompError
from gancomp.extras import installed
from gancomp.nets import build_generator, load_generator, save_generator
from gancomp.spec import GeneratorSpec
from tests.deploy.test_formats import SPECS, checkpoint

MODULES = {"litert": "litert_torch", "executorch": "executorch", "coreml": "coremltools"}
#: Instance norm, reflection padding, and transposed convolutions, in as few blocks as there may be.
RESNET = GeneratorSpec(widths=(4, 6, 4, 8, 6, 4, 4, 4), block="separable", size=16, in_channels=1, blocks=3)


def needs(to: str) -> None:
    if not installed(MODULES[to]):
        missing("mobile", f"{MODULES[to]} is not installed (gancomp[mobile])")


def resnet(folder: Path) -> Path:
    torch.manual_seed(0)
    generator = build_generator(RESNET)
    for module in generator.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
    path = folder / "model.safetensors"
    save_generator(path, generator, experiment="mine", stage="export", signature="s")
    return path


class HardLayers(nn.Module):
    """Layers that the runtimes of phones lack."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(2, affine=True)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.up = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.plain = nn.InstanceNorm2d(2)
        self.batch = nn.BatchNorm2d(2, affine=False)
        self.batch.running_mean = torch.tensor([1.0, -2.0])
        self.batch.running_var = torch.tensor([0.5, 3.0])

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (3, 2, 0, 4), mode="reflect")
        up: Tensor = self.up(self.norm(padded))
        out: Tensor = self.batch(F.instance_norm(self.plain(up) + 100))
        return out


@pytest.mark.parametrize("transposed", [True, False])
def test_the_plain_form_computes_the_same(transposed: bool) -> None:
    torch.manual_seed(0)
    module, x = HardLayers().eval(), torch.randn(1, 2, 7, 9)
    program = plain_program(module, x, transposed=transposed)
    names = " ".join(str(node.target) for node in program.graph.nodes)
    assert "reflection" not in names
    assert "norm" not in names.replace("norm.weight", "").replace("norm.bias", "").replace("norm_", "")
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), module(x), atol=1e-5, rtol=0)
    paddings = [node.args[4] for node in program.graph.nodes if "convolution" in str(node.target)]
    assert paddings == [[1, 1] if transposed else [0, 0]]


@pytest.mark.parametrize(("size", "exact"), [((4, 3), True), ((8, 6), True), ((16, 12), False), ((6, 6), False)])
def test_smaller_by_whole_factors_is_a_slice(size: tuple[int, int], exact: bool) -> None:
    """Every other change of size stays what it was."""

    class Nearest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(x, size=size, mode="nearest")

    x = torch.randn(1, 2, 8, 6)
    program = plain_program(Nearest(), x)
    torch.testing.assert_close(program.module()(x), Nearest()(x), atol=0, rtol=0)
    assert any("upsample" in str(node.target) for node in program.graph.nodes) is not exact


def test_a_note_lies_behind_the_content(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.tflite", "b.tflite")]
    for path in paths:
        write_with_note(path, b"content", "{}")
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"content")
    with pytest.raises(GancompError, match="was not exported by gancomp"):
        open_model(paths[0])


@pytest.mark.parametrize("to", MODULES)
def test_a_package_that_is_missing_is_named(to: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULES[to], None)
    model = resnet(tmp_path)
    with pytest.raises(GancompError, match=rf"not written: {MODULES[to]} is not .* pip install 'gancomp\[mobile\]'"):
        export_generator(model, to)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_what_an_exporter_cannot_do_is_said_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> formats.Program:
        raise ValueError("failed to legalize 'mhlo.sort'\nand more")

    monkeypatch.setitem(formats.PROGRAMS, "litert", cannot)
    with pytest.raises(GancompError, match=r"litert-torch cannot convert it \(failed to legalize 'mhlo.sort'\)$"):
        export_generator(resnet(tmp_path), "litert")


def test_opening_a_core_ml_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match="only Apple's machines run Core ML"):
        open_model(tmp_path / "model.mlpackage")


# --- TensorRT: by its parser's rules -----------------------------------------------------------


def graph(operator: str, *, opset: int = 18, height: int | str = 8) -> onnx.ModelProto:
    shape = [1, 1, height, 8]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "picture")]
    node = helper.make_node(operator, ["input"], ["picture"])
    return helper.make_model(
        helper.make_graph([node], "one", sides[:1], sides[1:]), opset_imports=[helper.make_opsetid("", opset)]
    )


def test_tensorrt_reads_it_or_what_it_lacks_is_named() -> None:
    refuse_what_tensorrt_lacks(graph("Relu"))
    with pytest.raises(GancompError, match="operator Mish"):
        refuse_what_tensorrt_lacks(graph("Mish"))
    with pytest.raises(GancompError, match="opset 23"):
        refuse_what_tensorrt_lacks(graph("Relu", opset=23))
    with pytest.raises(GancompError, match="input of open size; picture of open size"):
        refuse_what_tensorrt_lacks(graph("Relu", height="height"))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_file_for_tensorrt_says_what_it_is(tmp_path: Path, precision: formats.Precision) -> None:
    out = export_generator(resnet(tmp_path), "tensorrt", precision=precision)
    assert out.name == ("model-tensorrt.onnx" if precision == "fp32" else "model-tensorrt-fp16.onnx")
    assert json.loads(Path(f"{out}.json").read_text())["format"] == "tensorrt"
    refuse_what_tensorrt_lacks(onnx.load(out))


# --- with the packages -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("to", ["litert", "executorch"])
@pytest.mark.parametrize("family", ["resnet", "unet", "spade"])
def test_an_export_runs_here_as_pytorch_does(tmp_path: Path, family: str, to: Format) -> None:
    needs(to)
    model = resnet(tmp_path) if family == "resnet" else checkpoint(tmp_path, family)
    out = export_generator(model, to)
    found = json.loads(Path(f"{out}.json").read_text())["differences_in_8_bit_steps"]["random"]
    assert found["max"] <= 1
    spec = RESNET if family == "resnet" else SPECS[family]
    opened = open_model(out)
    assert opened.spec == spec
    assert opened.size == spec.size
    inputs = random_inputs(spec, spec.size, 3)[1:]
    expected = on_pytorch(load_generator(model))
    assert np.ptp(expected(inputs[:1])) > 0.5
    assert Differences.between(expected, opened.run, inputs).max <= 1
    if family == "unet":
        (tmp_path / "in").mkdir()
        write_picture(tmp_path / "in/a.png")
        assert [path.name for path in apply_folder(out, tmp_path / "in").glob("*.png")] == ["a.png"]


def write_picture(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "precision"),
    # Of a GauGAN with random weights, single pixels differ by more than fp16 may.
    [("resnet", "fp32"), ("resnet", "fp16"), ("unet", "fp32"), ("unet", "fp16"), ("spade", "fp32")],
)
def test_a_core_ml_package_says_what_pytorch_computes(
    tmp_path: Path, family: str, precision: formats.Precision
) -> None:
    needs("coreml")
    import coremltools

    model = resnet(tmp_path) if family == "resnet" else checkpoint(tmp_path, family)
    for _ in range(2):  # a folder takes another's place
        out = export_generator(model, "coreml", precision=precision)
    spec = coremltools.utils.load_spec(str(out))
    size = (RESNET if family == "resnet" else SPECS[family]).size
    reads, makes = spec.description.input[0], spec.description.output[0]
    assert (reads.name, makes.name) == ("input", "picture")
    for one in (reads, makes):
        assert list(one.type.multiArrayType.shape)[2:] == list(size)
        assert one.type.multiArrayType.dataType == coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert "header" in json.loads(spec.description.metadata.userDefined["gancomp"])
    found = json.loads(Path(f"{out}.json").read_text())
    assert found["differences_in_8_bit_steps"]["random"]["max"] <= (1 if precision == "fp32" else 16)
    assert found["bytes"] > 10_000
    assert set(EXPORTERS) == {*MODULES, "tensorrt"}


@pytest.mark.slow
def test_a_core_ml_package_that_is_wrong_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("coreml")
    from gancomp.deploy.formats import mil

    monkeypatch.setitem(mil.OPERATIONS, "leaky_relu", lambda given: F.relu(given["x"]))
    with pytest.raises(GancompError, match="not written: on random inputs"):
        export_generator(checkpoint(tmp_path, "unet"), "coreml")
    monkeypatch.delitem(mil.OPERATIONS, "leaky_relu")
    with pytest.raises(GancompError, match="leaky_relu: not among the operations that gancomp can verify"):
        export_generator(tmp_path / "model.safetensors", "coreml")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
