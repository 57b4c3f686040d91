"""ONNX, as it is and in 8 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancomp.deploy.formats.folded import folded
from gancomp.deploy.formats.program import Precision, Program, example_of, module_of, open_shapes, quiet
from gancomp.deploy.runtimes import Pixels, on_onnxruntime
from gancomp.nets import Generator
from gancomp.pipeline.checkpoints import HEADER_KEY
from gancomp.pipeline.files import atomic

#: What int8 is for; all else stays in floating point.
CONVOLUTIONS = ("Conv", "ConvTranspose")


def exported_onnx(generator: Generator) -> Any:
    """*generator* as an `onnx.ModelProto`, in fp32 and of its own size, compared with nothing and not yet folded."""
    import onnx_ir

    with quiet():
        return onnx_ir.to_proto(_onnx_model(generator, example_of(generator), dynamic=False))


def _onnx_model(module: nn.Module, example: Tensor, dynamic: bool) -> Any:
    exported = torch.onnx.export(
        module,
        (example,),
        input_names=["input"],
        output_names=["picture"],
        dynamic_shapes=open_shapes(dynamic),
        external_data=False,
        dynamo=True,
        optimize=True,  # folds BatchNorm into the convolution before it, where there is one
        verbose=False,
    )
    if exported is None:
        raise AssertionError("torch.onnx.export with dynamo=True returns a program")
    model = exported.model
    for holder in (model, model.graph, *model.graph):
        holder.metadata_props.clear()  # where the exporting machine keeps its source files
    return model


def to_onnx(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    import onnx_ir

    return _program(
        folded(onnx_ir.to_proto(_onnx_model(module_of(generator, precision), example_of(generator), dynamic)))
    )


def _program(proto: Any) -> Program:
    """How *proto* (`onnx.ModelProto`) runs, and is written."""
    import onnx_ir
    import onnxruntime

    run, _ = on_onnxruntime(proto.SerializeToString())
    opset = next(one.version for one in proto.opset_import if not one.domain)
    return Program(
        run,
        _writer(onnx_ir.from_proto(proto)),
        {"torch": torch.__version__, "opset": str(opset), "onnxruntime": onnxruntime.__version__},
        model=proto,
    )


def _writer(model: Any) -> Callable[[Path, str], None]:
    """Writes *model* (onnx_ir.Model) with its metadata; equal arguments give equal bytes."""
    import onnx_ir

    def write(out: Path, about: str) -> None:
        model.metadata_props[HEADER_KEY] = about
        with atomic(out) as temporary:
            temporary.write_bytes(onnx_ir.to_proto(model).SerializeToString(deterministic=True))

    return write


def to_int8(generator: Generator, calibration: Pixels) -> Program:
    """Static quantisation of the convolutions by ONNX Runtime's own tools: weights by channel, their inputs by range.

    A range is the mean, over the *calibration*, of each input's smallest and largest value: that of all values would
    leave the usual ones too few steps. It is not folded, so that weights have the steps that training simulates.
    """
    import onnx_ir
    from onnxruntime.quantization import QuantType, quantize_static

    class Reader:
        def __init__(self) -> None:
            self._inputs = iter(calibration)

        def get_next(self) -> dict[str, Pixels] | None:
            x = next(self._inputs, None)
            return None if x is None else {"input": x[None]}

    whole = _program(exported_onnx(generator))
    with tempfile.TemporaryDirectory() as folder:
        path, quantised = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        whole.write(path, "{}")
        quantize_static(
            path,
            quantised,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Normalisation stays in floating point, and so does what it reads: its sums are what 8 bits do not hold.
            op_types_to_quantize=list(CONVOLUTIONS),
            extra_options={"CalibMovingAverage": True, "OpTypesToExcludeOutputQuantization": list(CONVOLUTIONS)},
        )
        model = onnx_ir.load(quantised)
        content = quantised.read_bytes()
    run, _ = on_onnxruntime(content)

    return Program(run, _writer(model), whole.versions | {"calibration_pictures": str(len(calibration))})
