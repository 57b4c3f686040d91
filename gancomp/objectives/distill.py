"""Intermediate feature distillation (Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets.generator import Generator


def distillation_loss(mapped: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared error of each activation, summed over the activations (Eq. 3, as its authors compute it)."""
    losses = [F.mse_loss(own.float(), theirs.float()) for own, theirs in zip(mapped, teacher, strict=True)]
    return torch.stack(losses).sum()


class MappedGenerator(nn.Module):
    """A student generator with the learnable 1x1 maps f_t from its features to the teacher's widths (Eq. 3).

    Eq. 3 prints f_t on the teacher's side; it maps student → teacher, as the text beside it says.
    """

    def __init__(self, generator: Generator, teacher_channels: Sequence[int]) -> None:
        super().__init__()
        self.generator = generator
        self.maps = nn.ModuleList(
            nn.Conv2d(own, theirs, 1)
            for own, theirs in zip(generator.feature_channels(), teacher_channels, strict=True)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures, and the activations mapped to the teacher's widths."""
        out, features = self.generator.with_features(x)
        return out, [f(feature) for f, feature in zip(self.maps, features, strict=True)]
