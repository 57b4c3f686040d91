"""Convolutions that are folded compute the same, others stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gancomp.deploy.formats.folded import folded
from gancomp.deploy.runtimes import on_onnxruntime

SIZE = (14, 18)


def layer(operation: str, weight: tuple[int, ...], size: tuple[Any, Any] = SIZE, bias: bool = True, **own: Any) -> Any:
    """A program of one *operation* with random weights of shape *weight* on inputs of *size* (None: open)."""
    draw = np.random.default_rng(1)
    groups = own.get("group", 1)
    inputs, outputs = (weight[1] * groups, weight[0]) if operation == "Conv" else (weight[0], weight[1] * groups)
    arrays = {"weight": draw.normal(size=weight), "bias": draw.normal(size=outputs)}
    names = ["weight", "bias"] if bias else ["weight"]
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(operation, ["x", *names], ["y"], **own)],
            "layer",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, *size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs, None, None])],
            [numpy_helper.from_array(arrays[name].astype(np.float32), name) for name in names],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def operations(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same(one: Any, other: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    runs = [on_onnxruntime(model.SerializeToString(), threads=1)[0] for model in (one, other)]
    np.testing.assert_allclose(runs[0](x), runs[1](x), atol=1e-4)
    assert {one.name for one in other.graph.initializer}.isdisjoint({"weight", "bias"})  # nothing is kept twice


FEW = st.integers(1, 4)
EVEN = st.tuples(st.sampled_from([10, 12, 16]), st.sampled_from([10, 14]))


@settings(max_examples=25, deadline=None)
@over(st.sampled_from([5, 7, 9]), FEW, st.integers(1, 6), EVEN, st.booleans())
def test_a_convolution_to_few_channels_is_folded(
    side: int, outputs: int, inputs: int, size: tuple[int, int], bias: bool
) -> None:
    plain = layer("Conv", (outputs, inputs, side, side), size, bias)
    made = folded(plain)
    assert operations(made) == ["SpaceToDepth", "Conv", "DepthToSpace"]
    same(plain, made, (1, inputs, *size))


@settings(max_examples=25, deadline=None)
@over(
    st.sampled_from([(2, 0), (4, 1), (4, 0), (6, 2), (6, 1)]),
    FEW,
    st.integers(1, 6),
    st.tuples(st.integers(3, 8), st.integers(3, 8)),
    st.booleans(),
    st.booleans(),
)
def test_a_transposed_convolution_to_few_channels_is_folded(
    kernel: tuple[int, int], outputs: int, inputs: int, size: tuple[int, int], bias: bool, known: bool
) -> None:
    side, pad = kernel
    given = (inputs, outputs, side, side)
    plain = layer("ConvTranspose", given, size if known else (None, None), bias, strides=[2, 2], pads=[pad] * 4)
    made = folded(plain)
    assert operations(made) == ["Conv", "DepthToSpace"] + ["Slice"] * (pad > 0)
    same(plain, made, (1, inputs, *size))


@pytest.mark.parametrize(
    "given",
    [
        layer("Conv", (3, 5, 3, 3)),
        layer("Conv", (16, 5, 7, 7)),
        layer("Conv", (3, 5, 6, 6)),
        layer("Conv", (4, 1, 7, 7), group=4),
        layer("Conv", (3, 5, 7, 7), pads=[3] * 4),
        layer("Conv", (3, 5, 7, 7), strides=[2, 2]),
        layer("Conv", (3, 5, 7, 7), (15, 18)),
        layer("Conv", (3, 5, 7, 7), (None, None)),
        layer("ConvTranspose", (5, 16, 4, 4), strides=[2, 2], pads=[1] * 4),
        layer("ConvTranspose", (5, 3, 3, 3), strides=[2, 2], pads=[1] * 4),
        layer("ConvTranspose", (5, 3, 4, 4), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]),
        layer("ConvTranspose", (5, 3, 4, 4), strides=[2, 2], pads=[1, 1, 0, 0]),
        layer("ConvTranspose", (4, 1, 4, 4), strides=[2, 2], pads=[1] * 4, group=4),
        layer("ConvTranspose", (5, 3, 4, 4), pads=[1] * 4),
    ],
    ids=[
        *("small kernel", "many channels", "even kernel", "groups", "padded", "strided", "odd size", "open size"),
        *("transposed, many", "odd kernel", "output padded", "unequal pads", "transposed, groups", "stride 1"),
    ],
)
def test_other_convolutions_stay(given: Any) -> None:
    assert folded(given).graph == given.graph
