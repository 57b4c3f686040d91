"""OpenVINO's IR: a graph in XML, and its weights beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from gancomp.deploy.formats.onnx import to_onnx
from gancomp.deploy.formats.program import Precision, Program
from gancomp.deploy.runtimes import on_openvino
from gancomp.extras import extra
from gancomp.nets import Generator
from gancomp.pipeline.checkpoints import HEADER_KEY
from gancomp.pipeline.files import atomic


def to_openvino(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    openvino = extra("openvino")
    # By way of ONNX, where BatchNorm is folded already.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(generator, "fp32", dynamic).write(path, "{}")
        model = openvino.convert_model(path)
    kept = tempfile.TemporaryDirectory()
    whole = Path(kept.name) / "model.xml"

    def save() -> None:
        openvino.save_model(model, whole, compress_to_fp16=precision == "fp16")

    save()
    run, _ = on_openvino(whole, numbers="exact")
    fast, _ = on_openvino(whole, numbers="fast")

    def write(out: Path, about: str) -> None:
        model.set_rt_info(about, HEADER_KEY)
        save()
        # The weights first: a reader that finds the graph finds them.
        for suffix in (".bin", ".xml"):
            with atomic(out.with_suffix(suffix)) as temporary:
                temporary.write_bytes(whole.with_suffix(suffix).read_bytes())
        kept.cleanup()

    return Program(run, write, {"torch": torch.__version__, "openvino": openvino.__version__}, fast)
