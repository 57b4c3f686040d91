"""Evaluate a Core ML program in PyTorch, operation by operation, on machines without Core ML.

This verifies that the written program computes what the generator does. It does not show how Core ML itself rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gancomp.deploy.runtimes import Pixels, Run
from gancomp.errors import GancompError

#: The values of an operation's inputs, by their names in MIL.
Inputs = dict[str, Any]
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}


def interpreted(package: Path) -> Run:
    """The program in *package* (an .mlpackage), read from its files. Raises GancompError for an unknown operation."""
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = coremltools.utils.load_spec(str(package))
    weights = package / "Data/com.apple.CoreML/weights"
    function = load(spec, spec.specificationVersion, str(weights)).functions["main"]
    operations = list(function.operations)
    if unknown := {one.op_type for one in operations} - {"const", *OPERATIONS}:
        raise GancompError(f"Core ML: {', '.join(sorted(unknown))}: not among the operations that gancomp can verify")

    @torch.inference_mode()
    def run(x: Pixels) -> Pixels:
        values: dict[str, Any] = {name: torch.from_numpy(x) for name in function.inputs}

        def value(of: Any) -> Any:
            if isinstance(of, (tuple, list)):
                return [value(one) for one in of]
            return of.val if of.val is not None else values[of.name]

        for one in operations:
            if one.op_type != "const":
                given = {name: value(of) for name, of in one.inputs.items() if of is not None}
                values[one.outputs[0].name] = OPERATIONS[one.op_type](given)
        made: Pixels = values[function.outputs[0].name].float().numpy()
        return made

    return run


def _tensor(value: Any, like: Tensor | None = None) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.asarray(value))
    return tensor if like is None else tensor.to(like.dtype)


def _optional(given: Inputs, name: str) -> Tensor | None:
    return _tensor(given[name], given["x"]) if name in given else None


def _ints(value: Any) -> list[int]:
    return [int(one) for one in np.asarray(value).reshape(-1)]


def _conv(given: Inputs) -> Tensor:
    x, weight = given["x"], _tensor(given["weight"], given["x"])
    top, bottom, left, right = _pads(given)
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)),
        weight,
        _optional(given, "bias"),
        _ints(given["strides"]),
        0,
        _ints(given["dilations"]),
        int(given["groups"]),
    )


def _conv_transpose(given: Inputs) -> Tensor:
    x, weight = given["x"], _tensor(given["weight"], given["x"])
    strides, dilations = _ints(given["strides"]), _ints(given["dilations"])
    whole = F.conv_transpose2d(
        x, weight, _optional(given, "bias"), strides, groups=int(given["groups"]), dilation=dilations
    )
    top, bottom, left, right = _pads(given)
    height, width = whole.shape[2] - top - bottom, whole.shape[3] - left - right
    if "output_shape" in given:
        height, width = _ints(given["output_shape"])[-2:]
    # What lies beyond the last pixel that the kernel reaches is the bias alone.
    grown = F.pad(whole, (0, max(0, left + width - whole.shape[3]), 0, max(0, top + height - whole.shape[2])))
    if (bias := _optional(given, "bias")) is not None:
        grown[:, :, whole.shape[2] :] = bias.view(1, -1, 1, 1)
        grown[:, :, :, whole.shape[3] :] = bias.view(1, -1, 1, 1)
    return grown[:, :, top : top + height, left : left + width]


def _pads(given: Inputs) -> list[int]:
    kind = str(given["pad_type"])
    if kind not in ("valid", "custom"):
        raise GancompError(f"Core ML: gancomp cannot verify a convolution with pad_type {kind!r}")
    return [0, 0, 0, 0] if kind == "valid" else _ints(given["pad"])


def _pad(given: Inputs) -> Tensor:
    sides = _ints(given["pad"])
    pairs = [sides[at : at + 2] for at in range(0, len(sides), 2)]
    while len(pairs) > 2 and pairs[0] == [0, 0]:
        pairs.pop(0)
    mode = {"reflect": "reflect", "replicate": "replicate", "constant": "constant"}[str(given["mode"])]
    value = float(given["constant_val"]) if mode == "constant" else None
    return F.pad(given["x"], [side for pair in reversed(pairs) for side in pair], mode, value)


def _crop(given: Inputs) -> Tensor:
    x: Tensor = given["x"]
    (top, bottom), (left, right) = _ints(given["crop_height"]), _ints(given["crop_width"])
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _slice(given: Inputs) -> Tensor:
    x: Tensor = given["x"]
    if np.any(given.get("squeeze_mask", False)):
        raise GancompError("Core ML: gancomp cannot verify a slice that drops a dimension")
    begins, ends = _ints(given["begin"]), _ints(given["end"])
    steps = _ints(given["stride"]) if "stride" in given else [1] * x.dim()
    from_start, to_end = (
        [bool(one) for one in np.asarray(given[mask])] if mask in given else [False] * x.dim()
        for mask in ("begin_mask", "end_mask")
    )
    each = zip(begins, ends, steps, from_start, to_end, strict=True)
    return x[tuple(slice(None if b0 else begin, None if e0 else end, step) for begin, end, step, b0, e0 in each)]


def _batch_norm(given: Inputs) -> Tensor:
    x = given["x"]
    mean, variance = _tensor(given["mean"], x), _tensor(given["variance"], x)
    gamma, beta = _optional(given, "gamma"), _optional(given, "beta")
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(given["epsilon"]))


def _instance_norm(given: Inputs) -> Tensor:
    gamma, beta = _optional(given, "gamma"), _optional(given, "beta")
    return F.instance_norm(given["x"], weight=gamma, bias=beta, eps=float(given["epsilon"]))


def _nearest(given: Inputs) -> Tensor:
    scale = float(given["scale_factor_height"]), float(given["scale_factor_width"])
    return F.interpolate(given["x"], scale_factor=scale, mode="nearest")


def _two(operation: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    def computed(given: Inputs) -> Tensor:
        x, y = given["x"], given["y"]
        like = x if isinstance(x, Tensor) else y
        return operation(_tensor(x, like), _tensor(y, like))

    return computed


OPERATIONS: dict[str, Callable[[Inputs], Tensor]] = {
    "add": _two(torch.add),
    "batch_norm": _batch_norm,
    "cast": lambda given: given["x"].to(_TYPES[str(given["dtype"])]),
    "concat": lambda given: torch.cat(given["values"], int(given["axis"])),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "crop": _crop,
    "instance_norm": _instance_norm,
    "leaky_relu": lambda given: F.leaky_relu(given["x"], float(given["alpha"])),
    "mul": _two(torch.mul),
    "pad": _pad,
    "real_div": _two(torch.div),
    "relu": lambda given: F.relu(given["x"]),
    "sigmoid": lambda given: torch.sigmoid(given["x"]),
    "slice_by_index": _slice,
    "sub": _two(torch.sub),
    "tanh": lambda given: torch.tanh(given["x"]),
    "upsample_nearest_neighbor": _nearest,
}
