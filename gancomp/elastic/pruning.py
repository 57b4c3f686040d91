"""The student's first weights: the teacher's filters of largest L1 norm, in descending order (Section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from gancomp.spec import GeneratorSpec

Tensors = dict[str, Tensor]


def prune(tensors: Tensors, spec: GeneratorSpec, widths: tuple[int, ...]) -> Tensors:
    """Weights of *spec*'s generator narrowed to *widths*, under the same names.

    Filters are ranked after their input channels were taken, so a norm counts what the student keeps. Descending
    order makes the leading channels the important ones, which the once-for-all network's slicing relies on. A
    residual block writes its channels in the order in which it reads them.
    """
    return _FAMILIES[spec.family](tensors, spec, widths)


def _strongest(weight: Tensor, keep: int, dim: int) -> Tensor:
    """Indices along *dim* of the *keep* slices of largest L1 norm, in descending order."""
    norms = weight.abs().sum(dim=[axis for axis in range(weight.dim()) if axis != dim])
    return norms.argsort(descending=True, stable=True)[:keep]


def _prune_resnet(tensors: Tensors, spec: GeneratorSpec, c: tuple[int, ...]) -> Tensors:
    pruned: Tensors = {}

    def narrow(name: str, inputs: Tensor | None, outputs: int | Tensor, *, transposed: bool = False) -> Tensor:
        """Cut one convolution to *inputs* and to *outputs*, a count to rank by or an order to keep; the order kept."""
        weight = tensors[f"{name}.weight"]
        out_dim, in_dim = (1, 0) if transposed else (0, 1)
        if inputs is not None:
            weight = weight.index_select(in_dim, inputs)
        order = _strongest(weight, outputs, out_dim) if isinstance(outputs, int) else outputs
        pruned[f"{name}.weight"] = weight.index_select(out_dim, order)
        pruned[f"{name}.bias"] = tensors[f"{name}.bias"][order]
        return order

    def narrow_block(name: str, inputs: Tensor, outputs: int | Tensor) -> Tensor:
        if spec.block == "dense":
            return narrow(name, inputs, outputs)
        narrow(f"{name}.0", None, inputs)  # depthwise: one filter a channel, in the order of its input
        return narrow(f"{name}.2", inputs, outputs)

    order = narrow("stem.1", None, c[0])
    order = narrow("down1.0", order, 2 * c[1])
    trunk = narrow("down2.0", order, 4 * c[2])
    for group, inner in enumerate((c[3], c[4], c[5]), start=1):
        for block in range(spec.blocks // 3):
            branch = f"blocks{group}.{block}.branch"
            narrow_block(f"{branch}.5", narrow_block(f"{branch}.1", trunk, 4 * inner), trunk)
    order = narrow("up1.0", trunk, 2 * c[6], transposed=True)
    order = narrow("output.0", order, c[7], transposed=True)
    narrow("output.4", order, torch.arange(spec.out_channels))  # colours keep their order
    return pruned


_FAMILIES = {"resnet": _prune_resnet}
