"""Recognise the layout of a generator's state dict by its tensors."""

from __future__ import annotations

from gancomp.convert.layouts.resnet import filters_of, read_residual, read_resnet, residual_blocks_of
from gancomp.convert.layouts.shared import Fields
from gancomp.convert.layouts.spade import read_spade
from gancomp.convert.layouts.unet import read_unet
from gancomp.convert.reading import Refused, Tensors, some


def recognise(tensors: Tensors) -> tuple[Fields, Tensors]:
    """The generator's fields, and its tensors under gancomp's names.

    Raises Refused if the names match no layout, or tensors of the layout are missing.
    """
    if any(name.startswith("head_0.") for name in tensors):
        return read_spade(tensors)
    if any(name.startswith("model.model.") for name in tensors):
        return read_unet(tensors)
    if blocks := residual_blocks_of(tensors):
        return read_resnet(tensors) if blocks[0] == 10 and not filters_of(tensors) else read_residual(tensors, blocks)
    if any(name.startswith(("model.0.", "discriminator_0.")) for name in tensors):
        raise Refused("is a discriminator; pass the generator's file, which usually has G in its name")
    raise Refused(
        f"has tensors of no known generator ({some(list(tensors))}); supported are ResNets and U-Nets of "
        "pytorch-CycleGAN-and-pix2pix and CUT, pix2pixHD's global generator, SPADE, and the generators of GAN "
        "Compression. Any other needs the function that builds it: --generator package.module:function "
        "--weights FILE"
    )
