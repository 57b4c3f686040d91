"""The pix2pix recipe: original, MobileNet-style teacher and from-scratch baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.train.optim import adams

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Pix2pix:
    """Adversarial + λ_recon L1 on pairs; the discriminator steps first, then the generator."""

    loss_names = ("d_loss", "g_gan", "g_recon")

    def __init__(
        self, fabric: Fabric, generator: Generator, discriminator: nn.Module, objective: Objective, training: Training
    ) -> None:
        self.objective = objective
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        lay_out(generator)
        self.optimizers = adams(self.networks, training)
        self._fabric = fabric
        self._generator, self._g_optimizer = fabric.setup(generator, self.optimizers["generator"])
        self._discriminator, self._d_optimizer = fabric.setup(discriminator, self.optimizers["discriminator"])

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the discriminator, then of the generator, on inputs and targets (n, c, h, w)."""
        kind = self.objective.gan
        fake = self._generator(inputs)

        self._discriminator.requires_grad_(True)
        real_scores, fake_scores = self._discriminator(conditional(inputs, targets, fake.detach())).chunk(2)
        d_loss = discriminator_loss(kind, real_scores, fake_scores)
        self._d_optimizer.zero_grad()
        self._fabric.backward(d_loss)
        self._d_optimizer.step()

        self._discriminator.requires_grad_(False)
        g_gan = generator_loss(kind, self._discriminator(conditional(inputs, fake)))
        g_recon = F.l1_loss(fake.float(), targets)
        self._g_optimizer.zero_grad()
        self._fabric.backward(g_gan + self.objective.lambda_recon * g_recon)
        self._g_optimizer.step()
        return {"d_loss": d_loss.detach(), "g_gan": g_gan.detach(), "g_recon": g_recon.detach()}
