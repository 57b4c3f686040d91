"""PatchGANs, at one scale or several.

pytorch-CycleGAN-and-pix2pix's is one Sequential with gancomp's positions. SPADE's:

| there, scale s, layer l of `discriminator_{s}.model{l}` | here, in `scales.{s}.layers.{l}`                       |
| :------------------------------------------------------ | :----------------------------------------------------- |
| `.0.weight`, `.bias` (the first and the last layer)     | the same                                               |
| `.0.0.weight_orig`, `_u`, `_v` (between)                | `.0.parametrizations.weight.original`, `.0._u`, `.0._v` |
"""

from __future__ import annotations

import re

from gancomp.convert.layouts.shared import Fields, outputs_of, with_names, without_instance_statistics
from gancomp.convert.reading import Refused, Tensors, some


def recognise_discriminator(tensors: Tensors) -> tuple[Fields, Tensors]:
    """A discriminator's shape (input channels, ndf, layers, scales), and its tensors under gancomp's names.

    The PatchGAN of pix2pix and CycleGAN has no `scales`. gancomp's own names are accepted too. Raises Refused for
    any other, and for norms other than instance norm, the one of gancomp's discriminators.
    """
    if any(name.startswith(("discriminator_0.", "scales.0.")) for name in tensors):
        return _multiscale_discriminator(tensors)
    return _patch_discriminator(tensors)


#: The remedy for an unsupported discriminator.
_WITHOUT = "leave it out; students then start with an untrained one"


def _patch_discriminator(tensors: Tensors) -> tuple[Fields, Tensors]:
    if "net.0.weight" in tensors:
        raise Refused(
            f"is a discriminator of single pixels (pix2pix's pixel); only PatchGANs are supported: {_WITHOUT}"
        )
    places = sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"model\.(\d{1,3})\.weight", name)))
    if places[:1] != [0] or len(places) < 3:
        raise Refused(
            f"has tensors of no known discriminator ({some(list(tensors))}); supported are those of "
            "pytorch-CycleGAN-and-pix2pix and SPADE"
        )
    if "model.3.weight" in tensors:
        raise Refused(f"is a discriminator with batch norm; only instance norm is supported: {_WITHOUT}")
    if "model.2.weight" in tensors and "model.2.bias" not in tensors:
        raise Refused(
            f"is a discriminator without norm (no biases: pix2pix's none); instance norm is required: {_WITHOUT}"
        )
    layers = len(places) - 2
    if places != [0, *(3 * layer - 1 for layer in range(1, layers + 2))]:
        raise Refused(f"is not a PatchGAN of {layers} layers: it has weights at {places} of its Sequential")
    fields = {
        "channels": outputs_of(tensors, "model.0", side=1),
        "ndf": outputs_of(tensors, "model.0"),
        "layers": layers,
    }
    return fields, without_instance_statistics(tensors)


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

    renamed = with_names(tensors, rename)
    first = "scales.0.layers.0.0"
    return {
        "channels": outputs_of(renamed, first, side=1),
        "ndf": outputs_of(renamed, first),
        "layers": len({match[1] for name in renamed if (match := re.match(r"scales\.0\.layers\.(\d)\.", name))}) - 1,
        "scales": len({match[1] for name in renamed if (match := re.match(r"scales\.(\d)\.", name))}),
    }, renamed
