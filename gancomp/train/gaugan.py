"""The GauGAN recipe: label maps to pictures, a multi-scale discriminator, perceptual and feature matching losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.nets.layers import lay_out
from gancomp.objectives.gan import (
    conditional,
    feature_matching_loss,
    multiscale_discriminator_loss,
    multiscale_generator_loss,
    split,
)
from gancomp.train.optim import adams

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Adam's, with the two learning rates.
BETAS = (0.0, 0.9)

Generate = Callable[[Tensor], Tensor]
Compare = Callable[[Tensor, Tensor], Tensor]


class GauGan:
    """Adversarial loss + λ_feature of the discriminator's features + λ_recon of the perceptual loss (*perceptual*).

    The generator steps first, then the discriminator, on outputs of the updated generator. The discriminator is
    conditional on the encoded label map, and receives real and generated pictures in one batch.
    """

    loss_names: tuple[str, ...] = ("d_loss", "g_gan", "g_feature", "g_perceptual")

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        training: Training,
        perceptual: Compare,
    ) -> None:
        self.objective = objective
        self.weights = {"g_gan": 1.0, "g_feature": objective.lambda_feature, "g_perceptual": objective.lambda_recon}
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        lay_out(generator)
        self.optimizers = adams(self.networks, training, BETAS)
        self._fabric = fabric
        self._generator, self._g_optimizer = fabric.setup(generator, self.optimizers["generator"])
        self._discriminator, self._d_optimizer = fabric.setup(discriminator, self.optimizers["discriminator"])
        self._perceptual = perceptual

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update on encoded label maps (n, classes + 1, h, w) and pictures (n, c, h, w) in [-1, 1]."""
        return self._step(self._generator, inputs, targets)

    def _step(
        self, generate: Generate, inputs: Tensor, targets: Tensor, more: Callable[[], dict[str, Tensor]] = dict
    ) -> dict[str, Tensor]:
        """One update; *generate* is the generator, after whose first pass *more* returns further losses."""
        kind = self.objective.gan
        self._discriminator.requires_grad_(False)
        made = generate(inputs)
        real, fake = split(self._discriminator(conditional(inputs, targets, made)))
        with self._fabric.autocast():
            perceptual = self._perceptual(made, targets)
        losses = {
            "g_gan": multiscale_generator_loss(kind, fake),
            "g_feature": feature_matching_loss(real, fake),
            "g_perceptual": perceptual,
            **more(),
        }
        self._g_optimizer.zero_grad()
        self._fabric.backward(torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum())
        self._g_optimizer.step()

        self._discriminator.requires_grad_(True)
        with torch.no_grad():
            made = generate(inputs)
        losses["d_loss"] = multiscale_discriminator_loss(
            kind, *split(self._discriminator(conditional(inputs, targets, made)))
        )
        self._d_optimizer.zero_grad()
        self._fabric.backward(losses["d_loss"])
        self._d_optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}
