"""Distillation, once-for-all training and fine-tuning: one objective (Eq. 4), three ways to choose the widths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from gancomp.config import Objective
from gancomp.elastic.slicing import Elastic, Widths
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import distillation_loss
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.train.optim import adam

#: Chooses a step's widths from its randomness; None stands for the student's own.
ChooseWidths = Callable[[np.random.Generator], Widths | None]


def own_widths(draw: np.random.Generator) -> None:
    """The student as it is: distillation and fine-tuning."""


class Student:
    """Eq. 4 with a frozen teacher. Both networks are judged by the same, old discriminator; then both step."""

    loss_names = ("d_loss", "g_gan", "g_recon", "g_distill")

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        teacher: Generator,
        discriminator: PatchDiscriminator,
        objective: Objective,
        lr: float,
        choose_widths: ChooseWidths = own_widths,
    ) -> None:
        self.objective = objective
        self.choose_widths = choose_widths
        self.networks = {"student": student.whole, "discriminator": discriminator}
        self.optimizers = {name: adam(network, lr) for name, network in self.networks.items()}
        self._fabric = fabric
        self._student, self._g_optimizer = fabric.setup(student, self.optimizers["student"])
        self._discriminator, self._d_optimizer = fabric.setup(discriminator, self.optimizers["discriminator"])
        # Not wrapped: it has nothing to synchronise, and nothing may change it.
        self._teacher = teacher.to(fabric.device).eval().requires_grad_(False)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the student and its discriminator on a batch (n, 3, h, w) in [-1, 1]."""
        kind, weights = self.objective.gan, self.objective
        fake, mapped = self._student(inputs, self.choose_widths(draw))

        self._discriminator.requires_grad_(False)
        g_gan = generator_loss(kind, self._discriminator(conditional(inputs, fake)))
        g_recon = F.l1_loss(fake.float(), targets)
        g_distill = self._distillation(inputs, mapped)
        self._g_optimizer.zero_grad()
        self._fabric.backward(g_gan + weights.lambda_recon * g_recon + weights.lambda_distill * g_distill)

        self._discriminator.requires_grad_(True)
        real_scores, fake_scores = self._discriminator(conditional(inputs, targets, fake.detach())).chunk(2)
        d_loss = discriminator_loss(kind, real_scores, fake_scores)
        self._d_optimizer.zero_grad()
        self._fabric.backward(d_loss)

        self._g_optimizer.step()
        self._d_optimizer.step()
        losses = {"d_loss": d_loss, "g_gan": g_gan, "g_recon": g_recon, "g_distill": g_distill}
        return {name: loss.detach() for name, loss in losses.items()}

    def _distillation(self, inputs: Tensor, mapped: list[Tensor]) -> Tensor:
        if self.objective.lambda_distill == 0:
            return inputs.new_zeros(())
        with torch.no_grad(), self._fabric.autocast():
            _, features = self._teacher.with_features(inputs)
        return distillation_loss(mapped, features)
