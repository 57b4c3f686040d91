"""What the layouts share: norms, names, numbers of channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gancomp.convert.reading import COUNTER, Refused, Tensors, some

#: What GeneratorSpec needs beside the picture's size.
Fields = dict[str, Any]


def norm_of(tensors: Tensors, norm: str, *convolutions: str) -> tuple[Fields, Tensors]:
    """What norm the generator has, and its tensors with the statistics that such a norm keeps here.

    Scales and shifts are batch norm's, or an affine instance norm's, which is batch norm by each picture's own
    statistics (`statistics: batch`): it keeps no others, or, where it does, comes with biases before it (pix2pix), and
    then `statistics` is None: the file does not say. Without scales a norm with a bias before it is instance norm, and
    none without.
    """
    biased = any(f"{name}.bias" in tensors for name in convolutions)
    if f"{norm}.weight" not in tensors:
        return {"norm": "instance" if biased else "none"}, without_instance_statistics(tensors)
    if not any(name.endswith("running_mean") for name in tensors):
        return {"norm": "batch", "statistics": "batch"}, _with_unread_statistics(tensors)
    return {"norm": "batch"} | ({"statistics": None} if biased else {}), tensors


def separable_norm(tensors: Tensors, convolution: str, usual: str) -> str | None:
    """The normalisation between depthwise and pointwise, where it is not the *usual* one; instance norm shows nothing.

    GAN Compression's is instance norm whatever the other layers have.
    """
    if f"{convolution}.2.weight" not in tensors:
        return None
    found = (
        "batch" if f"{convolution}.1.running_mean" in tensors and f"{convolution}.1.weight" in tensors else "instance"
    )
    return None if found == usual else found


def with_names(tensors: Tensors, rename: Callable[[str], str | None]) -> Tensors:
    """Every tensor under its name here; Refused lists those that have none."""
    names = {name: rename(name) for name in tensors}
    if unknown := [name for name, own in names.items() if own is None]:
        raise Refused(f"has tensors that the layout does not know: {some(unknown)}")
    return {own: tensors[name] for name, own in names.items() if own is not None}


def _with_unread_statistics(tensors: Tensors) -> Tensors:
    """With the running statistics that a fresh batch norm has; by each picture's own nothing reads them."""
    norms = [name.removesuffix("weight") for name in tensors if name.endswith(".weight") and tensors[name].ndim == 1]
    means = {f"{norm}running_mean": torch.zeros_like(tensors[f"{norm}weight"]) for norm in norms}
    return tensors | means | {f"{norm}running_var": torch.ones_like(tensors[f"{norm}weight"]) for norm in norms}


def without_instance_statistics(tensors: Tensors) -> Tensors:
    """Files from before PyTorch 0.4 hold statistics of instance norms, which nothing reads."""
    unread = ("running_mean", "running_var", COUNTER)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(unread)}


def outputs_of(tensors: Mapping[str, torch.Tensor], layer: str, scale: int = 1, side: int = 0) -> int:
    """Width of a convolution by its weight's dimension *side*, in units of *scale* channels."""
    weight = tensors.get(f"{layer}.weight")
    if weight is None or weight.ndim != 4:
        raise Refused(f"has no convolution where {layer} should be")
    if weight.shape[side] % scale:
        raise Refused(f"has {weight.shape[side]} channels at {layer}, which is no multiple of {scale}")
    return weight.shape[side] // scale
