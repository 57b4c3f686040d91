"""ResNet generators, and other networks with residual blocks.

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
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gancomp.convert.layouts.shared import Fields, norm_of, outputs_of, separable_norm, with_names
from gancomp.convert.reading import Refused, Tensors

# --- ResNet ------------------------------------------------------------------------------------


def read_resnet(tensors: Tensors) -> tuple[Fields, Tensors]:
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"model\.(\d{1,4})\.conv_block\.", name))}
    blocks = len(numbers)
    if numbers != set(range(10, 10 + blocks)) or blocks < 3:
        raise Refused(
            f"has {blocks} residual blocks from model.{min(numbers)} on; 3 or more from model.10 on are supported"
        )
    parts = {1: "stem.1", 2: "stem.2", 4: "down1.0", 5: "down1.1", 7: "down2.0", 8: "down2.1"}
    parts |= {10 + blocks: "up1.0", 11 + blocks: "up1.1", 13 + blocks: "output.0", 14 + blocks: "output.1"}
    parts |= {17 + blocks: "output.4"}
    # Dropout takes a position between the first activation and the second padding.
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

    renamed = with_names(tensors, rename)
    norm, renamed = norm_of(renamed, "stem.2", "stem.1", "down1.0", "down2.0", "up1.0", "output.0")
    block = "separable" if "blocks1.0.branch.1.0.weight" in renamed else "dense"
    inner = "branch.1.2" if block == "separable" else "branch.1"
    _check_groups(renamed, inner, blocks)
    widths = (
        outputs_of(renamed, "stem.1"),
        outputs_of(renamed, "down1.0", 2),
        outputs_of(renamed, "down2.0", 4),
        *(outputs_of(renamed, f"blocks{group}.0.{inner}", 4) for group in (1, 2, 3)),
        outputs_of(renamed, "up1.0", 2, side=1),
        outputs_of(renamed, "output.0", side=1),
    )
    return {
        "family": "resnet",
        "block": block,
        "widths": widths,
        "blocks": blocks,
        **norm,
        "separable_norm": separable_norm(renamed, "blocks1.0.branch.1", norm["norm"]),
        "in_channels": outputs_of(renamed, "stem.1", side=1),
        "out_channels": outputs_of(renamed, "output.4"),
    }, renamed


def _check_groups(tensors: Tensors, inner: str, blocks: int) -> None:
    """Raises Refused if residual blocks of one group differ in their inner width."""
    third = blocks // 3
    for group, count in enumerate((third, third, blocks - 2 * third), start=1):
        found = [outputs_of(tensors, f"blocks{group}.{index}.{inner}") for index in range(count)]
        if len(set(found)) > 1:
            raise Refused(
                f"has residual blocks of {', '.join(map(str, found))} channels in one group, like GAN Compression's "
                "older (legacy) sub-networks, but a group needs one width: use a newer sub-network, or "
                "compress the original generator"
            )


# --- other residual generators -----------------------------------------------------------------


def residual_blocks_of(tensors: Tensors) -> list[int]:
    """The positions of residual blocks in `model`."""
    found = {int(match[1]) for name in tensors if (match := re.match(r"model\.(\d{1,4})\.conv_block\.", name))}
    return sorted(found)


def filters_of(tensors: Tensors) -> list[int]:
    """The positions of fixed blurring filters in `model`."""
    return sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"model\.(\d{1,4})\.filt", name)))


def read_residual(tensors: Tensors, blocks: Sequence[int]) -> tuple[Fields, Tensors]:
    """A generator that `gancomp.nets.residual` builds with the same tensor names."""
    first, last = blocks[0], blocks[-1]
    filters = filters_of(tensors)
    blurred_down, blurred_up = any(at < first for at in filters), any(at > last for at in filters)
    downs, rest = divmod(first - 4, 4 if blurred_down else 3)
    if rest or not 1 <= downs <= 5 or list(blocks) != list(range(first, last + 1)):
        raise Refused(
            f"has residual blocks at {', '.join(map(str, blocks[:4]))} … of its Sequential, unlike CUT's and "
            "pix2pixHD's generators"
        )
    output = last + downs * (4 if blurred_up else 3) + 2
    norm, tensors = norm_of(tensors, "model.2", "model.1")
    kind = "affine" if norm.get("statistics") == "batch" else norm["norm"]
    if kind == "affine":  # built as affine instance norm, without statistics
        tensors = {name: tensor for name, tensor in tensors.items() if "running_" not in name}
    return {
        "family": "module",
        "builder": "gancomp.nets.residual:build",
        "norm": "instance" if kind == "affine" else kind,
        "arguments": {
            "in_channels": outputs_of(tensors, "model.1", side=1),
            "out_channels": outputs_of(tensors, f"model.{output}"),
            "ngf": outputs_of(tensors, "model.1"),
            "downs": downs,
            "blocks": len(blocks),
            "norm": kind,
            "bias": "model.1.bias" in tensors,
            "dropout": f"model.{first}.conv_block.5.weight" not in tensors,
            "blurred_down": blurred_down,
            "blurred_up": blurred_up,
        },
    }, {f"network.{name}": tensor for name, tensor in tensors.items()}
