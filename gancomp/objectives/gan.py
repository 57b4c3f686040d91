"""Adversarial losses (Eq. 2 and Appendix 6.1): hinge and least squares."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

GanLoss = Literal["hinge", "lsgan"]


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises, given its patch scores of real and generated pictures; halved, as in pix2pix.

    hinge: (mean relu(1 - real) + mean relu(1 + fake)) / 2; lsgan: (mean (real - 1)^2 + mean fake^2) / 2.
    """
    real, fake = real.float(), fake.float()
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def generator_loss(kind: GanLoss, fake: Tensor) -> Tensor:
    """What the generator minimises. hinge: -mean fake; lsgan: mean (fake - 1)^2."""
    fake = fake.float()
    return -fake.mean() if kind == "hinge" else (fake - 1).square().mean()


def conditional(inputs: Tensor, *outputs: Tensor) -> Tensor:
    """Pairs input ⊕ output on the channel axis, stacked on the batch axis for one discriminator pass."""
    return torch.cat([torch.cat((inputs, output), dim=1) for output in outputs])
