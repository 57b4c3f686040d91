"""The optimiser that every stage uses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from gancomp.config import Training

BETAS = (0.5, 0.999)


def adam(network: nn.Module, lr: float, betas: tuple[float, float] = BETAS) -> torch.optim.Adam:
    """Adam, with the paper's betas unless told otherwise. A once-for-all network's undrawn channels get zero gradients,
    and Adam's momentum still moves them a little: all parameters are stepped, as in the authors' system."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)


def adams(
    networks: Mapping[str, nn.Module], training: Training, betas: tuple[float, float] = BETAS
) -> dict[str, torch.optim.Adam]:
    """One Adam a network, under its name: discriminators may have a learning rate of their own (two time scales)."""
    of_discriminators = training.lr_discriminator or training.lr
    return {
        name: adam(network, of_discriminators if name.endswith("discriminator") else training.lr, betas)
        for name, network in networks.items()
    }
