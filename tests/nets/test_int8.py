"""Simulated int8: the numbers of an int8 export, gradients of the plain network, and nothing left behind."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancomp import rng
from gancomp.deploy.formats import export_generator
from gancomp.deploy.runtimes import on_onnxruntime, on_pytorch
from gancomp.errors import GancompError
from gancomp.nets import build_generator, save_generator
from gancomp.nets.generator import Generator
from gancomp.nets.int8 import add_int8, calibrate_int8, quantised, remove_int8, switch_int8
from gancomp.spec import GeneratorSpec

LAYERS = {
    "convolution": lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1),
    "of one channel each": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1),
}


def pixels(n: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(n)) * 2 - 1


def rounded_activations(x: np.ndarray) -> np.ndarray:
    """*x* in 256 steps from its smallest to its largest value, of which one is zero."""
    low, high = min(x.min(), 0), max(x.max(), 0)
    step = (high - low) / 255
    zero = np.clip(np.round(-low / step), 0, 255)
    return (np.clip(np.round(x / step) + zero, 0, 255) - zero) * step


def rounded_weights(weight: np.ndarray, axis: int) -> np.ndarray:
    """*weight* in steps of a 127th of the largest absolute value of each slice along *axis*."""
    others = tuple(one for one in range(weight.ndim) if one != axis)
    step = np.abs(weight).max(axis=others, keepdims=True) / 127
    return np.round(weight / step) * step


def plain_and_simulated(kind: str) -> tuple[nn.Module, nn.Sequential]:
    """A layer of LAYERS, and one of the same weights that simulates int8."""
    torch.manual_seed(0)
    plain = LAYERS[kind]()
    simulated = nn.Sequential(copy.deepcopy(plain))
    add_int8(simulated)
    return plain, simulated


@pytest.mark.parametrize("kind", LAYERS)
def test_a_convolution_computes_with_rounded_numbers(kind: str) -> None:
    plain, simulated = plain_and_simulated(kind)
    x = pixels(2, plain.in_channels)
    made = simulated(x)
    by_formula = copy.deepcopy(plain)
    axis = 1 if isinstance(plain, nn.ConvTranspose2d) else 0
    with torch.no_grad():
        by_formula.weight.copy_(torch.from_numpy(rounded_weights(plain.weight.detach().numpy(), axis)))
        wanted = by_formula(torch.from_numpy(rounded_activations(x.numpy())).float())
    assert torch.allclose(made, wanted, atol=1e-5)
    assert not torch.allclose(made, plain(x), atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_pass_as_if_nothing_were_rounded(kind: str) -> None:
    plain, simulated = plain_and_simulated(kind)
    simulated(pixels(2, plain.in_channels)).square().mean().backward()
    plain(pixels(2, plain.in_channels)).square().mean().backward()
    own = simulated[0].weight.grad
    assert own is not None
    assert plain.weight.grad is not None
    assert torch.nn.functional.cosine_similarity(own.flatten(), plain.weight.grad.flatten(), 0) > 0.99


def test_a_transposed_convolution_makes_the_size_that_is_asked_for() -> None:
    plain, simulated = plain_and_simulated("transposed")
    x = pixels(2)
    assert simulated[0](x, output_size=[33, 32]).shape == plain(x, output_size=[33, 32]).shape == (2, 5, 33, 32)


SPECS = {
    "resnet": GeneratorSpec(
        family="resnet", widths=(8,) * 8, size=(64, 64), blocks=3, block="separable", norm="instance"
    ),
    "unet": GeneratorSpec(family="unet", widths=(8,) * 8, size=(64, 64), downs=6, norm="batch"),
}


@pytest.fixture(params=SPECS)
def generator(request: pytest.FixtureRequest) -> Generator:
    rng.seed_torch(0, "test")
    return build_generator(SPECS[request.param]).eval()


def test_nothing_is_left_behind(generator: Generator) -> None:
    before, classes = copy.deepcopy(generator.state_dict()), [type(one) for one in generator.modules()]
    add_int8(generator)
    assert len(list(quantised(generator))) == sum(kind in (nn.Conv2d, nn.ConvTranspose2d) for kind in classes)
    generator(pixels(2, size=64))
    own = copy.deepcopy(generator)
    remove_int8(own)
    assert {name: t.shape for name, t in own.state_dict().items()} == {name: t.shape for name, t in before.items()}
    assert all(torch.equal(own.state_dict()[name], value) for name, value in before.items())
    assert [type(one) for one in own.modules()] == classes
    assert list(quantised(generator))  # its copy is another network


def test_layers_are_switched_one_by_one(generator: Generator) -> None:
    x = pixels(4, size=64)
    plain = generator(x)
    add_int8(generator)
    generator(x)
    layers = [layer for _, layer in quantised(generator)]
    for layer in layers:
        switch_int8(layer, rounds=False, observes=False)
    assert torch.equal(generator(x), plain)
    switch_int8(layers[0], rounds=True, observes=False)
    ranges = copy.deepcopy(dict(generator.named_buffers()))
    assert not torch.equal(generator(5 * x), generator(x))
    assert all(torch.equal(value, ranges[name]) for name, value in generator.named_buffers())


def test_what_is_simulated_is_what_is_exported(generator: Generator, tmp_path: Path) -> None:
    """With ranges of the plain network, as an export takes them, a simulated network makes the int8 file's pictures."""
    path = tmp_path / "model.safetensors"
    save_generator(path, generator, experiment="test", stage="test", signature="")
    x = pixels(32, size=64).numpy()
    file = export_generator(path, "onnx", tmp_path / "int8.onnx", precision="int8", real=x[:4], calibration=x)
    run, _ = on_onnxruntime(file)
    exported = np.concatenate([run(one[None]) for one in x])
    plain = np.concatenate([on_pytorch(generator)(one[None]) for one in x])
    add_int8(generator)
    with torch.inference_mode():
        calibrate_int8(generator, torch.from_numpy(x))
        simulated = generator(torch.from_numpy(x)).numpy()
    assert np.abs(simulated - exported).mean() < 0.3 * np.abs(plain - exported).mean()


def test_without_torchao_the_extra_is_named(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(GancompError, match=r"pip install 'gancomp\[int8\]'"):
        add_int8(generator)
