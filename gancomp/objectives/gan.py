"""Adversarial losses (Eq. 2 and Appendix 6.1): hinge and least squares, at one scale or several, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

GanLoss = Literal["hinge", "lsgan"]
#: The output of a discriminator at several scales: for each scale the activations of its layers, the last the scores.
Found = Sequence[Sequence[Tensor]]


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, given its patch scores of real and generated pictures; halved, as in pix2pix.

    hinge: (mean relu(1 - real) + mean relu(1 + fake)) / 2; lsgan: (mean (real - 1)^2 + mean fake^2) / 2.
    """
    real, fake = real.float(), fake.float()
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def generator_loss(kind: GanLoss, fake: Tensor) -> Tensor:
    """The generator's loss. hinge: -mean fake; lsgan: mean (fake - 1)^2."""
    fake = fake.float()
    return -fake.mean() if kind == "hinge" else (fake - 1).square().mean()


def conditional(inputs: Tensor, *outputs: Tensor) -> Tensor:
    """Pairs input ⊕ output on the channel axis, stacked on the batch axis for one discriminator pass."""
    return torch.cat([torch.cat((inputs, output), dim=1) for output in outputs])


# --- at several scales (GauGAN) ----------------------------------------------------------------


def multiscale_discriminator_loss(kind: GanLoss, real: Found, fake: Found) -> Tensor:
    """The mean over the scales of both halves of `discriminator_loss` in full, as in GauGAN."""
    losses = [2 * discriminator_loss(kind, own[-1], other[-1]) for own, other in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def multiscale_generator_loss(kind: GanLoss, fake: Found) -> Tensor:
    """The mean over the scales of `generator_loss`."""
    return torch.stack([generator_loss(kind, layers[-1]) for layers in fake]).mean()


def feature_matching_loss(real: Found, fake: Found) -> Tensor:
    """L1 between the discriminator's activations, summed over the layers before the scores; the mean over the scales.

    The activations of real pictures are detached targets.
    """
    losses = [
        torch.stack(
            [F.l1_loss(made.float(), wanted.detach().float()) for wanted, made in zip(*layers, strict=True)][:-1]
        ).sum()
        for layers in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def split(found: Found) -> tuple[Found, Found]:
    """The outputs of one pass over two stacked batches, for each of them."""
    halves = [[layer.chunk(2) for layer in layers] for layers in found]
    return [[first for first, _ in layers] for layers in halves], [
        [second for _, second in layers] for layers in halves
    ]
