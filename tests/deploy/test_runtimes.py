"""Files that runtimes read: what is refused, and how."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import onnx_ir
import pytest

from gancomp.deploy import runtimes
from gancomp.deploy.formats import export_generator
from gancomp.deploy.runtimes import open_model
from gancomp.errors import GancompError
from gancomp.nets import build_generator, save_generator
from gancomp.spec import GeneratorSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    generator = build_generator(GeneratorSpec(widths=2, block="separable", size=16))
    save_generator(path, generator, experiment="mine", stage="export", signature="s")
    return path


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.safetensors"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(GancompError, match=rf"{name}: no such file"):
        open_model(path)
    path.write_bytes(b"not a model")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(GancompError, match=rf"{name}: "):
        open_model(path)


def test_a_note_that_unfolds_to_any_size_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "MOST_NOTE", 1000)
    path = tmp_path / "model.tflite"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(runtimes.NOTE, "0" * 100_000)
    with pytest.raises(GancompError, match=r"model.tflite: was not exported by gancomp"):
        open_model(path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"model\.pkl: is none of \.safetensors, \.onnx, \.xml"):
        open_model(tmp_path / "model.pkl")


def test_an_openvino_graph_needs_its_weights(model: Path) -> None:
    out = export_generator(model, "openvino")
    out.with_suffix(".bin").unlink()
    with pytest.raises(GancompError, match=r"model\.bin: missing"):
        open_model(out)


def test_a_model_of_others_is_refused(model: Path) -> None:
    out = export_generator(model, "onnx")
    foreign = onnx_ir.load(out)
    foreign.metadata_props.clear()
    onnx_ir.save(foreign, out)
    with pytest.raises(GancompError, match="was not exported by gancomp"):
        open_model(out)
