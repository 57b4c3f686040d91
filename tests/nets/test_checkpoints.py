"""`load_generator` needs a path alone, and refuses what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

import gancomp
from gancomp.errors import GancompError
from gancomp.nets import Generator, load_generator, load_weights, save_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.pipeline.checkpoints import load_tensors, read_header, save_tensors
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures, specs

SPEC = GeneratorSpec(widths=(2, 1, 2, 3, 1, 2, 2, 1), block="separable", size=8, blocks=3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_generator(path, lively(SPEC), experiment="mine", stage="teacher", signature="abc")
    return path


def rewritten(path: Path, change: Any = None, **header: Any) -> Path:
    """*path* with its tensors changed in place by *change*, and with other entries of the header."""
    tensors, own = load_tensors(path)
    if change:
        change(tensors)
    save_tensors(path, tensors, own | header)
    return path


@settings(deadline=None, max_examples=10)
@given(spec=specs())
def test_any_generator_comes_back_from_its_path(tmp_path_factory: pytest.TempPathFactory, spec: GeneratorSpec) -> None:
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    original = lively(spec)
    save_generator(path, original, experiment="mine", stage="teacher", signature="abc")
    loaded = gancomp.load_generator(path)
    assert loaded.spec == spec
    assert not loaded.training
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in loaded.parameters())
    types = [{name: tensor.dtype for name, tensor in net.state_dict().items()} for net in (loaded, original)]
    assert types[0] == types[1]
    with torch.inference_mode():
        assert torch.equal(loaded(pictures(spec)), original(pictures(spec)))


def test_the_header_says_where_it_comes_from(checkpoint: Path) -> None:
    header = read_header(checkpoint)
    assert (header.spec, header.experiment, header.stage, header.signature) == (SPEC, "mine", "teacher", "abc")
    assert header.code_version == gancomp.__version__


def test_a_loaded_generator_does_not_need_its_file(checkpoint: Path) -> None:
    loaded = load_generator(checkpoint)
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    checkpoint.write_bytes(b"\0" * checkpoint.stat().st_size)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.state_dict().items())


def test_half_precision_weights_are_read_as_single(checkpoint: Path) -> None:
    def halve(tensors: dict[str, torch.Tensor]) -> None:
        tensors |= {name: tensor.bfloat16() for name, tensor in tensors.items()}

    loaded = load_generator(rewritten(checkpoint, halve))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert loaded(pictures(SPEC)).isfinite().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("stem.1.bias"),
        lambda tensors: tensors.update({"stem.9.bias": torch.zeros(1)}),
        lambda tensors: tensors.update({"stem.1.bias": torch.zeros(3)}),
        lambda tensors: tensors.update({"stem.1.bias": torch.zeros(2, 1)}),
        lambda tensors: tensors.clear(),
    ],
    ids=["missing", "unknown", "other shape", "other rank", "none"],
)
def test_tensors_that_do_not_fit_are_refused(checkpoint: Path, change: Any) -> None:
    rewritten(checkpoint, change)
    with pytest.raises(GancompError, match=r"model\.safetensors.*do not fit"):
        load_generator(checkpoint)


@pytest.mark.parametrize("spec", [{"widths": 3}, {"block": "dense"}, {"blocks": 6}, {"out_channels": 1}])
def test_a_header_that_the_tensors_do_not_fit_is_refused(checkpoint: Path, spec: dict[str, Any]) -> None:
    rewritten(checkpoint, spec=SPEC.model_dump(mode="json") | spec)
    with pytest.raises(GancompError, match=r"model\.safetensors.*do not fit"):
        load_generator(checkpoint)


def test_a_header_that_promises_terabytes_takes_no_memory(checkpoint: Path) -> None:
    rewritten(checkpoint, spec={"widths": 4096, "blocks": 99, "block": "dense"})
    with pytest.raises(GancompError, match="do not fit"):
        load_generator(checkpoint)


def test_a_network_of_another_kind_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    discriminator = PatchDiscriminator(6, 2, 2)
    with pytest.raises(GancompError, match=r"model\.safetensors.*do not fit"):
        load_weights(discriminator, checkpoint)
    other = tmp_path / "discriminator.safetensors"
    save_tensors(other, discriminator.state_dict(), {"kind": "discriminator"})
    with pytest.raises(GancompError, match=r"discriminator\.safetensors: not a generator checkpoint"):
        load_generator(other)


def test_load_weights_fills_the_network(checkpoint: Path) -> None:
    network: Generator = lively(SPEC, seed=5)
    load_weights(network, checkpoint)
    saved, _ = load_tensors(checkpoint)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
