"""The FID Inception network of pytorch-fid, built without downloading anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES = 2048
#: Side of the pictures that the network sees.
SIDE = 299


def skeleton() -> nn.Module:
    """pytorch-fid's network from the first convolution to the 2,048 pooled features, on the meta device.

    pytorch-fid's own constructor downloads its weights, so the same swap of its public blocks into
    torchvision's Inception is made here; a test holds the two networks against each other.
    """
    from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
    from torchvision.models import inception_v3

    with torch.device("meta"):
        network: nn.Module = inception_v3(weights=None, aux_logits=False, init_weights=False)
        for name, in_channels, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
            network.add_module(f"Mixed_{name}", FIDInceptionA(in_channels, pool_features=pooled))
        for name, channels in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            network.add_module(f"Mixed_{name}", FIDInceptionC(768, channels_7x7=channels))
        network.add_module("Mixed_7b", FIDInceptionE_1(1280))
        network.add_module("Mixed_7c", FIDInceptionE_2(2048))
        network.fc = nn.Identity()
    return network.eval()


def convolutions(network: nn.Module) -> dict[str, nn.Module]:
    """Name → `BasicConv2d` (a convolution and its batch normalisation), in order; the FID network has 94."""
    from torchvision.models.inception import BasicConv2d

    return {name: module for name, module in network.named_modules() if isinstance(module, BasicConv2d)}


class FidInception(nn.Module):
    """Pictures (n, h, w, 3) uint8 → features (n, 2048): resized to 299² and scaled to −1 … 1 as pytorch-fid does."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.network = skeleton()
        self.network.load_state_dict(dict(tensors), assign=True)
        self.eval().requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = pictures.permute(0, 3, 1, 2).float() / 255
        x = nn.functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        features: torch.Tensor = self.network(2 * x - 1)
        return features


class CleanFidInception(FidInception):
    """Pictures (n, 299, 299, 3) float32, resized and in 0 … 255 → features (n, 2048): scaled as clean-fid does."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network((pictures.permute(0, 3, 1, 2) - 128) / 128)
        return features
