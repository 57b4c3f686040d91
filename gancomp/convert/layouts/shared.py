"""Norms, names and numbers of channels, for all layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gancomp.convert.reading import COUNTER, Refused, Tensors, some

#: The fields of GeneratorSpec except the picture's size.
Fields = dict[str, Any]


def norm_of(tensors: Tensors, norm: str, *convolutions: str) -> tuple[Fields, Tensors]:
    """The generator's norm, and its tensors with the statistics of such a norm in gancomp.

    Scales and shifts are batch norm's, or an affine instance norm's, which equals batch norm with each picture's own
    statistics (`statistics: batch`). The latter has no running statistics, or else (pix2pix) has biases before it;
    then `statistics` is None, because the file does not show it. Without scales, biases before the norm mean instance
    norm, and no biases mean none.
    """
    biased = any(f"{name}.bias" in tensors for name in convolutions)
    if f"{norm}.weight" not in tensors:
        return {"norm": "instance" if biased else "none"}, without_instance_statistics(tensors)
    if not any(name.endswith("running_mean") for name in tensors):
        return {"norm": "batch", "statistics": "batch"}, _with_unread_statistics(tensors)
    return {"norm": "batch"} | ({"statistics": None} if biased else {}), tensors


def separable_norm(tensors: Tensors, convolution: str, usual: str) -> str | None:
    """The norm between depthwise and pointwise, if it is not the *usual* one; instance norm has no tensors.

    GAN Compression's is instance norm, whatever the norm of its other layers.
    """
    if f"{convolution}.2.weight" not in tensors:
        return None
    found = (
        "batch" if f"{convolution}.1.running_mean" in tensors and f"{convolution}.1.weight" in tensors else "instance"
    )
    return None if found == usual else found


def with_names(tensors: Tensors, rename: Callable[[str], str | None]) -> Tensors:
    """The tensors under their names in gancomp. Raises Refused with those for which *rename* returns None."""
    names = {name: rename(name) for name in tensors}
    if unknown := [name for name, own in names.items() if own is None]:
        raise Refused(f"has unknown tensors for its layout: {some(unknown)}")
    return {own: tensors[name] for name, own in names.items() if own is not None}


def _with_unread_statistics(tensors: Tensors) -> Tensors:
    """Add a new batch norm's running statistics, which are unused with each picture's own statistics."""
    norms = [name.removesuffix("weight") for name in tensors if name.endswith(".weight") and tensors[name].ndim == 1]
    means = {f"{norm}running_mean": torch.zeros_like(tensors[f"{norm}weight"]) for norm in norms}
    return tensors | means | {f"{norm}running_var": torch.ones_like(tensors[f"{norm}weight"]) for norm in norms}


def without_instance_statistics(tensors: Tensors) -> Tensors:
    """Remove statistics of instance norms, which files from before PyTorch 0.4 contain but never use."""
    unread = ("running_mean", "running_var", COUNTER)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(unread)}


def outputs_of(tensors: Mapping[str, torch.Tensor], layer: str, scale: int = 1, side: int = 0) -> int:
    """Width of a convolution from dimension *side* of its weight, in units of *scale* channels."""
    weight = tensors.get(f"{layer}.weight")
    if weight is None or weight.ndim != 4:
        raise Refused(f"has no convolution for {layer}")
    if weight.shape[side] % scale:
        raise Refused(f"has {weight.shape[side]} channels at {layer}, which is not a multiple of {scale}")
    return weight.shape[side] // scale
