"""Convolutions to few channels, laid out for processors: of each 2×2 pixels one of four times the channels.

A generator's last convolution writes three channels, by the largest kernel, from the most pixels, and leaves most of a
processor's lanes empty. The same sums as one convolution of SpaceToDepth's pixels, whose channels DepthToSpace puts in
their places, fill four times as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A convolution that writes at most so many channels, by a kernel of at least so many pixels a side, is folded.
FEW_CHANNELS, LARGE_KERNEL = 4, 5


def folded(program: Any) -> Any:
    """A copy of ONNX *program* (onnx.ModelProto) with its convolutions to few channels folded; the rest stays.

    Only those of a known even size, without padding, strides or groups, of constant weights.
    """
    import onnx
    from onnx import helper, numpy_helper

    constants = {one.name: numpy_helper.to_array(one) for one in program.graph.initializer}
    even = _of_even_size(program)
    nodes: list[Any] = []
    added: dict[str, NDArray[Any]] = {}
    for node in program.graph.node:
        if not _is_folded(node, constants, even):
            nodes.append(node)
            continue
        weight, *bias = (name for name in node.input[1:] if name)
        new = {f"{weight} folded": folded_kernel(constants[weight])}
        new |= {f"{name} folded": np.tile(constants[name], 4) for name in bias}
        added |= new
        read, wrote = f"{node.output[0]} folded input", f"{node.output[0]} folded"
        nodes += [
            helper.make_node("SpaceToDepth", [node.input[0]], [read], blocksize=2),
            helper.make_node("Conv", [read, *new], [wrote]),
            helper.make_node("DepthToSpace", [wrote], node.output, blocksize=2, mode="DCR"),
        ]
    needed = {name for node in nodes for name in node.input}
    made = onnx.ModelProto()
    made.CopyFrom(program)
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(one for one in program.graph.initializer if one.name in needed)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in added.items())
    return made


def folded_kernel(weight: NDArray[Any]) -> NDArray[Any]:
    """The kernel (4·o, 4·i, (k+1)/2, (k+1)/2) on 2×2 pixels of *weight* (o, i, k, k), k odd.

    Channels are in the order of SpaceToDepth and of DepthToSpace's DCR: by row and column within the 2×2, then by their
    own number.
    """
    outputs, inputs, side, _ = weight.shape
    reach = (side + 1) // 2
    made = np.zeros((2, 2, outputs, 2, 2, inputs, reach, reach), weight.dtype)
    for row, column, y, x in np.ndindex(2, 2, side, side):
        below, right = row + y, column + x  # which pixel it reads, of those from the 2×2's first on
        made[row, column, :, below % 2, right % 2, :, below // 2, right // 2] = weight[:, :, y, x]
    return made.reshape(4 * outputs, 4 * inputs, reach, reach)


def _of_even_size(program: Any) -> set[str]:
    """The values (n, c, height, width) whose height and width are known and even."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(program).graph
    sizes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]  # 0: left open
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return {name for name, size in sizes.items() if len(size) == 4 and all(s and s % 2 == 0 for s in size[2:])}


def _is_folded(node: Any, constants: dict[str, NDArray[Any]], even: set[str]) -> bool:
    from onnx import helper

    if node.op_type != "Conv" or node.input[0] not in even or not {*node.input[1:]} <= {*constants, ""}:
        return False
    own = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    outputs, _, side, other = constants[node.input[1]].shape
    return (
        outputs <= FEW_CHANNELS
        and LARGE_KERNEL <= side == other
        and side % 2 == 1
        and own.get("group", 1) == 1
        and not any(own.get("pads", []))
        and {*own.get("strides", [1]), *own.get("dilations", [1])} == {1}
        and own.get("auto_pad", b"NOTSET") == b"NOTSET"
    )
