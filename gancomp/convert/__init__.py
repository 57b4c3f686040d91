"""Generators and discriminators that others trained, as gancomp's own: recognised, renamed, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from gancomp.artifacts import file_sha256, load_tensors, read_header, save_tensors
from gancomp.convert.layouts import recognise, recognise_discriminator
from gancomp.convert.reading import COUNTER, Refused, Tensors, read_pth, some
from gancomp.errors import GancompError
from gancomp.nets import Generator, build_skeleton, load_generator, save_generator
from gancomp.nets.discriminators import MultiscaleDiscriminator, PatchDiscriminator
from gancomp.spec import GeneratorSpec, Role, Upsampling, ValueRange, format_widths

__all__ = [
    "DiscriminatorShape",
    "convert",
    "convert_discriminator",
    "describe",
    "detect",
    "detect_discriminator",
    "load_discriminator",
    "load_original",
]

#: The fields of a GeneratorSpec that shape each family's tensors, with the key of the configuration that sets each.
_KEYS = {
    "family": "generator.family",
    "blocks": "generator.blocks",
    "norm": "generator.norm",
    "downs": "generator.downs",
    "upsampling": "generator.upsampling",
    "block": "{stage}.block",
    "widths": "{stage}.widths",
    "in_channels": "input channels",
    "out_channels": "output channels",
}
_SHAPED_BY = {
    "resnet": ("blocks", "norm", "block", "widths", "in_channels", "out_channels"),
    "unet": ("downs", "norm", "widths", "in_channels", "out_channels"),
    "spade": ("upsampling", "block", "widths", "in_channels", "out_channels"),
}

#: Of a discriminator; the configuration allows 6.
MOST_LAYERS = 6


@dataclass(frozen=True)
class DiscriminatorShape:
    """A discriminator: channels that it sees (input and output together where it is conditional), ndf, layers, scales.

    `scales` counts those of GauGAN's; pix2pix's and CycleGAN's PatchGAN has none.
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
        return f"{kind} that sees {self.channels} channels, of ndf {self.ndf} and {self.layers} layers"


# --- generators --------------------------------------------------------------------------------


def detect(
    path: Path | str, size: tuple[int, int] | None = None, upsampling: Upsampling | None = None
) -> tuple[GeneratorSpec, Tensors]:
    """What generator *path* holds, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` of pytorch-CycleGAN-and-pix2pix, SPADE or GAN Compression
    (`layouts`), read without running anything in it. Family, block, widths, blocks, norm and channels follow from its
    tensors; what they do not show is *size* (height, width; 256 if not given) and how often a SPADE generator doubles:
    *upsampling*. gancomp's own files know both, and only take another *size*. Raises GancompError saying what was
    found instead.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        generator = load_generator(path)
        return _spec(path, generator.spec.model_dump() | ({"size": size} if size else {})), generator.state_dict()
    try:
        fields, tensors = recognise(read_pth(path))
    except Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None
    if fields["family"] == "spade" and upsampling is None:
        raise GancompError(
            f"{path}: a SPADE file does not say how often its generator doubles the picture's sides; say which: "
            "--upsampling normal (five times) or more (six), as its training options did"
        )
    fields |= {"size": size or (256, 256)} | ({"upsampling": upsampling} if upsampling else {})
    spec = _spec(path, fields)
    return spec, _checked(path, tensors, spec)


def convert(
    path: Path | str, out: Path | str, size: tuple[int, int] | None = None, upsampling: Upsampling | None = None
) -> GeneratorSpec:
    """Write the generator in *path* as gancomp's own checkpoint and return what it is; raises as `detect`."""
    spec, tensors = detect(path, size, upsampling)
    generator = _filled(spec, tensors)
    generator.ranges = ranges_of(path)
    # The source's hash is the provenance of what was not made here.
    save_generator(out, generator, experiment="", stage="converted", signature=file_sha256(path)[:16])
    return spec


def ranges_of(path: Path | str) -> dict[Role, ValueRange]:
    """The ranges of the numbers that the generator in *path* reads or makes, which gancomp's own files alone know."""
    try:
        return read_header(path).ranges
    except GancompError:
        return {}


def load_original(path: Path | str, spec: GeneratorSpec, stage: str = "original") -> Generator:
    """The generator in *path*, gancomp's file or a foreign one, in evaluation mode, as what *spec* declares.

    The picture's size may differ from the one it was made for: generators are convolutional. Raises GancompError as
    `detect`, and, where the file holds another generator, saying what it is and which keys of *stage* to set.
    """
    found, tensors = detect(path, spec.size, spec.upsampling)
    fields = _SHAPED_BY[found.family] if found.family == spec.family else ("family",)
    faults = [
        f"{_KEYS[field].format(stage=stage)}: {_shown(found, field)} (not {_shown(spec, field)})"
        for field in fields
        if getattr(found, field) != getattr(spec, field)
    ]
    if faults:
        raise GancompError(f"{path}: is {describe(found)}; the configuration would need {'; '.join(faults)}")
    return _filled(spec, tensors)


def describe(spec: GeneratorSpec) -> str:
    """*spec* in words, without its size."""
    kinds = {
        "resnet": f"a {spec.block} resnet with {spec.blocks} blocks and {spec.norm} norm",
        "unet": f"a unet with {spec.downs} downs and {spec.norm} norm",
        "spade": f"a {spec.block} spade generator",
    }
    return f"{kinds[spec.family]}, widths {_shown(spec, 'widths')}, {spec.in_channels} → {spec.out_channels} channels"


def _shown(spec: GeneratorSpec, field: str) -> str:
    value = getattr(spec, field)
    if field == "widths":
        return str(value[0]) if len(set(value)) == 1 else format_widths(value)
    return str(value)


def _spec(path: Path, fields: dict[str, object]) -> GeneratorSpec:
    try:
        return GeneratorSpec.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        place = f"{fault['loc'][0]}: " if fault["loc"] else ""
        raise GancompError(f"{path}: {place}{fault['msg'].removeprefix('Value error, ')}") from None


def _filled(spec: GeneratorSpec, tensors: Tensors) -> Generator:
    generator = build_skeleton(spec)
    generator.load_state_dict(tensors, assign=True)
    return generator.eval()


def _checked(path: Path, tensors: Tensors, spec: GeneratorSpec) -> Tensors:
    try:
        return _fitted(tensors, build_skeleton(spec).state_dict())
    except Refused as refusal:
        raise GancompError(f"{path}: looks like {describe(spec)}, but {refusal}") from None


# --- discriminators ----------------------------------------------------------------------------


def detect_discriminator(path: Path | str) -> tuple[DiscriminatorShape, Tensors]:
    """What discriminator *path* holds, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` of pytorch-CycleGAN-and-pix2pix or SPADE. Raises GancompError
    saying what was found instead, and for batch norm, which gancomp's discriminators have not.
    """
    path = Path(path)
    try:
        fields, tensors = recognise_discriminator(
            load_tensors(path)[0] if path.suffix == ".safetensors" else read_pth(path)
        )
        shape = DiscriminatorShape(**fields)
        if max(shape.layers, shape.scales or 1) > MOST_LAYERS:
            raise Refused(f"would be {shape}; gancomp's have at most {MOST_LAYERS}")
        with torch.device("meta"):
            skeleton = shape.build().state_dict()
        return shape, _fitted(tensors, skeleton)
    except Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None


def convert_discriminator(path: Path | str, out: Path | str) -> DiscriminatorShape:
    """Write the discriminator in *path* as gancomp keeps its own, and return what it is."""
    shape, tensors = detect_discriminator(path)
    save_tensors(out, tensors, {"stage": "converted", "signature": file_sha256(path)[:16]})
    return shape


def load_discriminator(module: torch.nn.Module, path: Path | str) -> None:
    """Fill the discriminator *module* from *path*; GancompError says what the file holds if it does not fit."""
    shape, tensors = detect_discriminator(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        raise GancompError(
            f"{path}: is {shape}; the configuration's is another: see discriminator.ndf, .layers and .scales, and the "
            "channels of the data set's input"
        ) from None


# --- shared ------------------------------------------------------------------------------------


def _fitted(tensors: Tensors, like: Tensors) -> Tensors:
    """*tensors* with all the names and shapes of the state dict *like*; Refused names what is missing or too much.

    A convolution that others keep without a bias gets one of zeros here, and a counter of batches that old files
    have not starts at zero: neither changes a picture.
    """
    fitted = dict(tensors)
    for name in like.keys() - tensors.keys():
        weight = like.get(f"{name.removesuffix('.bias')}.weight")
        if name.endswith(COUNTER) or (name.endswith(".bias") and weight is not None and weight.ndim == 4):
            fitted[name] = torch.zeros(like[name].shape, dtype=like[name].dtype)
    if missing := sorted(like.keys() - fitted.keys()):
        raise Refused(f"lacks {some(missing)}")
    if extra := sorted(fitted.keys() - like.keys()):
        raise Refused(f"has {some(extra)} besides")
    for name, tensor in fitted.items():
        if tensor.shape != like[name].shape:
            raise Refused(f"{name} is {tuple(tensor.shape)} where {tuple(like[name].shape)} fits its other parts")
    return fitted
