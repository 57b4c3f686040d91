"""Convert discriminators of other projects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from gancomp.convert.generators import fitted
from gancomp.convert.layouts.discriminators import recognise_discriminator
from gancomp.convert.reading import Refused, Tensors, read_state
from gancomp.errors import GancompError
from gancomp.nets.discriminators import MultiscaleDiscriminator, PatchDiscriminator
from gancomp.pipeline.checkpoints import is_own, load_tensors, save_tensors
from gancomp.pipeline.files import file_sha256

#: Maximum layers or scales of a discriminator, as in the configuration.
MOST_LAYERS = 6


@dataclass(frozen=True)
class DiscriminatorShape:
    """A discriminator: input channels (input and output together if it is conditional), ndf, layers, scales.

    `scales` is None for the PatchGAN of pix2pix and CycleGAN, and their number for GauGAN's.
    """

    channels: int
    ndf: int
    layers: int
    scales: int | None = None

    def build(self) -> torch.nn.Module:
        if self.scales is None:
            return PatchDiscriminator(self.channels, self.ndf, self.layers)
        return MultiscaleDiscriminator(self.channels, self.ndf, self.layers, self.scales)

    def __str__(self) -> str:
        kind = "a PatchGAN" if self.scales is None else f"a PatchGAN at {self.scales} scales"
        return f"{kind} with {self.channels} input channels, ndf {self.ndf} and {self.layers} layers"


def detect_discriminator(path: Path | str, key: str | None = None) -> tuple[DiscriminatorShape, Tensors]:
    """The shape of the discriminator in *path*, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` or `.safetensors` of pytorch-CycleGAN-and-pix2pix or SPADE; if
    it contains several networks, *key* names one; default: the one with a usual name (`netD`). Raises GancompError
    with what was found instead, and for norms other than instance norm, the one of gancomp's discriminators.
    """
    path = Path(path)
    try:
        fields, tensors = recognise_discriminator(
            load_tensors(path)[0] if is_own(path) else read_state(path, "discriminator", key)
        )
        shape = DiscriminatorShape(**fields)
        if max(shape.layers, shape.scales or 1) > MOST_LAYERS:
            raise Refused(f"is {shape}; at most {MOST_LAYERS} layers or scales are supported")
        with torch.device("meta"):
            skeleton = shape.build().state_dict()
        return shape, fitted(tensors, skeleton)
    except Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None


def convert_discriminator(path: Path | str, out: Path | str, key: str | None = None) -> DiscriminatorShape:
    """Write the discriminator in *path* as gancomp's own file, and return its shape."""
    shape, tensors = detect_discriminator(path, key)
    save_tensors(out, tensors, {"stage": "converted", "signature": file_sha256(path)[:16]})
    return shape


def load_discriminator(module: torch.nn.Module, path: Path | str) -> None:
    """Load the discriminator *module* from *path*. Raises GancompError if the file's has another shape."""
    shape, tensors = detect_discriminator(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        raise GancompError(
            f"{path}: is {shape}; the configuration declares another: check discriminator.ndf, .layers and .scales, "
            "and the channels of the data set's input"
        ) from None
