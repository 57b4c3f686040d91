"""The names under which others keep their networks, and gancomp's for the same tensors.

pytorch-CycleGAN-and-pix2pix, and GAN Compression's ResNets (full, mobile, once-for-all and compressed, which differ in
widths and in how the residual blocks convolve). Positions are those of one long Sequential, `model.N`; n blocks:

| N of `model.N`                  | here                                                             |
| :------------------------------ | :--------------------------------------------------------------- |
| 1, 2                            | `stem.1`, norm `stem.2`                                          |
| 4, 5 · 7, 8                     | `down1.0`, norm `down1.1` · `down2.0`, norm `down2.1`            |
| 10 … 9+n, `.conv_block.1`, `.2` | `blocks{1,2,3}.{i}.branch.1`, norm `.2`                          |
| … `.5`, `.6`                    | `.branch.5`, norm `.branch.6`; with dropout `.6` and `.7`         |
| … `.1.conv.0`, `.1`, `.2`       | separable: depthwise `.branch.1.0`, norm `.1`, pointwise `.2`     |
| 10+n, 11+n · 13+n, 14+n         | `up1.0`, norm `up1.1` · `output.0`, norm `output.1` (transposed) |
| 17+n                            | `output.4`                                                       |

Its U-Net nests: `model.model` is the outermost level; a level's `model` holds the next at 1 (outermost) or 3:

| level              | down, norm | up, norm | (dropout, where there is any, comes last and shifts nothing) |
| :----------------- | :--------- | :------- | :----------------------------------------------------------- |
| outermost          | 0, none    | 3, none  | `down.0.conv`, `up.0.conv`                                   |
| between            | 1, 2       | 5, 6     | `down.{i}.conv`, `.norm`, `up.{i}.conv`, `.norm`             |
| innermost          | 1, none    | 3, 4     | the same, without `down.{i}.norm`                            |

SPADE, and GAN Compression's SPADE generators:

| there                                             | here                                                        |
| :------------------------------------------------ | :---------------------------------------------------------- |
| `fc` · `conv_img`                                 | `fc` · `output`                                             |
| `head_0`, `G_middle_0`, `G_middle_1`, `up_0…3`    | `head`, `middle1`, `middle2`, `up1…4`                       |
| `.conv_0`, `.conv_1`, `.conv_s`                   | the same; spectral norm (`weight_orig`, `_u`, `_v`) is folded |
| `.norm_0.param_free_norm`                         | `.norm_0.norm` (likewise `norm_1`, `norm_s`)                |
| `.norm_0.mlp_shared.0`, `.mlp_gamma`, `.mlp_beta` | `.norm_0.shared.0`, `.gamma`, `.beta`                       |
| `.mlp_gamma.conv.0`, `.2`                         | separable: depthwise `.gamma.0`, pointwise `.gamma.2`       |
| `.param_free_norm.running_mean`, `_var`           | separable: of the whole network's channels, the first kept  |

Discriminators: pytorch-CycleGAN-and-pix2pix's are one Sequential with gancomp's own positions. SPADE's:

| there, scale s, layer l of `discriminator_{s}.model{l}` | here, in `scales.{s}.layers.{l}`                       |
| :------------------------------------------------------ | :----------------------------------------------------- |
| `.0.weight`, `.bias` (the first and the last layer)     | the same                                               |
| `.0.0.weight_orig`, `_u`, `_v` (between)                | `.0.parametrizations.weight.original`, `.0._u`, `.0._v` |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gancomp.convert.reading import COUNTER, Refused, Tensors, some

#: What GeneratorSpec needs beside the picture's size.
Fields = dict[str, Any]


def recognise(tensors: Tensors) -> tuple[Fields, Tensors]:
    """The generator's fields, and its tensors under gancomp's names.

    Raises Refused when the names are of no layout above, or the layout's own parts are missing.
    """
    if any(name.startswith("head_0.") for name in tensors):
        return _spade(tensors)
    if any(name.startswith("model.model.") for name in tensors):
        return _unet(tensors)
    if blocks := _residual_blocks(tensors):
        return _resnet(tensors) if blocks[0] == 10 and not _filters(tensors) else _residual(tensors, blocks)
    if any(name.startswith(("model.0.", "discriminator_0.")) for name in tensors):
        raise Refused("is a discriminator; where a generator is asked for, name the file with G in its name")
    raise Refused(
        f"has tensors of no known generator ({some(list(tensors))}); known are ResNets and U-Nets of "
        "pytorch-CycleGAN-and-pix2pix and CUT, pix2pixHD's global generator, SPADE, and the generators of GAN "
        "Compression. Any other is read with the function that builds it: --generator package.module:function "
        "--weights FILE"
    )


# --- ResNet ------------------------------------------------------------------------------------


def _resnet(tensors: Tensors) -> tuple[Fields, Tensors]:
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"model\.(\d{1,4})\.conv_block\.", name))}
    blocks = len(numbers)
    if numbers != set(range(10, 10 + blocks)) or blocks < 3:
        raise Refused(f"has {blocks} residual blocks from model.{min(numbers)} on; known are 3 or more from 10 on")
    parts = {1: "stem.1", 2: "stem.2", 4: "down1.0", 5: "down1.1", 7: "down2.0", 8: "down2.1"}
    parts |= {10 + blocks: "up1.0", 11 + blocks: "up1.1", 13 + blocks: "output.0", 14 + blocks: "output.1"}
    parts |= {17 + blocks: "output.4"}
    # Dropout takes a place between the first activation and the second padding.
    second = 5 if any(name.startswith("model.10.conv_block.5.") for name in tensors) else 6
    places = {1: "1", 2: "2", second: "5", second + 1: "6"}

    def rename(name: str) -> str | None:
        if match := re.fullmatch(r"model\.(\d{1,4})\.conv_block\.(\d)\.(?:conv\.)?(.+)", name):
            group = min(2, (int(match[1]) - 10) // (blocks // 3))  # as in GeneratorSpec.groups
            index = int(match[1]) - 10 - group * (blocks // 3)
            place = places.get(int(match[2]))
            return f"blocks{group + 1}.{index}.branch.{place}.{match[3]}" if place else None
        match = re.fullmatch(r"model\.(\d{1,4})\.(\w+)", name)
        part = parts.get(int(match[1])) if match else None
        return f"{part}.{match[2]}" if match and part else None

    renamed = _renamed(tensors, rename)
    norm, renamed = _norm(renamed, "stem.2", "stem.1", "down1.0", "down2.0", "up1.0", "output.0")
    block = "separable" if "blocks1.0.branch.1.0.weight" in renamed else "dense"
    inner = "branch.1.2" if block == "separable" else "branch.1"
    _check_groups(renamed, inner, blocks)
    widths = (
        _outputs(renamed, "stem.1"),
        _outputs(renamed, "down1.0", 2),
        _outputs(renamed, "down2.0", 4),
        *(_outputs(renamed, f"blocks{group}.0.{inner}", 4) for group in (1, 2, 3)),
        _outputs(renamed, "up1.0", 2, side=1),
        _outputs(renamed, "output.0", side=1),
    )
    return {
        "family": "resnet",
        "block": block,
        "widths": widths,
        "blocks": blocks,
        **norm,
        "separable_norm": _separable_norm(renamed, "blocks1.0.branch.1", norm["norm"]),
        "in_channels": _outputs(renamed, "stem.1", side=1),
        "out_channels": _outputs(renamed, "output.4"),
    }, renamed


def _check_groups(tensors: Tensors, inner: str, blocks: int) -> None:
    """Raises Refused where residual blocks of one group differ in their inner width."""
    third = blocks // 3
    for group, count in enumerate((third, third, blocks - 2 * third), start=1):
        found = [_outputs(tensors, f"blocks{group}.{index}.{inner}") for index in range(count)]
        if len(set(found)) > 1:
            raise Refused(
                f"has residual blocks of {', '.join(map(str, found))} channels in one group, as GAN Compression's "
                "older (legacy) sub-networks have, and a group here has one width: take a newer sub-network, or "
                "compress the generator that it was cut from"
            )


# --- other residual generators -----------------------------------------------------------------


def _residual_blocks(tensors: Tensors) -> list[int]:
    """The positions of residual blocks in `model`."""
    found = {int(match[1]) for name in tensors if (match := re.match(r"model\.(\d{1,4})\.conv_block\.", name))}
    return sorted(found)


def _filters(tensors: Tensors) -> list[int]:
    """The positions of fixed blurring filters in `model`."""
    return sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"model\.(\d{1,4})\.filt", name)))


def _residual(tensors: Tensors, blocks: Sequence[int]) -> tuple[Fields, Tensors]:
    """What `gancomp.nets.residual` builds, by the names that it has too."""
    first, last = blocks[0], blocks[-1]
    filters = _filters(tensors)
    blurred_down, blurred_up = any(at < first for at in filters), any(at > last for at in filters)
    downs, rest = divmod(first - 4, 4 if blurred_down else 3)
    if rest or not 1 <= downs <= 5 or list(blocks) != list(range(first, last + 1)):
        raise Refused(
            f"has residual blocks at {', '.join(map(str, blocks[:4]))} … of its Sequential, where no generator of CUT "
            "or pix2pixHD has them"
        )
    output = last + downs * (4 if blurred_up else 3) + 2
    norm, tensors = _norm(tensors, "model.2", "model.1")
    kind = "affine" if norm.get("statistics") == "batch" else norm["norm"]
    if kind == "affine":  # read as what it is
        tensors = {name: tensor for name, tensor in tensors.items() if "running_" not in name}
    return {
        "family": "module",
        "builder": "gancomp.nets.residual:build",
        "norm": "instance" if kind == "affine" else kind,
        "arguments": {
            "in_channels": _outputs(tensors, "model.1", side=1),
            "out_channels": _outputs(tensors, f"model.{output}"),
            "ngf": _outputs(tensors, "model.1"),
            "downs": downs,
            "blocks": len(blocks),
            "norm": kind,
            "bias": "model.1.bias" in tensors,
            "dropout": f"model.{first}.conv_block.5.weight" not in tensors,
            "blurred_down": blurred_down,
            "blurred_up": blurred_up,
        },
    }, {f"network.{name}": tensor for name, tensor in tensors.items()}


# --- U-Net -------------------------------------------------------------------------------------


def _unet(tensors: Tensors) -> tuple[Fields, Tensors]:
    pattern = re.compile(r"model\.model\.((?:1\.model\.(?:3\.model\.){0,20})?)(\d)\.(\w+)")
    innermost = max((match[1].count("model.") for name in tensors if (match := pattern.fullmatch(name))), default=0)

    def rename(name: str) -> str | None:
        match = pattern.fullmatch(name)
        if not match:
            return None
        level, place = match[1].count("model."), int(match[2])
        if level == 0:
            parts = {0: "down.0.conv", 3: "up.0.conv"}
        elif level == innermost:
            parts = {1: f"down.{level}.conv", 3: f"up.{level}.conv", 4: f"up.{level}.norm"}
        else:
            down, up = f"down.{level}", f"up.{level}"
            parts = {1: f"{down}.conv", 2: f"{down}.norm", 5: f"{up}.conv", 6: f"{up}.norm"}
        return f"{parts[place]}.{match[3]}" if place in parts else None

    renamed = _renamed(tensors, rename)
    norm, renamed = _norm(renamed, "up.1.norm", *(f"down.{level}.conv" for level in range(innermost + 1)))
    if norm["norm"] == "batch" and "down.0.conv.bias" in renamed:
        raise Refused(
            "is a U-Net of affine instance norm (norms with scales, and convolutions with biases), which no U-Net of "
            "pix2pix has, and none here: train it with --norm instance or batch"
        )
    return {
        "family": "unet",
        "widths": (_outputs(renamed, "down.0.conv"),),
        "downs": innermost + 1,
        **norm,
        "in_channels": _outputs(renamed, "down.0.conv", side=1),
        "out_channels": _outputs(renamed, "up.0.conv", side=1),
    }, renamed


# --- SPADE -------------------------------------------------------------------------------------

_SPADE_PARTS = {"fc": "fc", "conv_img": "output", "head_0": "head", "G_middle_0": "middle1", "G_middle_1": "middle2"}
_SPADE_PARTS |= {f"up_{index}": f"up{index + 1}" for index in range(4)}
_SPADE_NORM = {"param_free_norm": "norm", "mlp_shared": "shared", "mlp_gamma": "gamma", "mlp_beta": "beta"}


def _spade(tensors: Tensors) -> tuple[Fields, Tensors]:
    if any(name.startswith("up_4.") for name in tensors):
        raise Refused("doubles seven times (`most`, with up_4); known are `normal` and `more`")
    if "fc.weight" in tensors and tensors["fc.weight"].ndim == 2:
        raise Refused(
            "starts from a style vector (trained with --use_vae); known are generators that start from labels"
        )

    def rename(name: str) -> str | None:
        part, _, rest = name.partition(".")
        if match := re.fullmatch(r"(norm_[01s])\.(\w+)\.(?:conv\.)?(.+)", rest):
            own = _SPADE_NORM.get(match[2])
            rest = f"{match[1]}.{own}.{match[3]}" if own else ""
        return f"{_SPADE_PARTS[part]}.{rest}" if part in _SPADE_PARTS and rest else None

    renamed = _with_own_statistics(_renamed(_folded(tensors), rename))
    for number in range(1, 5):
        inner, inputs = (_outputs(renamed, f"up{number}.conv_0", side=side) for side in (0, 1))
        if inner > inputs:
            raise Refused(
                f"widens from {inputs} to {inner} channels within up_{number - 1}, which no block here does: take a "
                f"sub-network whose up_{number - 1} writes no more channels than it reads"
            )
    norm = "batch" if "head.norm_0.norm.running_mean" in renamed else "instance"
    scales = {"fc": 16, "head.conv_0": 16, "middle1.conv_0": 16, "middle2.conv_0": 16}
    scales |= {"up1.conv_1": 8, "up2.conv_1": 4, "up3.conv_1": 2, "up4.conv_1": 1}
    widths = tuple(_outputs(renamed, name, scale) for name, scale in scales.items())
    return {
        "family": "spade",
        "block": "separable" if "head.norm_0.gamma.0.weight" in renamed else "dense",
        "widths": widths,
        "hidden": _hidden(renamed, widths),
        "norm": norm,
        "separable_norm": _separable_norm(renamed, "head.norm_0.gamma", "instance"),
        "in_channels": _outputs(renamed, "fc", side=1),
        "out_channels": _outputs(renamed, "output"),
    }, renamed


def _hidden(tensors: Tensors, widths: Sequence[int]) -> int | None:
    """Hidden channels of the SPADE layers where all blocks have as many (SPADE's own has 128), and not 2c."""
    blocks = ("head", "middle1", "middle2", "up1", "up2", "up3", "up4")
    found = [_outputs(tensors, f"{block}.norm_0.shared.0") for block in blocks]
    return found[0] if len(set(found)) == 1 and found != [2 * width for width in widths[1:]] else None


def _with_own_statistics(tensors: Tensors) -> Tensors:
    """GAN Compression's sub-networks keep the statistics of all of the whole network's channels, and read the first."""
    own = dict(tensors)
    for name in tensors:
        match = re.fullmatch(r"(.+)\.norm\.running_(?:mean|var)", name)
        if match and f"{match[1]}.gamma.2.weight" in tensors:
            own[name] = tensors[name].flatten()[: _outputs(tensors, f"{match[1]}.gamma.2")].clone()
    return own


def _folded(tensors: Tensors) -> Tensors:
    """Spectral norm, as PyTorch's first form keeps it, divided out: weight = weight_orig / σ, σ = uᵀ W v."""
    folded = dict(tensors)
    for name in [name for name in tensors if name.endswith(".weight_orig")]:
        layer = name.removesuffix("_orig")
        weight = folded.pop(name)
        u, v = (folded.pop(f"{layer}_{side}", None) for side in "uv")
        if u is None or v is None or (u.numel(), v.numel()) != (len(weight), weight[:1].numel()):
            raise Refused(f"{name} has no {layer}_u and {layer}_v that fit it, which its spectral norm needs")
        folded[layer] = weight / torch.dot(u.flatten(), weight.flatten(1) @ v.flatten())
        if not torch.isfinite(folded[layer]).all():
            raise Refused(f"{name} has a spectral norm of zero")
    return folded


# --- discriminators ----------------------------------------------------------------------------


def recognise_discriminator(tensors: Tensors) -> tuple[Fields, Tensors]:
    """A discriminator's shape (channels that it sees, ndf, layers, scales), and its tensors under gancomp's names.

    `scales` is missing for the PatchGAN of pix2pix and CycleGAN. gancomp's own names are known too. Raises Refused for
    any other, and where the norm is not instance norm, which gancomp's discriminators have.
    """
    if any(name.startswith(("discriminator_0.", "scales.0.")) for name in tensors):
        return _multiscale_discriminator(tensors)
    return _patch_discriminator(tensors)


#: What to do with a discriminator that is not taken.
_WITHOUT = "go without it; students then begin against a fresh one"


def _patch_discriminator(tensors: Tensors) -> tuple[Fields, Tensors]:
    if "net.0.weight" in tensors:
        raise Refused(
            f"is a discriminator of single pixels (pix2pix's pixel), and those here judge patches: {_WITHOUT}"
        )
    places = sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"model\.(\d{1,3})\.weight", name)))
    if places[:1] != [0] or len(places) < 3:
        raise Refused(
            f"has tensors of no known discriminator ({some(list(tensors))}); known are those of "
            "pytorch-CycleGAN-and-pix2pix and SPADE"
        )
    if "model.3.weight" in tensors:
        raise Refused(f"is a discriminator with batch norm, and those here have instance norm: {_WITHOUT}")
    if "model.2.weight" in tensors and "model.2.bias" not in tensors:
        raise Refused(
            f"is a discriminator without norm (no biases: pix2pix's none), and those here have one: {_WITHOUT}"
        )
    layers = len(places) - 2
    if places != [0, *(3 * layer - 1 for layer in range(1, layers + 2))]:
        raise Refused(f"is not a PatchGAN of {layers} layers: it has weights at {places} of its Sequential")
    fields = {"channels": _outputs(tensors, "model.0", side=1), "ndf": _outputs(tensors, "model.0"), "layers": layers}
    return fields, _without_instance_statistics(tensors)


_SPECTRAL = {"weight_orig": "weight.original", "weight_u": "weight.0._u", "weight_v": "weight.0._v"}


def _multiscale_discriminator(tensors: Tensors) -> tuple[Fields, Tensors]:
    def rename(name: str) -> str | None:
        if name.startswith("scales."):
            return name
        match = re.fullmatch(r"discriminator_(\d)\.model(\d)\.0\.(?:0\.)?(\w+)", name)
        if not match:
            return None
        layer = f"scales.{match[1]}.layers.{match[2]}.0"
        return f"{layer}.parametrizations.{_SPECTRAL[match[3]]}" if match[3] in _SPECTRAL else f"{layer}.{match[3]}"

    renamed = _renamed(tensors, rename)
    first = "scales.0.layers.0.0"
    return {
        "channels": _outputs(renamed, first, side=1),
        "ndf": _outputs(renamed, first),
        "layers": len({match[1] for name in renamed if (match := re.match(r"scales\.0\.layers\.(\d)\.", name))}) - 1,
        "scales": len({match[1] for name in renamed if (match := re.match(r"scales\.(\d)\.", name))}),
    }, renamed


# --- shared ------------------------------------------------------------------------------------


def _norm(tensors: Tensors, norm: str, *convolutions: str) -> tuple[Fields, Tensors]:
    """What norm the generator has, and its tensors with the statistics that such a norm keeps here.

    Scales and shifts are batch norm's, or an affine instance norm's, which is batch norm by each picture's own
    statistics (`statistics: batch`): it keeps no others, or, where it does, comes with biases before it (pix2pix), and
    then `statistics` is None: the file does not say. Without scales a norm with a bias before it is instance norm, and
    none without.
    """
    biased = any(f"{name}.bias" in tensors for name in convolutions)
    if f"{norm}.weight" not in tensors:
        return {"norm": "instance" if biased else "none"}, _without_instance_statistics(tensors)
    if not any(name.endswith("running_mean") for name in tensors):
        return {"norm": "batch", "statistics": "batch"}, _with_unread_statistics(tensors)
    return {"norm": "batch"} | ({"statistics": None} if biased else {}), tensors


def _separable_norm(tensors: Tensors, convolution: str, usual: str) -> str | None:
    """The normalisation between depthwise and pointwise, where it is not the *usual* one; instance norm shows nothing.

    GAN Compression's is instance norm whatever the other layers have.
    """
    if f"{convolution}.2.weight" not in tensors:
        return None
    found = (
        "batch" if f"{convolution}.1.running_mean" in tensors and f"{convolution}.1.weight" in tensors else "instance"
    )
    return None if found == usual else found


def _renamed(tensors: Tensors, rename: Callable[[str], str | None]) -> Tensors:
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


def _without_instance_statistics(tensors: Tensors) -> Tensors:
    """Files from before PyTorch 0.4 hold statistics of instance norms, which nothing reads."""
    unread = ("running_mean", "running_var", COUNTER)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(unread)}


def _outputs(tensors: Mapping[str, torch.Tensor], layer: str, scale: int = 1, side: int = 0) -> int:
    """Width of a convolution by its weight's dimension *side*, in units of *scale* channels."""
    weight = tensors.get(f"{layer}.weight")
    if weight is None or weight.ndim != 4:
        raise Refused(f"has no convolution where {layer} should be")
    if weight.shape[side] % scale:
        raise Refused(f"has {weight.shape[side]} channels at {layer}, which is no multiple of {scale}")
    return weight.shape[side] // scale
