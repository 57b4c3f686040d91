"""Export to ONNX for TensorRT: run on ONNX Runtime, and checked against the operators that TensorRT's parser reads."""

from __future__ import annotations

from typing import Any

from gancomp.deploy.formats.onnx import to_onnx
from gancomp.deploy.formats.program import Precision, Program
from gancomp.errors import GancompError
from gancomp.nets import Generator

#: Opsets that TensorRT 10 and 11 both parse.
OPSETS = range(9, 23)
#: The parser's operators, of those that image-to-image networks are made of (onnx-tensorrt, docs/operators.md).
# fmt: off
OPERATORS = frozenset({
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Constant", "Conv",
    "ConvTranspose", "DepthToSpace", "Div", "Elu", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "Identity", "InstanceNormalization", "LeakyRelu", "Log",
    "MatMul", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "Pad", "Pow", "PRelu", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus",
    "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "Transpose", "Unsqueeze",
    "Where",
})
# fmt: on
#: Inputs that the parser wants as constants, by their places.
WEIGHTS = {"Conv": (1, 2), "ConvTranspose": (1, 2), "InstanceNormalization": (1, 2)}


def to_tensorrt(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    """Returns a model of a fixed size. Raises GancompError, which names what TensorRT's parser would refuse."""
    made = to_onnx(generator, precision, dynamic)
    refuse_what_tensorrt_lacks(made.model)
    return made


def refuse_what_tensorrt_lacks(model: Any) -> None:
    """Raises GancompError if *model* (onnx.ModelProto) holds what the parser refuses: operators, opsets, sizes."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    faults = [
        f"opset {one.version} of {one.domain or 'ONNX'}"
        for one in model.opset_import
        if one.domain or one.version not in OPSETS
    ]
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    kept = {one.name for one in graph.initializer}
    for node in graph.node:
        if node.op_type not in OPERATORS:
            faults.append(f"operator {node.op_type}")
        faults += [
            f"{node.op_type} with computed weights ({name})"
            for name in (node.input[at] for at in WEIGHTS.get(node.op_type, ()) if at < len(node.input))
            if name and name not in kept
        ]
    for value in (*graph.input, *graph.output, *graph.value_info):
        if any(not side.HasField("dim_value") for side in value.type.tensor_type.shape.dim):
            faults.append(f"{value.name} of open size")
    if faults:
        raise GancompError(f"TensorRT's parser would not read this network: {'; '.join(sorted(set(faults))[:5])}")
