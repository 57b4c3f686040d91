"""pix2pix's U-Net.

Its levels are nested: `model.model` is the outermost; a level's `model` contains the next at 1 (outermost) or 3:

| level              | down, norm | up, norm | (dropout, if any, comes last and shifts no position)         |
| :----------------- | :--------- | :------- | :----------------------------------------------------------- |
| outermost          | 0, none    | 3, none  | `down.0.conv`, `up.0.conv`                                   |
| between            | 1, 2       | 5, 6     | `down.{i}.conv`, `.norm`, `up.{i}.conv`, `.norm`             |
| innermost          | 1, none    | 3, 4     | the same, without `down.{i}.norm`                            |
"""

from __future__ import annotations

import re

from gancomp.convert.layouts.shared import Fields, norm_of, outputs_of, with_names
from gancomp.convert.reading import Refused, Tensors


def read_unet(tensors: Tensors) -> tuple[Fields, Tensors]:
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

    renamed = with_names(tensors, rename)
    norm, renamed = norm_of(renamed, "up.1.norm", *(f"down.{level}.conv" for level in range(innermost + 1)))
    if norm["norm"] == "batch" and "down.0.conv.bias" in renamed:
        raise Refused(
            "is a U-Net with affine instance norm (norms with scales, and convolutions with biases), which is not "
            "supported: train it with --norm instance or batch"
        )
    return {
        "family": "unet",
        "widths": (outputs_of(renamed, "down.0.conv"),),
        "downs": innermost + 1,
        **norm,
        "in_channels": outputs_of(renamed, "down.0.conv", side=1),
        "out_channels": outputs_of(renamed, "up.0.conv", side=1),
    }, renamed
