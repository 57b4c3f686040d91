"""Rewrite a generator's graph in operations that the runtimes of phones support.

They lack reflection padding and instance normalisation, or compute them slowly (by tables of indices, by way of batch
normalisation). Here reflection padding becomes slices and concatenations, instance normalisation becomes means,
differences and products, and a padded transposed convolution becomes one without padding that is cropped. Making a
picture smaller by its nearest pixels, where runtimes disagree about which is nearest, becomes a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from gancomp.errors import GancompError

#: XNNPACK concatenates at most so many tensors at once.
MOST_PARTS = 5


def plain_program(module: nn.Module, example: Tensor, *, transposed: bool = True) -> ExportedProgram:
    """Returns the graph of *module* in ATen's core operations, rewritten as above, for inputs of *example*'s size.

    Where *transposed*, transposed convolutions keep their padding.
    """
    table = torch.export.default_decompositions()
    table[torch.ops.aten.reflection_pad2d.default] = _reflected
    table[torch.ops.aten.instance_norm.default] = _normalised
    for operator, decomposed in EVERY_NTH.items():
        table[operator] = decomposed
    table[torch.ops.aten._native_batch_norm_legit_no_training.default] = _without_parameters
    if not transposed:
        table[torch.ops.aten.conv_transpose2d.input] = _transposed
    program: ExportedProgram = torch.export.export(module, (example,)).run_decompositions(table)
    return program


def _reflected(x: Tensor, padding: list[int]) -> Tensor:
    left, right, top, bottom = padding
    return _reflected_along(_reflected_along(x, -1, left, right), -2, top, bottom)


def _reflected_along(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    last = x.shape[dim] - 1
    parts = [x.narrow(dim, at, 1) for at in range(before, 0, -1)]
    parts += [x]
    parts += [x.narrow(dim, last - at, 1) for at in range(1, after + 1)]
    while len(parts) > 1:
        some = [parts[at : at + MOST_PARTS] for at in range(0, len(parts), MOST_PARTS)]
        parts = [torch.cat(group, dim) if len(group) > 1 else group[0] for group in some]
    return parts[0]


def _normalised(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    by_picture: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Tensor:
    if not by_picture:
        raise GancompError("instance normalisation by running statistics has no plain form here")
    centred = x - x.mean((-2, -1), keepdim=True)
    # Two passes, as the difference of two large sums would cancel.
    out = centred * torch.rsqrt((centred * centred).mean((-2, -1), keepdim=True) + eps)
    if weight is not None:
        out = out * weight.view(1, -1, 1, 1)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def _without_parameters(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> Any:
    """Decomposes batch normalisation without scale and shift, which ExecuTorch cannot; any other is folded later."""
    if weight is not None:
        return NotImplemented
    out = (x - mean.view(1, -1, 1, 1)) * torch.rsqrt(variance + eps).view(1, -1, 1, 1)
    return out, x.new_empty(0), x.new_empty(0)


def _every_nth(x: Tensor, size: Sequence[int] | None, factors: Sequence[float] | None) -> Any:
    """Decomposes making a picture smaller by whole factors, as PyTorch does it: the first pixel of every block."""
    sides = x.shape[-2:]
    if size is None or any(side % to for side, to in zip(sides, size, strict=True)):
        return NotImplemented
    return x[..., :: sides[0] // size[0], :: sides[1] // size[1]]


#: The decomposition that every format of phones needs.
EVERY_NTH: Any = {torch.ops.aten.upsample_nearest2d.vec: _every_nth}


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    if any(more > cut for more, cut in zip(output_padding, padding, strict=True)):
        raise GancompError(
            "a transposed convolution with an output_padding larger than its padding has no plain form here"
        )
    out: Tensor = torch.ops.aten.convolution(x, weight, bias, stride, [0, 0], dilation, True, [0, 0], groups)
    for dim, (cut, more) in enumerate(zip(padding, output_padding, strict=True), start=2):
        out = out.narrow(dim, cut, out.shape[dim] - 2 * cut + more)
    return out
