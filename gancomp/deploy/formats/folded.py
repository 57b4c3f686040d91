"""Convolutions to few channels, laid out for processors: four times the channels, a quarter of the pixels.

A generator's last convolution writes three channels of the most pixels, and leaves most of a processor's lanes empty.
The same sums as a convolution of four times the channels, which DepthToSpace puts in their places as 2×2 pixels, fill
four times as many. A ResNet's reads 2×2 pixels as one, too (SpaceToDepth); a U-Net's is transposed, of stride 2, and
reads what it did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: What writes at most so many channels is folded; ordinary ones only with kernels of at least so many pixels a side.
FEW_CHANNELS, LARGE_KERNEL = 4, 5


def folded(program: Any) -> Any:
    """A copy of ONNX *program* (onnx.ModelProto) with its convolutions to few channels folded; the rest stays.

    Those of constant weights, without groups: ordinary ones of stride 1 without padding, whose input has a known even
    size; transposed ones of stride 2 and an even kernel.
    """
    import onnx
    from onnx import numpy_helper

    fold = _Fold(program)
    nodes = [made for node in program.graph.node for made in fold.nodes_for(node)]
    needed = {name for node in nodes for name in node.input}
    made = onnx.ModelProto()
    made.CopyFrom(program)
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(one for one in program.graph.initializer if one.name in needed)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in fold.added.items())
    return made


def kernel_on_folded_pixels(weight: Array) -> Array:
    """The kernel (4·o, 4·i, (k+1)/2, (k+1)/2) that does on 2×2 pixels what *weight* (o, i, k, k), k odd, does on one.

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


def kernel_of_transposed(weight: Array) -> Array:
    """The kernel (4·o, i, k/2, k/2) of the ordinary convolution whose channels are the 2×2 pixels, in the same order,
    that a transposed one of stride 2 with *weight* (i, o, k, k), k even, writes."""
    inputs, outputs, side, _ = weight.shape
    reach = side // 2
    made = np.zeros((2, 2, outputs, inputs, reach, reach), weight.dtype)
    for y, x in np.ndindex(side, side):
        made[y % 2, x % 2, :, :, reach - 1 - y // 2, reach - 1 - x // 2] = weight[:, :, y, x].T
    return made.reshape(4 * outputs, inputs, reach, reach)


class _Fold:
    """Folds the nodes of *program* one by one, and keeps the constants that they then need."""

    def __init__(self, program: Any) -> None:
        from onnx import numpy_helper

        self.added: dict[str, Array] = {}
        self._constants: dict[str, Array] = {one.name: numpy_helper.to_array(one) for one in program.graph.initializer}
        self._even = _of_even_size(program)

    def nodes_for(self, node: Any) -> list[Any]:
        """What computes the same as *node*: itself, if it is not folded."""
        if node.op_type == "Conv":
            return self._ordinary(node)
        return self._transposed(node) if node.op_type == "ConvTranspose" else [node]

    def _ordinary(self, node: Any) -> list[Any]:
        from onnx import helper

        own = _attributes(node)
        weight = self._weight(node, own)
        known = node.input[0] in self._even and own.get("pads", {0}) == {0} and own.get("strides", {1}) == {1}
        if weight is None or not known:
            return [node]
        outputs, _, side, _ = weight.shape
        if outputs > FEW_CHANNELS or side < LARGE_KERNEL or side % 2 == 0:
            return [node]
        output = node.output[0]
        read, wrote = f"{output} folded input", f"{output} folded"
        return [
            helper.make_node("SpaceToDepth", [node.input[0]], [read], blocksize=2),
            helper.make_node("Conv", [read, *self._new(node, kernel_on_folded_pixels(weight))], [wrote]),
            _unfold(wrote, output),
        ]

    def _transposed(self, node: Any) -> list[Any]:
        from onnx import helper

        own = _attributes(node)
        weight, pads = self._weight(node, own), own.get("pads", {0})
        known = len(pads) == 1 and own.get("strides") == {2} and own.get("output_padding", {0}) == {0}
        if weight is None or not known or "output_shape" in own:
            return [node]
        _, outputs, side, _ = weight.shape
        if outputs > FEW_CHANNELS or side % 2:
            return [node]
        output, (pad,) = node.output[0], pads
        wrote, whole = f"{output} folded", f"{output} uncut" if pad else output
        inputs = [node.input[0], *self._new(node, kernel_of_transposed(weight))]
        made = [helper.make_node("Conv", inputs, [wrote], pads=[side // 2 - 1] * 4), _unfold(wrote, whole)]
        if pad:
            cut = {"from": [pad, pad], "to": [-pad, -pad], "axes": [2, 3]}
            names = {f"{output} {name}": np.array(values, np.int64) for name, values in cut.items()}
            self.added |= names
            made.append(helper.make_node("Slice", [whole, *names], [output]))
        return made

    def _weight(self, node: Any, own: dict[str, Any]) -> Array | None:
        """The square kernels of convolution *node* of images; None where folding does not know it: its weights are
        computed, or it has groups, dilations or padding by another rule."""
        weight, bias = self._constants.get(node.input[1]), [name for name in node.input[2:] if name]
        plain = own.get("group", 1) == 1 and own.get("dilations", {1}) == {1}
        plain = plain and own.get("auto_pad", b"NOTSET") == b"NOTSET" and all(one in self._constants for one in bias)
        if weight is None or weight.ndim != 4 or weight.shape[2] != weight.shape[3] or not plain:
            return None
        return weight

    def _new(self, node: Any, kernel: Array) -> dict[str, Array]:
        """The constants of the convolution by *kernel* that stands in for *node*, by name."""
        output, bias = node.output[0], [self._constants[name] for name in node.input[2:] if name]
        new = {f"{output} weight": kernel} | {f"{output} bias": np.tile(one, 4) for one in bias}
        self.added |= new
        return new


def _unfold(name: str, output: str) -> Any:
    from onnx import helper

    return helper.make_node("DepthToSpace", [name], [output], blocksize=2, mode="DCR")


def _attributes(node: Any) -> dict[str, Any]:
    """By name; a list's as the set of its values."""
    from onnx import helper

    values = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return {name: {*value} if isinstance(value, list) else value for name, value in values.items()}


def _of_even_size(program: Any) -> set[str]:
    """The values (n, c, height, width) whose height and width are known and even."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(program).graph
    sizes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]  # 0: left open
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return {name for name, size in sizes.items() if len(size) == 4 and all(s and s % 2 == 0 for s in size[2:])}
