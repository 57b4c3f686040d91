"""The subnets of a space as ONNX programs, for measuring: the network is exported once, and its program cut.

A program's speed depends on its weights' shapes and not on what they are, so a subnet's program here has leading blocks
of random weights. That takes milliseconds where an export takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gancomp.elastic.space import Widths
from gancomp.nets import Generator, build_generator, build_skeleton
from gancomp.spec import GeneratorSpec

#: Operations that write as many channels as they read.
_KEEP = {"Relu", "LeakyRelu", "Tanh", "Sigmoid", "Elu", "Gelu", "Clip", "Dropout", "Identity", "Pad", "Resize"}
_JOIN = {"Add", "Sub", "Mul", "Div"}
_NORMALISE = {"InstanceNormalization", "BatchNormalization"}
_CONVOLVE = {"Conv", "ConvTranspose"}


class Uncuttable(Exception):
    """A program has an operation whose channels cannot be told from its weights' shapes."""


class SubnetPrograms:
    """ONNX programs of the subnets of *student* with choices *space*, of random weights."""

    def __init__(self, student: GeneratorSpec, space: Sequence[Sequence[int]]) -> None:
        self._student = student
        self._whole: Any = None
        widest = tuple(max(choices) for choices in space)
        whole = _export(student.with_widths(widest))
        try:
            narrowed(whole, _shapes(student.with_widths(tuple(choices[-1] for choices in space))))
            self._whole = whole
        except Uncuttable:
            pass  # each is exported by itself, which takes longer

    def of(self, widths: Widths) -> bytes:
        """The program of the subnet of *widths*, serialised, laid out as exports are."""
        from gancomp.deploy.formats.folded import folded

        spec = self._student.with_widths(widths)
        program = _export(spec) if self._whole is None else narrowed(self._whole, _shapes(spec))
        content: bytes = folded(program).SerializeToString()
        return content


def _export(spec: GeneratorSpec) -> Any:
    from gancomp.deploy.formats import exported_onnx

    return exported_onnx(random_generator(spec))


def random_generator(spec: GeneratorSpec) -> Generator:
    """A generator whose weights are all others than 0 and 1, so that no exporter leaves one out."""
    generator = build_generator(spec).eval()
    draw = torch.Generator().manual_seed(0)
    for tensor in generator.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.2 + 0.05)
    return generator


def _shapes(spec: GeneratorSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in build_skeleton(spec).state_dict().items()}


def narrowed(program: Any, shapes: Mapping[str, Sequence[int]]) -> Any:
    """ONNX *program* with weights of *shapes*, by their names in the network: leading blocks of its own.

    Raises Uncuttable where it has an operation whose channels do not follow from those.
    """
    return _Cut(program, shapes).program


class _Cut:
    """A copy of *whole* in which every operation reads leading blocks of its constants."""

    def __init__(self, whole: Any, shapes: Mapping[str, Sequence[int]]) -> None:
        import onnx
        from onnx import numpy_helper

        self._constants = {one.name: numpy_helper.to_array(one) for one in whole.graph.initializer}
        self._shapes = shapes
        self.program = onnx.ModelProto()
        self.program.CopyFrom(whole)
        self._graph = self.program.graph
        del self._graph.initializer[:], self._graph.value_info[:]
        self._kept: set[str] = set()
        #: Channels of each activation.
        self._channels: dict[str, int] = {
            one.name: one.type.tensor_type.shape.dim[1].dim_value for one in self._graph.input
        }
        for node in self._graph.node:
            self._channels[node.output[0]] = self._cut(node)

    def _cut(self, node: Any) -> int:
        """Narrow the constants of *node*; returns the channels that it writes."""
        if node.op_type in _CONVOLVE:
            return self._convolution(node)
        if node.op_type in _NORMALISE:
            count = self._channels[node.input[0]]
            for at in range(1, len(node.input)):
                self._vector(node, at, count)
            return count
        if node.op_type in _KEEP | _JOIN:
            return self._elementwise(node)
        if node.op_type == "Concat":
            if next(one.i for one in node.attribute if one.name == "axis") != 1:
                raise Uncuttable("Concat of other dimensions")
            return sum(self._channels[name] for name in node.input)
        raise Uncuttable(node.op_type)

    def _convolution(self, node: Any) -> int:
        name = node.input[1]
        whole, shape = self._constants.get(name), self._shapes.get(name)
        if whole is None or shape is None:
            raise Uncuttable(f"{node.op_type}: {name}")
        self._set(node, 1, whole[tuple(slice(side) for side in shape)])
        groups = next(one for one in node.attribute if one.name == "group")
        if groups.i > 1:
            groups.i = self._channels[node.input[0]]
        count = shape[0] if node.op_type == "Conv" else shape[1] * groups.i
        if len(node.input) > 2 and node.input[2]:
            self._vector(node, 2, count)
        return int(count)

    def _elementwise(self, node: Any) -> int:
        count = max(self._channels.get(name, 0) for name in node.input)
        for at, name in enumerate(node.input):
            if name in self._constants:
                array = self._constants[name]
                if node.op_type in _JOIN and array.size != 1:
                    raise Uncuttable(f"{node.op_type}: {name}")
                if node.op_type == "Resize" and at == 3:  # the sizes of its output, one of which are channels
                    array = np.array([array[0], count, *array[2:]])
                self._set(node, at, array)
        return count

    def _vector(self, node: Any, at: int, count: int) -> None:
        array = self._constants.get(node.input[at])
        if array is None or array.ndim != 1 or len(array) < count:
            raise Uncuttable(f"{node.op_type}: {node.input[at]}")
        self._set(node, at, array[:count])

    def _set(self, node: Any, at: int, array: NDArray[Any]) -> None:
        """Let input *at* of *node* be *array*: under a separate name, since others may read it at other widths."""
        from onnx import numpy_helper

        name = f"{node.input[at]} {'x'.join(map(str, array.shape if array.dtype.kind == 'f' else array))}"
        node.input[at] = name
        if name not in self._kept:
            self._kept.add(name)
            self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
