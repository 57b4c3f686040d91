"""Generators and discriminators, independent of training."""

from __future__ import annotations

from pathlib import Path

import torch

from gancomp.builders import allow
from gancomp.errors import GancompError
from gancomp.nets.generator import Generator
from gancomp.nets.layers import BatchNorm, WithoutWeights
from gancomp.nets.module import ModuleGenerator
from gancomp.nets.resize import hold_resize
from gancomp.nets.resnet import ResnetGenerator
from gancomp.nets.spade import SpadeGenerator
from gancomp.nets.unet import UnetGenerator
from gancomp.pipeline.checkpoints import Header, load_tensors, read_header, save_tensors
from gancomp.share.hub import fetch, is_address
from gancomp.spec import GeneratorSpec

__all__ = ["Generator", "build_generator", "load_generator", "load_weights", "save_generator"]

FAMILIES: dict[str, type[Generator]] = {
    "resnet": ResnetGenerator,
    "unet": UnetGenerator,
    "spade": SpadeGenerator,
    "module": ModuleGenerator,
}


def build_generator(spec: GeneratorSpec) -> Generator:
    """A generator with initial weights from torch's global random generator."""
    generator = FAMILIES[spec.family](spec)
    for layer in generator.modules():
        if isinstance(layer, BatchNorm):
            layer.per_picture = spec.statistics == "batch"
    if spec.up == "resize":
        hold_resize(generator)
    return generator


def build_skeleton(spec: GeneratorSpec) -> Generator:
    """A generator's topology on the meta device: shapes and no weights."""
    with torch.device("meta"), WithoutWeights():
        return build_generator(spec)


def save_generator(path: Path | str, generator: Generator, *, experiment: str, stage: str, signature: str) -> None:
    """Write *generator* with the header that `load_generator` reads."""
    header = Header(
        spec=generator.spec,
        experiment=experiment,
        stage=stage,
        signature=signature,
        ranges=dict(generator.ranges),
    )
    save_tensors(path, generator.state_dict(), header.model_dump(mode="json"))


def load_generator(path: Path | str, device: torch.device | str = "cpu", *, builder: str | None = None) -> Generator:
    """The generator that a checkpoint holds, in evaluation mode, without being told its architecture.

    *path* may be `hub:USER/NAME` on the Hugging Face Hub, or `hub:USER/NAME@REVISION`: its `model.safetensors` alone is
    fetched, and `generator.origin` says of which commit and hash it is.

    Of a network of one's own, *builder* is the function that builds it (`package.module:function`), which is run: no
    file alone has it run. Raises GancompError naming *path* if it is missing, damaged, foreign, its tensors do not fit
    its header, or nobody named its builder.
    """
    if builder is not None:
        allow(builder)
    origin = None
    if is_address(path):
        path, origin = fetch(str(path))
    header = read_header(path)
    generator = build_skeleton(header.spec)
    generator.ranges, generator.origin = header.ranges, origin
    tensors, _ = load_tensors(path)
    types = {name: tensor.dtype for name, tensor in generator.state_dict().items()}
    own = {name: tensor.to(device, types.get(name), copy=True) for name, tensor in tensors.items()}
    _fill(generator, own, path, assign=True)  # no memory is taken for what a header only promises
    return generator.eval()


def load_weights(module: torch.nn.Module, path: Path | str) -> None:
    """Fill *module* from a file that gancomp wrote; GancompError if names or shapes differ."""
    tensors, _ = load_tensors(path)
    _fill(module, tensors, path)


def _fill(module: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path | str, *, assign: bool = False) -> None:
    try:
        module.load_state_dict(tensors, assign=assign)
    except RuntimeError as error:
        raise GancompError(f"{path}: its tensors do not fit the network that was asked for: {error}") from None
