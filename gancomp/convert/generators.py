"""Convert generators of other projects: their files are read only as tensors, and written as gancomp's."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError

from gancomp.convert.layouts.recognise import recognise
from gancomp.convert.layouts.shared import Fields
from gancomp.convert.reading import COUNTER, Refused, Tensors, read_state, some
from gancomp.convert.sample import check_sample
from gancomp.convert.telling import assumed, describe, shown
from gancomp.elastic.reading import read_network
from gancomp.errors import GancompError
from gancomp.nets import Generator, build_skeleton, load_generator, save_generator
from gancomp.nets.module import PREFIX, built_by, plain
from gancomp.pipeline.checkpoints import is_own, read_header
from gancomp.pipeline.files import file_sha256
from gancomp.spec import GeneratorSpec, Norm, Role, Statistics, Upsampling, ValueRange

#: The fields of a GeneratorSpec that determine each family's tensors, and the configuration key of each field.
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


# --- generators --------------------------------------------------------------------------------


def detect(
    path: Path | str,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
) -> tuple[GeneratorSpec, Tensors]:
    """The spec of the generator in *path*, and its tensors under gancomp's names.

    *path* is gancomp's own `.safetensors`, or a `.pth` or `.safetensors` of pytorch-CycleGAN-and-pix2pix, SPADE or GAN
    Compression (`layouts`), read without running any code in it; if it contains several networks, *key* names one.
    Family, block, widths, blocks, norm and channels follow from its tensors. They do not show *size* (height, width;
    default 256) and the number of doublings of a SPADE generator: *upsampling*. A norm without tensors follows from
    the biases before it, unless *norm* is given; for a separable SPADE generator *norm* is required, and is the one
    between depthwise and pointwise. *statistics* are batch norm's. gancomp's own files contain all of these; only
    *size* can be changed. Raises GancompError with what was found instead.
    """
    path = Path(path)
    if is_own(path):
        generator = load_generator(path)
        told: dict[str, str | None] = {"norm": norm, "statistics": statistics}
        if key is not None:
            raise GancompError(f"{path}: is gancomp's own file, which contains one generator; remove --key")
        if other := [name for name, value in told.items() if value not in (None, getattr(generator.spec, name))]:
            raise GancompError(f"{path}: is gancomp's own file, which contains its {other[0]}; remove --{other[0]}")
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
            f"{path}: a SPADE file does not contain how often its generator doubles the picture's sides; set "
            "--upsampling normal (five times) or more (six), as in its training options"
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
    """The statistics that the file shows, or *told* if it allows both; raises GancompError if *told* is needed."""
    found: Statistics | None = fields.get("statistics", "running")
    if found == "batch" and told == "running":
        raise GancompError(f"{path}: statistics: running: its norms have none (affine instance norm); use batch")
    if found is None and told is None:
        raise GancompError(
            f"{path}: its norms have scales and running statistics, like batch norm, and biases before them, like "
            "pix2pix's instance norm. Set which statistics it uses: --statistics running (batch norm, or "
            "model.eval()) or batch (each picture's own: instance norm as pix2pix's test.py runs it); in an experiment "
            "the key statistics beside checkpoint"
        )
    return told or found or "running"


def _told_norm(path: Path, fields: Fields, norm: Norm | None) -> Fields:
    """The field that *norm* sets. Raises GancompError if it contradicts the tensors, or is required and None.

    The tensors show whether there is batch norm; they do not distinguish instance norm from none.
    """
    field = "separable_norm" if fields["family"] == "spade" and fields["block"] == "separable" else "norm"
    found = fields[field]
    if field == "separable_norm" and norm is None and found is None:
        raise GancompError(
            f"{path}: a separable SPADE file does not contain the norm between depthwise and pointwise convolutions; "
            "set --norm instance (GAN Compression's released ones) or none, as --separable_conv_norm was"
        )
    if norm is None:
        return {}
    if norm == "instance" and "statistics" in fields:
        return {}  # affine: read as batch norm with each picture's own statistics
    if (norm == "batch") != (found == "batch"):
        raise GancompError(f"{path}: --norm {norm}: the file has the tensors of {found or 'another'} norm")
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
    """Write the generator in *path* as gancomp's own checkpoint and return its spec. Raises as `detect`, and, before
    anything is written, as `check_sample` if a *sample* of input and output is given."""
    spec, tensors = detect(path, size, upsampling, norm, statistics, key)
    generator = _filled(spec, tensors)
    generator.ranges = ranges_of(path)
    if sample:
        check_sample(generator, *sample, assumed(spec))
    # The provenance of an imported generator is the hash of its file.
    save_generator(out, generator, experiment="", stage="converted", signature=file_sha256(path)[:16])
    return spec


def ranges_of(path: Path | str) -> dict[Role, ValueRange]:
    """The value ranges of the generator's inputs and outputs, which only gancomp's own files contain."""
    try:
        return read_header(path).ranges
    except GancompError:
        return {}


def load_original(path: Path | str, spec: GeneratorSpec, stage: str = "original", key: str | None = None) -> Generator:
    """The generator in *path*, gancomp's file or a foreign one, in evaluation mode, as declared by *spec*.

    The picture's size may differ from that of its training: generators are convolutional. Raises GancompError as
    `detect`, and if the file contains another generator, with its description and the keys of *stage* to set.
    """
    path = Path(path)
    if is_own(path):
        found, tensors = detect(path, None if spec.network else spec.size, key=key)
    elif spec.network:
        return _of_the_builder(path, spec, stage, key)
    else:
        fields, tensors = _recognised(path, key)
        # The declaration decides what tensors do not show, except instance norm, which may be just the default.
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
        f"{_KEYS[field].format(stage=stage)}: {shown(found, field)} (not {shown(spec, field)})"
        for field in shaped_by
        if getattr(found, field) != getattr(spec, field)
    ]
    if faults:
        raise GancompError(f"{path}: is {describe(found)}; the configuration needs {'; '.join(faults)}")
    return _filled(spec, tensors)


def _of_the_builder(path: Path, spec: GeneratorSpec, stage: str, key: str | None) -> Generator:
    """The network of *spec*'s builder with the tensors in *path*, which must contain all of them."""
    network = spec.network
    assert network
    if spec.block != "dense" or spec.widths != network.full:
        raise GancompError(
            f"{path}: is a checkpoint of {network.builder} at full width; the configuration needs "
            f"{stage}.block: dense, and no {stage}.widths"
        )
    whole = built_by(network.builder, network.keywords())
    like = whole.state_dict()
    try:
        tensors = read_state(path, key=key)
        if missing := sorted(name for name in like.keys() - tensors.keys() if not name.endswith(COUNTER)):
            raise Refused(f"lacks {some(missing)}")
        whole.load_state_dict(fitted(tensors, like))
    except Refused as refusal:
        raise GancompError(f"{path}: does not fit {network.builder}'s network: {refusal}") from None
    except RuntimeError as error:
        raise GancompError(f"{path}: cannot be loaded into {network.builder}'s network: {error}") from None
    return _filled(spec, {PREFIX + name: tensor.detach() for name, tensor in plain(whole).state_dict().items()})


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
        return fitted(tensors, build_skeleton(spec).state_dict())
    except Refused as refusal:
        raise GancompError(f"{path}: looks like {describe(spec)}, but {refusal}") from None


# --- shared ------------------------------------------------------------------------------------


def fitted(tensors: Tensors, like: Tensors) -> Tensors:
    """*tensors* with the names and shapes of the state dict *like*. Raises Refused with missing or extra names.

    A convolution without a bias gets one of zeros, and a batch counter missing from old files starts at zero:
    neither changes the output.
    """
    fitted = dict(tensors)
    for name in like.keys() - tensors.keys():
        weight = like.get(f"{name.removesuffix('.bias')}.weight")
        if name.endswith(COUNTER) or (name.endswith(".bias") and weight is not None and weight.ndim == 4):
            fitted[name] = torch.zeros(like[name].shape, dtype=like[name].dtype)
    if missing := sorted(like.keys() - fitted.keys()):
        raise Refused(f"lacks {some(missing)}")
    if extra := sorted(fitted.keys() - like.keys()):
        raise Refused(f"has unexpected {some(extra)}")
    for name, tensor in fitted.items():
        if tensor.shape != like[name].shape:
            raise Refused(f"{name} is {tuple(tensor.shape)}, but its other tensors need {tuple(like[name].shape)}")
    return fitted
