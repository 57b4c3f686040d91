"""Programs laid out anew, before and after: does it make a compressed generator faster on a runtime? Run it alone.

Two rewrites of an exported ONNX program that leave its pictures as they are:

- A transposed convolution of stride 2 writes four kinds of pixels, by row and column even or odd. Each kind is an
  ordinary convolution of the input, so all four are one of four times the channels, and DepthToSpace puts the pixels in
  their places.
- A convolution of few channels leaves most of a processor's lanes empty. Of each 2x2 pixels made one of four times the
  channels (SpaceToDepth), it fills four times as many.

`gancomp export` does neither: benchmarks/README.md says why.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A convolution that writes at most so many channels, by a kernel of at least so many pixels a side, is folded.
FEW_CHANNELS, LARGE_KERNEL = 4, 5


def rewritten(program: Any) -> Any:
    """ONNX *program* with the layers that the module's docstring names laid out anew; others stay."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(program)
    graph = made.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes: list[Any] = []
    for node in graph.node:
        layers = _as_subpixel(node, constants) or _folded(node, constants)
        if layers is None:
            nodes.append(node)
            continue
        weight, bias, pads, folded = layers
        source, name = node.input[0], node.output[0]
        inputs = [f"{name} weight", *([f"{name} bias"] if bias is not None else [])]
        graph.initializer.append(numpy_helper.from_array(weight, inputs[0]))
        if bias is not None:
            graph.initializer.append(numpy_helper.from_array(bias, inputs[1]))
        if folded:
            nodes.append(helper.make_node("SpaceToDepth", [source], [f"{name} folded"], blocksize=2))
            source = f"{name} folded"
        nodes += [
            helper.make_node(
                "Conv", [source, *inputs], [f"{name} kinds"], kernel_shape=weight.shape[2:], pads=pads, group=1
            ),
            helper.make_node("DepthToSpace", [f"{name} kinds"], [name], blocksize=2, mode="CRD"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    return made


#: Weights, biases, the padding (top, left, bottom, right), and whether the input is folded.
Layers = tuple[NDArray[Any], NDArray[Any] | None, list[int], bool]


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _as_subpixel(node: Any, constants: dict[str, NDArray[Any]]) -> Layers | None:
    """The convolution whose channels are the four kinds of pixels that transposed convolution *node* writes."""
    if node.op_type != "ConvTranspose" or node.input[1] not in constants:
        return None
    own, whole = _attributes(node), constants[node.input[1]]
    side, pads = whole.shape[2], own.get("pads", [0] * 4)
    doubled = 2 * pads[0] == side - 2 + own.get("output_padding", [0, 0])[0]
    plain = own.get("group", 1) == 1 and set(own.get("dilations", [1])) == {1} and own.get("strides") == [2, 2]
    square = whole.shape[2] == whole.shape[3] and len({*pads}) == 1 and len({*own.get("output_padding", [0])}) == 1
    if not (doubled and plain and square):
        return None
    # Output pixel 2j + r is the sum over k of w[k] x[j + (r + pad - k) / 2], where that is whole.
    taps = [(r, k, (r + pads[0] - k) // 2) for r in (0, 1) for k in range(side) if (r + pads[0] - k) % 2 == 0]
    first, last = min(tap[2] for tap in taps), max(tap[2] for tap in taps)
    weight = np.zeros((whole.shape[1], 2, 2, whole.shape[0], last - first + 1, last - first + 1), whole.dtype)
    for row, k, y in taps:
        for column, l, x in taps:  # noqa: E741
            weight[:, row, column, :, y - first, x - first] = whole[:, :, k, l].T
    return _finished(node, constants, weight, [-first, -first, last, last], folded=False)


def _folded(node: Any, constants: dict[str, NDArray[Any]]) -> Layers | None:
    """Convolution *node* of few channels on pixels of which four are one."""
    if node.op_type != "Conv" or node.input[1] not in constants:
        return None
    own, whole = _attributes(node), constants[node.input[1]]
    outputs, channels, side, other = whole.shape
    plain = own.get("group", 1) == 1 and not any(own.get("pads", [0])) and {*own.get("strides", [1])} == {1}
    plain = plain and {*own.get("dilations", [1])} == {1} and own.get("auto_pad", b"NOTSET") == b"NOTSET"
    if not plain or side != other or side < LARGE_KERNEL or side % 2 == 0 or outputs > FEW_CHANNELS:
        return None
    taps = [(r, k, (r + k) // 2, (r + k) % 2) for r in (0, 1) for k in range(side)]
    reach = (side + 1) // 2
    weight = np.zeros((outputs, 2, 2, 2, 2, channels, reach, reach), whole.dtype)
    for row, k, y, odd_y in taps:
        for column, l, x, odd_x in taps:  # noqa: E741
            weight[:, row, column, odd_y, odd_x, :, y, x] = whole[:, :, k, l]
    return _finished(
        node, constants, weight.reshape(outputs, 2, 2, 4 * channels, reach, reach), [0, 0, 0, 0], folded=True
    )


def _finished(
    node: Any, constants: dict[str, NDArray[Any]], weight: NDArray[Any], pads: list[int], *, folded: bool
) -> Layers | None:
    bias = None
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in constants:
            return None
        bias = constants[node.input[2]].repeat(4)
    return np.ascontiguousarray(weight.reshape(-1, *weight.shape[3:])), bias, pads, folded


# --- the measurement ---------------------------------------------------------------------------


def programs_of(widths: tuple[int, ...]) -> dict[str, Any]:
    """The separable ResNet-9 of *widths* at 256x256 as it is exported, and rewritten."""
    from gancomp.deploy.formats import exported_onnx
    from gancomp.deploy.subnets import random_generator
    from gancomp.spec import GeneratorSpec

    exported = exported_onnx(random_generator(GeneratorSpec(widths=widths, block="separable")))
    return {"as exported": exported, "rewritten": rewritten(exported)}


def runs_of(programs: dict[str, Any], threads: int) -> dict[tuple[str, str], Callable[[NDArray[Any]], Any]]:
    """By runtime and program what runs it; first CycleGAN's original in PyTorch."""
    from gancomp.deploy.runtimes import on_onnxruntime, on_openvino, on_pytorch
    from gancomp.deploy.subnets import random_generator
    from gancomp.spec import GeneratorSpec

    original = random_generator(GeneratorSpec(widths=(64,)))
    runs: dict[tuple[str, str], Callable[[NDArray[Any]], Any]] = {
        ("PyTorch", "original, ngf 64"): on_pytorch(original, threads)
    }
    for name, program in programs.items():
        content = program.SerializeToString()
        runs["ONNX Runtime", name] = on_onnxruntime(content, threads)[0]
        runs["OpenVINO, fp32", name] = on_openvino(content, threads, "exact")[0]
        runs["OpenVINO, its default", name] = on_openvino(content, threads)[0]
    return runs


def main() -> None:
    """Print the fastest run of each by the clock and by processor time, taken in turns, and factors of the latter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", default="32_32_40_32_32_40_24_16", help="of the compressed ResNet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    runs = runs_of(programs_of(tuple(int(width) for width in asked.widths.split("_"))), asked.threads)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in runs}
    for turn in range(asked.rounds + 1):
        for key, run in runs.items():
            wall, busy = time.perf_counter(), time.process_time()
            run(x)
            if turn:
                times[key].append((time.perf_counter() - wall, time.process_time() - busy))
    base = min(busy for _, busy in times["PyTorch", "original, ngf 64"])
    print(
        "| Runtime | Program | ms, clock | ms, processor | x faster than the original |",
        "| :-- | :-- | --: | --: | --: |",
        sep="\n",
    )
    for (runtime, name), taken in times.items():
        wall, busy = (min(one[at] for one in taken) for at in (0, 1))
        print(f"| {runtime} | {name} | {wall * 1e3:.1f} | {busy * 1e3:.1f} | {base / busy:.1f} |")


if __name__ == "__main__":
    main()
