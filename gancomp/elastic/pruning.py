"""The student's first weights: the teacher's filters of largest L1 norm, in descending order (Section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from gancomp.spec import GeneratorSpec

Tensors = dict[str, Tensor]


def prune(tensors: Tensors, spec: GeneratorSpec, widths: tuple[int, ...]) -> Tensors:
    """Weights of a generator narrowed to *spec*'s at *widths*, under the same names.

    Filters are ranked after their input channels were taken, so a norm counts what the student keeps. Descending
    order makes the leading channels the important ones, which the once-for-all network's slicing relies on. What is
    added has one order: a residual block writes its channels in the order in which it reads them, and a learned
    shortcut in the order of its block. Everything that belongs to a channel follows it: depthwise filters, BatchNorm,
    SPADE's scale and shift.

    Raises ValueError for a family that is not elastic.
    """
    if spec.family not in _FAMILIES:
        raise ValueError(f"a {spec.family} generator has no narrower student to prune into")
    pruning = _Pruning(tensors, spec)
    _FAMILIES[spec.family](pruning, widths)
    return pruning.pruned


def _strongest(weight: Tensor, keep: int, dim: int) -> Tensor:
    """Indices along *dim* of the *keep* slices of largest L1 norm, in descending order."""
    norms = weight.abs().sum(dim=[axis for axis in range(weight.dim()) if axis != dim])
    return norms.argsort(descending=True, stable=True)[:keep]


class _Pruning:
    """Cuts layer after layer, in execution order, and remembers the result in `pruned`."""

    def __init__(self, tensors: Tensors, spec: GeneratorSpec) -> None:
        self.tensors, self.spec = tensors, spec
        self.pruned: Tensors = {}

    def convolution(
        self, name: str, inputs: Tensor | None, outputs: int | Tensor, *, transposed: bool = False
    ) -> Tensor:
        """Cut to *inputs* (None: all) and to *outputs*, a count to rank by or an order to keep; the order kept.

        A decomposed one is ranked by its pointwise part; depthwise it has one filter a channel, in the input's order.
        """
        if f"{name}.2.weight" in self.tensors:
            seen = torch.arange(len(self.tensors[f"{name}.0.weight"])) if inputs is None else inputs
            self.convolution(f"{name}.0", None, seen)
            self.norm(f"{name}.1", seen)
            return self.convolution(f"{name}.2", seen, outputs)
        weight = self.tensors[f"{name}.weight"]
        out_dim, in_dim = (1, 0) if transposed else (0, 1)
        if inputs is not None:
            weight = weight.index_select(in_dim, inputs)
        order = _strongest(weight, outputs, out_dim) if isinstance(outputs, int) else outputs
        self.pruned[f"{name}.weight"] = weight.index_select(out_dim, order)
        if f"{name}.bias" in self.tensors:
            self.pruned[f"{name}.bias"] = self.tensors[f"{name}.bias"][order]
        return order

    def norm(self, name: str, order: Tensor) -> None:
        """What a normalisation has of its channels: nothing, or BatchNorm's parameters and statistics."""
        for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            own = self.tensors.get(f"{name}.{key}")
            if own is not None:
                self.pruned[f"{name}.{key}"] = own[order] if own.dim() else own.clone()

    def modulation(self, name: str, order: Tensor, hidden: int) -> None:
        """One SPADE layer, of channels in *order*."""
        self.norm(f"{name}.norm", order)
        seen = self.convolution(f"{name}.shared.0", None, hidden)
        self.convolution(f"{name}.gamma", seen, order)
        self.convolution(f"{name}.beta", seen, order)


def _prune_resnet(pruning: _Pruning, c: tuple[int, ...]) -> None:
    def narrow(segment: str, index: int, inputs: Tensor | None, outputs: int, *, transposed: bool = False) -> Tensor:
        order = pruning.convolution(f"{segment}.{index}", inputs, outputs, transposed=transposed)
        pruning.norm(f"{segment}.{index + 1}", order)
        return order

    order = narrow("stem", 1, None, c[0])
    order = narrow("down1", 0, order, 2 * c[1])
    trunk = narrow("down2", 0, order, 4 * c[2])
    for group, (width, count) in enumerate(zip(c[3:6], pruning.spec.groups, strict=True), start=1):
        for block in range(count):
            branch = f"blocks{group}.{block}.branch"
            inner = pruning.convolution(f"{branch}.1", trunk, 4 * width)
            pruning.norm(f"{branch}.2", inner)
            pruning.convolution(f"{branch}.5", inner, trunk)
            pruning.norm(f"{branch}.6", trunk)
    order = narrow("up1", 0, trunk, 2 * c[6], transposed=True)
    order = narrow("output", 0, order, c[7], transposed=True)
    pruning.convolution("output.4", order, torch.arange(pruning.spec.out_channels))  # colours keep their order


def _prune_spade(pruning: _Pruning, c: tuple[int, ...]) -> None:
    def narrow(name: str, inputs: Tensor, inner: int, outputs: int | Tensor, hidden: int) -> Tensor:
        """One block; the order of its outputs."""
        pruning.modulation(f"{name}.norm_0", inputs, hidden)
        middle = pruning.convolution(f"{name}.conv_0", inputs, inner)
        pruning.modulation(f"{name}.norm_1", middle, hidden)
        return pruning.convolution(f"{name}.conv_1", middle, outputs)

    trunk = pruning.convolution("fc", None, 16 * c[0])  # every class is kept
    for name, width in (("head", c[1]), ("middle1", c[2]), ("middle2", c[3])):
        narrow(name, trunk, 16 * width, trunk, pruning.spec.hidden_of(width))
    order = trunk
    for number, width in enumerate(c[4:], start=1):
        name, inputs = f"up{number}", order
        outputs = 2 ** (4 - number) * width
        order = narrow(name, inputs, min(len(inputs), outputs), outputs, pruning.spec.hidden_of(width))
        pruning.modulation(f"{name}.norm_s", inputs, pruning.spec.hidden_of(width))
        pruning.convolution(f"{name}.conv_s", inputs, order)
    pruning.convolution("output", order, torch.arange(pruning.spec.out_channels))  # colours keep their order


_FAMILIES = {"resnet": _prune_resnet, "spade": _prune_spade}
