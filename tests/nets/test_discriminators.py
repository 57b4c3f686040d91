"""The PatchGAN: one score a patch, and the parameters of the paper's."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from gancomp.nets.discriminators import PatchDiscriminator


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
