"""The PatchGANs: one score a patch, the parameters of the paper's, and GauGAN's at several scales."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gancomp.config.experiment import Discriminator
from gancomp.nets import load_weights
from gancomp.nets.discriminators import MultiscaleDiscriminator, PatchDiscriminator, build_discriminator
from gancomp.pipeline.checkpoints import save_tensors


def scores(network: nn.Module, *shape: int) -> torch.Size:
    return network.to("meta")(torch.empty(shape, device="meta")).shape


@pytest.mark.parametrize(
    ("layers", "side", "patches"),
    [(3, 256, 30), (3, 64, 6), (3, 32, 2), (3, 24, 1), (2, 32, 6), (1, 16, 6), (4, 256, 14)],
)
def test_one_score_a_patch(layers: int, side: int, patches: int) -> None:
    assert scores(PatchDiscriminator(6, 4, layers), 2, 6, side, side) == (2, 1, patches, patches)


def test_pictures_need_not_be_square() -> None:
    assert scores(PatchDiscriminator(3, 2, 3), 1, 3, 64, 128) == (1, 1, 6, 14)


@pytest.mark.parametrize("channels", [3, 6])
def test_parameters_by_hand(channels: int) -> None:
    def convolution(inputs: int, outputs: int) -> int:
        return 16 * inputs * outputs + outputs

    widths = [channels, 64, 128, 256, 512, 1]
    expected = sum(itertools.starmap(convolution, itertools.pairwise(widths)))
    network = PatchDiscriminator(channels, 64, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_widths_stop_at_eight_times_the_base() -> None:
    convolutions = [m for m in PatchDiscriminator(6, 2, 5).modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [2, 4, 8, 16, 16, 16, 1]


def test_a_patch_is_70_pixels() -> None:
    """The receptive field of three layers: a score's gradient reaches 70 x 70 pixels of the input."""
    network = PatchDiscriminator(1, 1, 3)
    network.model = nn.Sequential(*(m for m in network.model if isinstance(m, nn.Conv2d)))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 128, 128, requires_grad=True)
    network(x)[0, 0, 7, 7].backward()
    rows = x.grad[0, 0].any(dim=1).nonzero().flatten()
    assert len(rows) == 70
    assert rows[-1] - rows[0] == 69


def test_the_picture_is_not_changed() -> None:
    x = torch.rand(1, 6, 32, 32)
    kept = x.clone()
    PatchDiscriminator(6, 2, 2)(x)
    assert torch.equal(x, kept)


def test_fresh_weights_follow_the_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in PatchDiscriminator(6, 8, 2).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


# --- at several scales -------------------------------------------------------------------------


def test_each_model_has_its_own() -> None:
    settings = Discriminator(ndf=2, layers=2, scales=3)
    pix2pix, cyclegan, gaugan = (build_discriminator(model, settings, 5) for model in ("pix2pix", "cyclegan", "gaugan"))
    assert isinstance(pix2pix, PatchDiscriminator)
    assert isinstance(cyclegan, PatchDiscriminator)
    assert isinstance(gaugan, MultiscaleDiscriminator)
    assert pix2pix(torch.rand(1, 5 + 3, 16, 16)).shape == (1, 1, 2, 2)
    assert cyclegan(torch.rand(1, 3, 16, 16)).shape == (1, 1, 2, 2), "the output alone"
    assert len(gaugan(torch.rand(1, 5 + 3, 16, 16))) == 3
    pix2pix, cyclegan, gaugan = (
        build_discriminator(model, settings, 5, 1) for model in ("pix2pix", "cyclegan", "gaugan")
    )
    assert pix2pix(torch.rand(1, 5 + 1, 16, 16)).shape == (1, 1, 2, 2)
    assert cyclegan(torch.rand(1, 1, 16, 16)).shape == (1, 1, 2, 2)
    assert len(gaugan(torch.rand(1, 5 + 1, 16, 16))) == 3


def test_every_layer_of_every_scale_is_shown() -> None:
    """Convolutions of 4 pixels, padded by 2, write one pixel more than the half of what they read, or than it."""
    network = MultiscaleDiscriminator(39, 64, layers=4, scales=2).to("meta")
    found = network(torch.empty(1, 39, 256, 512, device="meta"))
    shapes = [[tuple(layer.shape[1:]) for layer in scale] for scale in found]
    assert shapes[0] == [(64, 129, 257), (128, 65, 129), (256, 33, 65), (512, 34, 66), (1, 35, 67)]
    assert shapes[1] == [(64, 65, 129), (128, 33, 65), (256, 17, 33), (512, 18, 34), (1, 19, 35)]


def test_widths_stop_at_512() -> None:
    network = MultiscaleDiscriminator(6, 128, layers=5, scales=1)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 256, 512, 512, 512, 1]
    assert [layer.stride[0] for layer in convolutions] == [2, 2, 2, 2, 1, 1]


def test_the_second_scale_sees_the_picture_at_half_its_size() -> None:
    """Each pixel the mean of those of the nine around that lie in the picture."""
    torch.manual_seed(0)
    network = MultiscaleDiscriminator(2, 2, layers=2, scales=2).eval()
    x = torch.rand(1, 2, 16, 16)
    ones = torch.ones(2, 1, 3, 3)
    total = F.conv2d(x, ones, stride=2, padding=1, groups=2)
    halved = total / F.conv2d(torch.ones_like(x), ones, stride=2, padding=1, groups=2)
    alone = MultiscaleDiscriminator(2, 2, layers=2, scales=1).eval()
    alone.scales[0] = network.scales[1]
    for own, expected in zip(network(x)[1], alone(halved)[0], strict=True):
        torch.testing.assert_close(own, expected)


def test_one_scale_by_hand() -> None:
    torch.manual_seed(0)
    network = MultiscaleDiscriminator(3, 4, layers=3, scales=1).eval()
    first, second, third, last = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        expected = [F.leaky_relu(F.conv2d(x, first.weight, first.bias, stride=2, padding=2), 0.2)]
        for layer, stride in ((second, 2), (third, 1)):
            u, _, v = torch.linalg.svd(layer.parametrizations.weight.original.flatten(1))
            normal = layer.parametrizations.weight.original / (
                u[:, 0] @ layer.parametrizations.weight.original.flatten(1) @ v[0]
            )
            out = F.instance_norm(F.conv2d(expected[-1], normal, stride=stride, padding=2))
            expected.append(F.leaky_relu(out, 0.2))
        expected.append(F.conv2d(expected[-1], last.weight, last.bias, padding=2))
        for own, by_hand in zip(network(x)[0], expected, strict=True):
            # Power iterations come close to the largest singular value, and InstanceNorm takes out the rest.
            torch.testing.assert_close(own, by_hand, rtol=1e-2, atol=1e-3)


def test_inner_layers_alone_are_normalised() -> None:
    network = MultiscaleDiscriminator(3, 2, layers=3, scales=2)
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    inner = {f"scales.{scale}.layers.{layer}.0" for scale in (0, 1) for layer in (1, 2)}
    assert {name for name, layer in convolutions.items() if parametrize.is_parametrized(layer)} == inner
    assert {name for name, layer in convolutions.items() if layer.bias is None} == inner


def test_features_are_not_changed_by_the_layers_after_them() -> None:
    network = MultiscaleDiscriminator(3, 2, layers=3, scales=2).eval()
    x = torch.rand(1, 3, 32, 32)
    kept = x.clone()
    with torch.no_grad():
        scale: list[Tensor] = network(x)[0]
        for layer, before, after in zip(list(network.scales[0].layers)[1:], scale, scale[1:], strict=False):
            assert torch.equal(layer(before), after)
    assert torch.equal(x, kept)


def test_the_weights_come_back_from_a_file(tmp_path: Path) -> None:
    first, second = (MultiscaleDiscriminator(3, 2, layers=3, scales=2) for _ in range(2))
    save_tensors(tmp_path / "discriminator.safetensors", first.state_dict(), {})
    load_weights(second, tmp_path / "discriminator.safetensors")
    x = torch.rand(1, 3, 32, 32)
    for own, other in zip(first(x), second(x), strict=True):
        assert all(map(torch.equal, own, other))
