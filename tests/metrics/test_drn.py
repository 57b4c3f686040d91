"""DRN-D-105: the names and shapes of its published file, what it computes at, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gancomp.errors import GancompError
from gancomp.metrics import drn
from gancomp.metrics.drn import DilatedResidualNetwork, fetch_drn, load_drn, read_drn

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
TINY = functools.partial(DilatedResidualNetwork, channels=(2, 3, 2, 2, 2, 2, 4, 4), blocks=(1, 2, 2, 1))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a tiny network of the same layout for DRN-D-105."""
    monkeypatch.setattr(drn, "DilatedResidualNetwork", TINY)


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of DRN-D-105's published file, written down from the architecture's description."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, before: int, after: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (after, before, kernel, kernel)

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{key}": (channels,) if key != "num_batches_tracked" else () for key in NORM})

    for layer, before, after, kernel in (
        (0, 3, 16, 7),
        (1, 16, 16, 3),
        (2, 16, 32, 3),
        (7, 2048, 512, 3),
        (8, 512, 512, 3),
    ):
        convolution(f"base.{layer}.0", before, after, kernel)
        norm(f"base.{layer}.1", after)
    before = 32
    for layer, width, blocks in ((3, 64, 3), (4, 128, 4), (5, 256, 23), (6, 512, 3)):
        for block in range(blocks):
            name = f"base.{layer}.{block}"
            for index, shape in enumerate([(before, width, 1), (width, width, 3), (width, 4 * width, 1)], start=1):
                convolution(f"{name}.conv{index}", *shape)
                norm(f"{name}.bn{index}", shape[1])
            if block == 0:
                convolution(f"{name}.downsample.0", before, 4 * width, 1)
                norm(f"{name}.downsample.1", 4 * width)
            before = 4 * width
    convolution("seg", 512, 19, 1)
    return shapes | {"seg.bias": (19,), "up.weight": (19, 1, 16, 16)}


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = DilatedResidualNetwork()
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == published_shapes()
    # 54.8 million as published, which counts the classifier of ImageNet's 1,000 classes.
    assert sum(p.numel() for p in network.base.parameters()) + 513 * 1000 == 54_801_304


def test_it_falls_to_an_eighth_and_dilates_from_there() -> None:
    with torch.device("meta"):
        network = DilatedResidualNetwork()
    x = torch.empty(1, 3, 256, 512, device="meta")
    assert network.base(x).shape == (1, 512, 32, 64)
    assert network(x).shape == (1, 19, 256, 512)
    steps = {
        name: (module.stride[0], module.dilation[0])
        for name, module in network.base.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1
    }
    assert [steps[f"{layer}.0"] for layer in (0, 1, 2)] == [(1, 1), (1, 1), (2, 1)]
    assert [steps[f"{layer}.0.conv2"] for layer in (3, 4, 5, 6)] == [(2, 1), (2, 1), (1, 2), (1, 4)]
    assert {steps[f"{layer}.{last}.conv2"] for layer, last in ((3, 2), (4, 3))} == {(1, 1)}
    assert [steps[name] for name in ("5.22.conv2", "6.2.conv2", "7.0", "8.0")] == [(1, 2), (1, 4), (1, 2), (1, 1)]


def test_it_gives_log_probabilities() -> None:
    network = TINY().eval()
    with torch.inference_mode():
        maps = network(torch.rand(2, 3, 24, 40))
    assert maps.shape == (2, 19, 24, 40)
    torch.testing.assert_close(maps.exp().sum(dim=1), torch.ones(2, 24, 40))


def test_it_computes_what_its_description_says() -> None:
    """The same from the state dict alone: bottlenecks with a projection where the shape changes, then ReLU."""
    torch.manual_seed(0)
    network = TINY().double()
    network.train()(torch.rand(4, 3, 32, 32).double())  # statistics that are not 0 and 1
    state = network.eval().state_dict()

    def unit(x: torch.Tensor, convolution: str, norm: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        weight = state[f"{convolution}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2 * dilation, dilation=dilation)
        mean, var, gain, bias = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, gain, bias)

    image = torch.rand(1, 3, 24, 16).double()
    x = image
    for layer, stride in ((0, 1), (1, 1), (2, 2)):
        x = unit(x, f"base.{layer}.0", f"base.{layer}.1", stride).relu()
    for layer, blocks, stride, dilation in ((3, 1, 2, 1), (4, 2, 2, 1), (5, 2, 1, 2), (6, 1, 1, 4)):
        for block in range(blocks):
            name, by = f"base.{layer}.{block}", stride if block == 0 else 1
            y = unit(x, f"{name}.conv1", f"{name}.bn1").relu()
            y = unit(y, f"{name}.conv2", f"{name}.bn2", by, dilation).relu()
            y = unit(y, f"{name}.conv3", f"{name}.bn3")
            projected = f"{name}.downsample.0.weight" in state
            x = (y + (unit(x, f"{name}.downsample.0", f"{name}.downsample.1", by) if projected else x)).relu()
    for layer, dilation in ((7, 2), (8, 1)):
        x = unit(x, f"base.{layer}.0", f"base.{layer}.1", dilation=dilation).relu()
    x = F.conv2d(x, state["seg.weight"], state["seg.bias"])
    x = F.conv_transpose2d(x, state["up.weight"], stride=8, padding=4, groups=19).log_softmax(1)
    assert x.shape == (1, 19, 24, 16)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), x)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_published_file_is_read(prefix: str, tmp_path: Path) -> None:
    """Files of that time have no counts of batches."""
    network = TINY().eval()
    with torch.no_grad():
        network.base[0][1].running_mean.fill_(0.3)
    state = {prefix + key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "drn.pth")
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(load_drn(read_drn(tmp_path / "drn.pth"))(x), network(x))


@pytest.mark.usefixtures("tiny")
def test_another_networks_file_is_refused_by_its_names(tmp_path: Path) -> None:
    state = TINY().state_dict()
    state["fc.weight"] = state.pop("seg.weight")
    torch.save(state, tmp_path / "drn.pth")
    with pytest.raises(GancompError, match=r"drn\.pth: .*missing: seg\.weight; unexpected: fc\.weight"):
        read_drn(tmp_path / "drn.pth")


@pytest.mark.usefixtures("tiny")
def test_weights_of_ones_own_are_taken_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object, **__: object) -> None:
        raise AssertionError("fetched although a file is named")

    monkeypatch.setattr(drn, "fetch_file", unexpected)
    torch.save(TINY().state_dict(), tmp_path / "own.pth")
    tensors, source, sha256 = fetch_drn(tmp_path, str(tmp_path / "own.pth"))
    assert tensors.keys() == TINY().state_dict().keys()
    assert (source, len(sha256)) == (str(tmp_path / "own.pth"), 64)
    with pytest.raises(GancompError, match=r"missing\.pth: no such file; correct judge\.weights"):
        fetch_drn(tmp_path, str(tmp_path / "missing.pth"))


@pytest.mark.usefixtures("tiny")
def test_the_published_file_is_kept_among_the_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drn, "fetch_file", lambda urls, path, **_: torch.save(TINY().state_dict(), path))
    _, source, _ = fetch_drn(tmp_path)
    assert source == "https://dl.yf.io/drn/drn-d-105_ms_cityscapes.pth"
    assert (tmp_path / "drn-d-105_ms_cityscapes.pth").is_file()
