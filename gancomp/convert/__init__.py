"""Generators and discriminators that others trained, as gancomp's own: recognised, renamed, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from gancomp.builders import OWN
from gancomp.convert.layouts import Fields, recognise, recognise_discriminator
from gancomp.convert.reading import COUNTER, Refused, Tensors, read_state, some
from gancomp.convert.sample import check_sample
from gancomp.elastic.reading import read_network
from gancomp.errors import GancompError
from gancomp.nets import Generator, build_skeleton, load_generator, save_generator
from gancomp.nets.discriminators import MultiscaleDiscriminator, PatchDiscriminator
from gancomp.nets.module import PREFIX, built_by, plain
from gancomp.pipeline.checkpoints import is_own, load_tensors, read_header, save_tensors
from gancomp.pipeline.files import file_sha256
from gancomp.spec import GeneratorSpec, Norm, Role, Statistics, Upsampling, ValueRange, format_widths

__all__ = [
    "DiscriminatorShape",
    "assumed",
    "check_sample",
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
    "separable_norm": "the norm between depthwise and pointwise (which no key sets)",
    "downs": "generator.downs",
    "upsampling": "generator.upsampling",
    "statistics": "{stage}.statistics",
    "hidden": "{stage}.hidden",
    "network": "generator.network",
    "block": "{stage}.block",
    "widths": "{stage}.widths",
    "in_channels": "input channels",
    "out_channels": "output channels",
}
_SHAPED_BY = {
    "resnet": ("blocks", "norm", "statistics", "separable_norm", "block", "widths", "in_channels", "out_channels"),
    "unet": ("downs", "norm", "statistics", "widths", "in_channels", "out_channels"),
    "spade": (
        *("upsampling", "norm", "statistics", "separable_norm", "hidden", "block", "widths"),
        *("in_channels", "out_channels"),
    ),
    "module": ("network", "statistics", "separable_norm", "block", "widths"),
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
    path: Path | str,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
) -> tuple[GeneratorSpec, Tensors]:
    """What generator *path* holds, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` or `.safetensors` of pytorch-CycleGAN-and-pix2pix, SPADE or GAN
    Compression (`layouts`), read without running anything in it; of several networks in it, *key* names one. Family,
    block, widths, blocks, norm and channels follow from its tensors; what they do not show is *size* (height, width;
    256 if not given) and how often a SPADE generator doubles: *upsampling*. A norm without tensors is told by the
    biases before it, unless *norm* says which it is; of a separable SPADE generator it is that between depthwise and
    pointwise, and must be said. *statistics* are batch norm's. Our own files know all this, and only take another
    *size*. Raises GancompError saying what was found instead.
    """
    path = Path(path)
    if is_own(path):
        generator = load_generator(path)
        told: dict[str, str | None] = {"norm": norm, "statistics": statistics}
        if key is not None:
            raise GancompError(f"{path}: is gancomp's own file, which holds one generator; leave --key out")
        if other := [name for name, value in told.items() if value not in (None, getattr(generator.spec, name))]:
            raise GancompError(f"{path}: is gancomp's own file, which says its {other[0]}; leave --{other[0]} out")
        return _spec(path, generator.spec.model_dump() | ({"size": size} if size else {})), generator.state_dict()
    fields, tensors = _recognised(path, key)
    fields |= _told_norm(path, fields, norm)
    return _completed(path, fields, tensors, size, upsampling, statistics)


def _recognised(path: Path, key: str | None) -> tuple[Fields, Tensors]:
    try:
        return recognise(read_state(path, key=key))
    except Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None


def _completed(
    path: Path,
    fields: Fields,
    tensors: Tensors,
    size: tuple[int, int] | None,
    upsampling: Upsampling | None,
    statistics: Statistics | None,
) -> tuple[GeneratorSpec, Tensors]:
    if fields["family"] == "spade" and upsampling is None:
        raise GancompError(
            f"{path}: a SPADE file does not say how often its generator doubles the picture's sides; say which: "
            "--upsampling normal (five times) or more (six), as its training options did"
        )
    if fields["family"] == "module":
        arguments = fields["arguments"] | ({} if fields["norm"] != "none" else {"norm": "none"})
        network = read_network(fields["builder"], arguments, size or (256, 256))
        spec = _spec(path, {"family": "module", "network": network, "statistics": statistics})
        return spec, _checked(path, tensors, spec)
    fields |= {"statistics": _told_statistics(path, fields, statistics)}
    fields |= {"size": size or (256, 256)} | ({"upsampling": upsampling} if upsampling else {})
    spec = _spec(path, fields)
    return spec, _checked(path, tensors, spec)


def _told_statistics(path: Path, fields: Fields, told: Statistics | None) -> Statistics:
    """Those that the file has, or, where it has both, those that are *told*; GancompError if they have to be."""
    found: Statistics | None = fields.get("statistics", "running")
    if found == "batch" and told == "running":
        raise GancompError(f"{path}: statistics: running: its norms keep none (affine instance norm), so batch")
    if found is None and told is None:
        raise GancompError(
            f"{path}: its norms have scales and running statistics, as batch norm has, and biases before them, as "
            "pix2pix has before instance norm. Say by which statistics it draws: --statistics running (batch norm, or "
            "model.eval()) or batch (each picture's own: instance norm as pix2pix's test.py runs it); in an experiment "
            "the key statistics beside checkpoint"
        )
    return told or found or "running"


def _told_norm(path: Path, fields: Fields, norm: Norm | None) -> Fields:
    """The field that *norm* sets, where it does not contradict the tensors; GancompError if it does, or has to be said.

    Batch norm is seen, in the file or missing from it; instance norm and none are not.
    """
    field = "separable_norm" if fields["family"] == "spade" and fields["block"] == "separable" else "norm"
    found = fields[field]
    if field == "separable_norm" and norm is None and found is None:
        raise GancompError(
            f"{path}: a separable SPADE file does not say what lies between depthwise and pointwise convolutions; say "
            "which: --norm instance (as GAN Compression's released ones have) or none, as --separable_conv_norm did"
        )
    if norm is None:
        return {}
    if norm == "instance" and "statistics" in fields:
        return {}  # affine, and read as batch norm by each picture's own statistics
    if (norm == "batch") != (found == "batch"):
        raise GancompError(f"{path}: --norm {norm}: the file's tensors are those of {found or 'another'} norm")
    if fields["family"] == "spade" and field == "norm" and norm != found:
        raise GancompError(f"{path}: --norm {norm}: the generator has {found} norm")
    return {field: None if field == "separable_norm" and norm == "instance" else norm}


def convert(
    path: Path | str,
    out: Path | str,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
    sample: tuple[Path, Path] | None = None,
) -> GeneratorSpec:
    """Write the generator in *path* as gancomp's own checkpoint and return what it is; raises as `detect`, and, before
    anything is written, as `check_sample` where a *sample* of input and output is given."""
    spec, tensors = detect(path, size, upsampling, norm, statistics, key)
    generator = _filled(spec, tensors)
    generator.ranges = ranges_of(path)
    if sample:
        check_sample(generator, *sample, assumed(spec))
    # The source's hash is the provenance of what was not made here.
    save_generator(out, generator, experiment="", stage="converted", signature=file_sha256(path)[:16])
    return spec


def ranges_of(path: Path | str) -> dict[Role, ValueRange]:
    """The ranges of the numbers that the generator in *path* reads or makes, which gancomp's own files alone know."""
    try:
        return read_header(path).ranges
    except GancompError:
        return {}


def load_original(path: Path | str, spec: GeneratorSpec, stage: str = "original", key: str | None = None) -> Generator:
    """The generator in *path*, gancomp's file or a foreign one, in evaluation mode, as what *spec* declares.

    The picture's size may differ from the one it was made for: generators are convolutional. Raises GancompError as
    `detect`, and, where the file holds another generator, saying what it is and which keys of *stage* to set.
    """
    path = Path(path)
    if is_own(path):
        found, tensors = detect(path, None if spec.network else spec.size, key=key)
    elif spec.network:
        return _of_the_builder(path, spec, stage, key)
    else:
        fields, tensors = _recognised(path, key)
        # What is declared decides where tensors do not show it, but instance norm may be declared by default alone.
        if fields["family"] == spec.family == "spade" and "batch" not in (
            fields["separable_norm"],
            spec.separable_norm,
        ):
            fields["separable_norm"] = spec.separable_norm
        elif fields["family"] != "spade" and spec.norm == "none" and fields["norm"] == "instance":
            fields["norm"] = "none"
        declared = "statistics" in spec.model_fields_set and fields["norm"] == "batch"
        statistics = spec.statistics if declared else None
        found, tensors = _completed(path, fields, tensors, spec.size, spec.upsampling, statistics)
    shaped_by = _SHAPED_BY[found.family] if found.family == spec.family else ("family",)
    faults = [
        f"{_KEYS[field].format(stage=stage)}: {_shown(found, field)} (not {_shown(spec, field)})"
        for field in shaped_by
        if getattr(found, field) != getattr(spec, field)
    ]
    if faults:
        raise GancompError(f"{path}: is {describe(found)}; the configuration would need {'; '.join(faults)}")
    return _filled(spec, tensors)


def _of_the_builder(path: Path, spec: GeneratorSpec, stage: str, key: str | None) -> Generator:
    """The network that *spec*'s builder makes, with the tensors in *path*, which must be all of its own."""
    network = spec.network
    assert network
    if spec.block != "dense" or spec.widths != network.full:
        raise GancompError(
            f"{path}: is a checkpoint of {network.builder}, whole as it builds it; the configuration would need "
            f"{stage}.block: dense, and no {stage}.widths"
        )
    whole = built_by(network.builder, network.keywords())
    like = whole.state_dict()
    try:
        tensors = read_state(path, key=key)
        if missing := sorted(name for name in like.keys() - tensors.keys() if not name.endswith(COUNTER)):
            raise Refused(f"lacks {some(missing)}")
        whole.load_state_dict(_fitted(tensors, like))
    except Refused as refusal:
        raise GancompError(f"{path}: is none of {network.builder}'s networks: {refusal}") from None
    except RuntimeError as error:
        raise GancompError(f"{path}: cannot be loaded into {network.builder}'s network: {error}") from None
    return _filled(spec, {PREFIX + name: tensor.detach() for name, tensor in plain(whole).state_dict().items()})


def assumed(spec: GeneratorSpec) -> list[str]:
    """What the imported generator *spec* is taken to have that its tensors do not say, one line each."""
    if spec.network:
        by = " by each picture's own statistics" if spec.statistics == "batch" else ", evaluation mode"
        lines = [f"the layers that {spec.network.builder} makes: {spec.norm} norm{by}", "pictures in [-1, 1] both ways"]
        if spec.network.builder in OWN:
            lines.append("reflection padding; tanh at the end; no dropout (no norm, where it shows none: --norm none)")
        return lines
    norms = {
        "instance": "instance norm without parameters, eps 1e-5 (no norm: --norm none)",
        "affine": "instance norm with scales and shifts, eps 1e-5",
        "none": "no norm, as pix2pix leaves the biases out with it (instance norm: --norm instance)",
        "batch": "batch norm, eps 1e-5, by "
        + (
            "its running statistics, as pix2pix's test.py does with --eval (without: --statistics batch)"
            if spec.statistics == "running"
            else "each picture's own, as affine instance norm takes, and pix2pix's test.py without --eval (dropout, on "
            "there too, left out)"
        ),
    }
    if spec.family == "spade":
        norms["batch"] = "batch norm by its running statistics, eps 1e-5"
    paddings = {"resnet": "reflection padding", "unet": "zero padding", "spade": "zero padding, nearest upsampling"}
    lines = [norms[spec.norm], f"{paddings[spec.family]}; tanh at the end; no dropout"]
    if spec.block == "separable":
        lines.insert(1, f"{spec.between} norm between depthwise and pointwise")
    if spec.family == "spade":
        lines.append(f"sides doubled {'six' if spec.upsampling == 'more' else 'five'} times (--upsampling)")
    return lines


def describe(spec: GeneratorSpec) -> str:
    """*spec* in words, without its size."""
    if spec.network:
        return (
            f"a {spec.block} network of {spec.network.builder} with {spec.norm} norm, {len(spec.widths)} widths "
            f"{format_widths(spec.widths)}, {spec.in_channels} → {spec.out_channels} channels"
        )
    kinds = {
        "resnet": f"a {spec.block} resnet with {spec.blocks} blocks and {spec.norm} norm",
        "unet": f"a unet with {spec.downs} downs and {spec.norm} norm",
        "spade": f"a {spec.block} spade generator" + (f" with {spec.hidden} hidden channels" if spec.hidden else ""),
    }
    return f"{kinds[spec.family]}, widths {_shown(spec, 'widths')}, {spec.in_channels} → {spec.out_channels} channels"


def _shown(spec: GeneratorSpec, field: str) -> str:
    value = getattr(spec, field)
    if field == "network":
        return f"{value.builder} ({value.key})" if value else "none"
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


def detect_discriminator(path: Path | str, key: str | None = None) -> tuple[DiscriminatorShape, Tensors]:
    """What discriminator *path* holds, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` or `.safetensors` of pytorch-CycleGAN-and-pix2pix or SPADE; of
    several networks in it, *key* names one, or its own name does (`netD`). Raises GancompError saying what was found
    instead, and for any norm but instance norm, which gancomp's discriminators have.
    """
    path = Path(path)
    try:
        fields, tensors = recognise_discriminator(
            load_tensors(path)[0] if is_own(path) else read_state(path, "discriminator", key)
        )
        shape = DiscriminatorShape(**fields)
        if max(shape.layers, shape.scales or 1) > MOST_LAYERS:
            raise Refused(f"would be {shape}; gancomp's have at most {MOST_LAYERS}")
        with torch.device("meta"):
            skeleton = shape.build().state_dict()
        return shape, _fitted(tensors, skeleton)
    except Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None


def convert_discriminator(path: Path | str, out: Path | str, key: str | None = None) -> DiscriminatorShape:
    """Write the discriminator in *path* as gancomp keeps its own, and return what it is."""
    shape, tensors = detect_discriminator(path, key)
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
