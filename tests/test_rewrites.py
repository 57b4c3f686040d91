"""Programs that are laid out anew compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rewrites import rewritten
from gancomp.deploy.runtimes import on_onnxruntime

X = np.random.default_rng(0).normal(size=(1, 5, 14, 18)).astype(np.float32)


def program(operation: str, weight: tuple[int, ...], *, bias: bool = True, **attributes: Any) -> Any:
    """One layer of random weights of shape *weight* on inputs like X."""
    draw = np.random.default_rng(1)
    channels = weight[1] * attributes.get("group", 1) if operation == "ConvTranspose" else weight[0]
    arrays = {"weight": draw.normal(size=weight), "bias": draw.normal(size=channels)}
    names = ["weight", "bias"] if bias else ["weight"]
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(operation, ["x", *names], ["y"], **attributes)],
            "layer",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, None, None])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, None, None])],
            [numpy_helper.from_array(arrays[name].astype(np.float32), name) for name in names],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def operations(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same(one: Any, other: Any) -> None:
    runs = [on_onnxruntime(model.SerializeToString(), threads=1)[0] for model in (one, other)]
    np.testing.assert_allclose(runs[0](X), runs[1](X), atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("side", "pad", "more"),
    [(3, 1, 1), (4, 1, 0), (2, 0, 0), (6, 2, 0)],
    ids=["ResNet's", "U-Net's", "without overlap", "larger"],
)
def test_a_transposed_convolution_is_one_convolution_and_its_pixels_in_their_places(
    side: int, pad: int, more: int, bias: bool
) -> None:
    shape = (5, 7, side, side)
    given = program("ConvTranspose", shape, bias=bias, strides=[2, 2], pads=[pad] * 4, output_padding=[more] * 2)
    made = rewritten(given)
    assert operations(made) == ["Conv", "DepthToSpace"]
    same(given, made)


@pytest.mark.parametrize("side", [5, 7])
def test_a_convolution_of_few_channels_is_folded(side: int) -> None:
    given = program("Conv", (3, 5, side, side))
    made = rewritten(given)
    assert operations(made) == ["SpaceToDepth", "Conv", "DepthToSpace"]
    same(given, made)
    assert {one.name for one in made.graph.initializer}.isdisjoint({"weight", "bias"})  # nothing is kept twice


@pytest.mark.parametrize(
    "given",
    [
        program("ConvTranspose", (5, 7, 3, 3), strides=[1, 1], pads=[1] * 4),
        program("ConvTranspose", (5, 7, 3, 3), strides=[2, 2], pads=[1] * 4),  # not twice the size
        program("ConvTranspose", (5, 1, 4, 4), strides=[2, 2], pads=[1] * 4, group=5),
        program("Conv", (3, 5, 3, 3)),
        program("Conv", (16, 5, 7, 7)),
        program("Conv", (3, 5, 7, 7), pads=[3] * 4),
        program("Conv", (3, 5, 7, 7), strides=[2, 2]),
    ],
    ids=["stride 1", "odd size", "depthwise", "small kernel", "many channels", "padded", "strided"],
)
def test_other_layers_stay(given: Any) -> None:
    assert rewritten(given).graph == given.graph
