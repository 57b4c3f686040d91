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


def program(weight: tuple[int, ...], *, bias: bool = True, size: tuple[Any, Any] = SIZE, **attributes: Any) -> Any:
    """One convolution of random weights of shape *weight* on inputs of *size* (None: open)."""
    draw = np.random.default_rng(1)
    arrays = {"weight": draw.normal(size=weight), "bias": draw.normal(size=weight[0])}
    names = ["weight", "bias"] if bias else ["weight"]
    channels = weight[1] * attributes.get("group", 1)
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["x", *names], ["y"], **attributes)],
            "layer",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, *size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weight[0], None, None])],
            [numpy_helper.from_array(arrays[name].astype(np.float32), name) for name in names],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def operations(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


@settings(max_examples=25, deadline=None)
@over(
    st.sampled_from([5, 7, 9]),
    st.integers(1, 4),
    st.integers(1, 6),
    st.tuples(st.sampled_from([10, 12, 16]), st.sampled_from([10, 14])),
    st.booleans(),
)
def test_a_convolution_to_few_channels_is_folded(
    side: int, outputs: int, inputs: int, size: tuple[int, int], bias: bool
) -> None:
    plain = program((outputs, inputs, side, side), bias=bias, size=size)
    made = folded(plain)
    assert operations(made) == ["SpaceToDepth", "Conv", "DepthToSpace"]
    assert {one.name for one in made.graph.initializer}.isdisjoint({"weight", "bias"})  # nothing is kept twice
    x = np.random.default_rng(0).normal(size=(1, inputs, *size)).astype(np.float32)
    runs = [on_onnxruntime(model.SerializeToString(), threads=1)[0] for model in (plain, made)]
    np.testing.assert_allclose(runs[0](x), runs[1](x), atol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        program((3, 5, 3, 3)),
        program((16, 5, 7, 7)),
        program((3, 5, 6, 6)),
        program((4, 1, 7, 7), group=4),
        program((3, 5, 7, 7), pads=[3] * 4),
        program((3, 5, 7, 7), strides=[2, 2]),
        program((3, 5, 7, 7), size=(15, 18)),
        program((3, 5, 7, 7), size=(None, None)),
    ],
    ids=["small kernel", "many channels", "even kernel", "groups", "padded", "strided", "odd size", "open size"],
)
def test_other_convolutions_stay(given: Any) -> None:
    assert folded(given).graph == given.graph
