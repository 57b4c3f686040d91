"""SPADE generators: GauGAN's, and GAN Compression's.

| there                                             | here                                                        |
| :------------------------------------------------ | :---------------------------------------------------------- |
| `fc` · `conv_img`                                 | `fc` · `output`                                             |
| `head_0`, `G_middle_0`, `G_middle_1`, `up_0…3`    | `head`, `middle1`, `middle2`, `up1…4`                       |
| `.conv_0`, `.conv_1`, `.conv_s`                   | the same; spectral norm (`weight_orig`, `_u`, `_v`) is folded |
| `.norm_0.param_free_norm`                         | `.norm_0.norm` (likewise `norm_1`, `norm_s`)                |
| `.norm_0.mlp_shared.0`, `.mlp_gamma`, `.mlp_beta` | `.norm_0.shared.0`, `.gamma`, `.beta`                       |
| `.mlp_gamma.conv.0`, `.2`                         | separable: depthwise `.gamma.0`, pointwise `.gamma.2`       |
| `.param_free_norm.running_mean`, `_var`           | separable: the leading ones of the whole network's channels |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from gancomp.convert.layouts.shared import Fields, outputs_of, separable_norm, with_names
from gancomp.convert.reading import Refused, Tensors

_SPADE_PARTS = {"fc": "fc", "conv_img": "output", "head_0": "head", "G_middle_0": "middle1", "G_middle_1": "middle2"}
_SPADE_PARTS |= {f"up_{index}": f"up{index + 1}" for index in range(4)}
_SPADE_NORM = {"param_free_norm": "norm", "mlp_shared": "shared", "mlp_gamma": "gamma", "mlp_beta": "beta"}


def read_spade(tensors: Tensors) -> tuple[Fields, Tensors]:
    if any(name.startswith("up_4.") for name in tensors):
        raise Refused("doubles seven times (`most`, with up_4); supported are `normal` and `more`")
    if "fc.weight" in tensors and tensors["fc.weight"].ndim == 2:
        raise Refused(
            "starts from a style vector (trained with --use_vae); only generators that start from labels are supported"
        )

    def rename(name: str) -> str | None:
        part, _, rest = name.partition(".")
        if match := re.fullmatch(r"(norm_[01s])\.(\w+)\.(?:conv\.)?(.+)", rest):
            own = _SPADE_NORM.get(match[2])
            rest = f"{match[1]}.{own}.{match[3]}" if own else ""
        return f"{_SPADE_PARTS[part]}.{rest}" if part in _SPADE_PARTS and rest else None

    renamed = _with_own_statistics(with_names(_folded(tensors), rename))
    for number in range(1, 5):
        inner, inputs = (outputs_of(renamed, f"up{number}.conv_0", side=side) for side in (0, 1))
        if inner > inputs:
            raise Refused(
                f"widens from {inputs} to {inner} channels within up_{number - 1}, which is not supported: use a "
                f"sub-network whose up_{number - 1} has no more output channels than input channels"
            )
    norm = "batch" if "head.norm_0.norm.running_mean" in renamed else "instance"
    scales = {"fc": 16, "head.conv_0": 16, "middle1.conv_0": 16, "middle2.conv_0": 16}
    scales |= {"up1.conv_1": 8, "up2.conv_1": 4, "up3.conv_1": 2, "up4.conv_1": 1}
    widths = tuple(outputs_of(renamed, name, scale) for name, scale in scales.items())
    return {
        "family": "spade",
        "block": "separable" if "head.norm_0.gamma.0.weight" in renamed else "dense",
        "widths": widths,
        "hidden": _hidden(renamed, widths),
        "norm": norm,
        "separable_norm": separable_norm(renamed, "head.norm_0.gamma", "instance"),
        "in_channels": outputs_of(renamed, "fc", side=1),
        "out_channels": outputs_of(renamed, "output"),
    }, renamed


def _hidden(tensors: Tensors, widths: Sequence[int]) -> int | None:
    """Hidden channels of the SPADE layers if equal in all blocks (128 in SPADE's own code) and not 2c; else None."""
    blocks = ("head", "middle1", "middle2", "up1", "up2", "up3", "up4")
    found = [outputs_of(tensors, f"{block}.norm_0.shared.0") for block in blocks]
    return found[0] if len(set(found)) == 1 and found != [2 * width for width in widths[1:]] else None


def _with_own_statistics(tensors: Tensors) -> Tensors:
    """Cut statistics to the layer's channels: GAN Compression's sub-networks keep those of the whole network."""
    own = dict(tensors)
    for name in tensors:
        match = re.fullmatch(r"(.+)\.norm\.running_(?:mean|var)", name)
        if match and f"{match[1]}.gamma.2.weight" in tensors:
            own[name] = tensors[name].flatten()[: outputs_of(tensors, f"{match[1]}.gamma.2")].clone()
    return own


def _folded(tensors: Tensors) -> Tensors:
    """Fold the spectral norm of PyTorch's older API into the weights: weight = weight_orig / σ, σ = uᵀ W v."""
    folded = dict(tensors)
    for name in [name for name in tensors if name.endswith(".weight_orig")]:
        layer = name.removesuffix("_orig")
        weight = folded.pop(name)
        u, v = (folded.pop(f"{layer}_{side}", None) for side in "uv")
        if u is None or v is None or (u.numel(), v.numel()) != (len(weight), weight[:1].numel()):
            raise Refused(f"{name} needs {layer}_u and {layer}_v of matching size for its spectral norm")
        folded[layer] = weight / torch.dot(u.flatten(), weight.flatten(1) @ v.flatten())
        if not torch.isfinite(folded[layer]).all():
            raise Refused(f"{name} has a spectral norm of zero")
    return folded
