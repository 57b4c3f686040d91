"""Distillation, once-for-all training and fine-tuning: one objective (Eq. 4), three ways to choose the widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config import Objective, Training
from gancomp.elastic.slicing import Elastic, Widths
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.distill import distillation, distillation_loss
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.train.cyclegan import CycleGan, Reverse
from gancomp.train.gaugan import Compare, GauGan
from gancomp.train.optim import adams

#: Chooses the widths that a step trains, from its randomness; None stands for the student's own.
ChooseWidths = Callable[[np.random.Generator], Sequence[Widths | None]]


def own_widths(draw: np.random.Generator) -> Sequence[None]:
    """The student as it is: distillation and fine-tuning."""
    return (None,)


class Teacher:
    """The frozen generator that students learn from."""

    def __init__(self, fabric: Fabric, generator: Generator) -> None:
        self._fabric = fabric
        lay_out(generator)
        # Not wrapped: it has nothing to synchronise, and nothing may change it.
        self._generator = generator.to(fabric.device).eval().requires_grad_(False)

    def __call__(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Its pictures, and the activations that Eq. 3 matches."""
        with torch.no_grad(), self._fabric.autocast():
            return self._generator.with_features(inputs)


class Student:
    """Eq. 4 with a frozen teacher. Both networks are judged by the same, old discriminator; then both step.

    Of pairs, the reconstruction is measured against the truth, and the discriminator is conditional. Without them the
    teacher's output takes the truth's place (*pseudo_pairs*), and the discriminator tells outputs from real targets.
    """

    loss_names = ("d_loss", "g_gan", "g_recon", "g_distill")

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        teacher: Generator,
        discriminator: nn.Module,
        objective: Objective,
        training: Training,
        choose_widths: ChooseWidths = own_widths,
        *,
        pseudo_pairs: bool = False,
    ) -> None:
        self.objective = objective
        self.choose_widths = choose_widths
        self.networks = {"student": student.whole, "discriminator": discriminator}
        lay_out(student.whole)
        self.optimizers = adams(self.networks, training)
        self._fabric = fabric
        self._student, self._g_optimizer = fabric.setup(student, self.optimizers["student"])
        self._discriminator, self._d_optimizer = fabric.setup(discriminator, self.optimizers["discriminator"])
        self._teacher = Teacher(fabric, teacher)
        self._pseudo_pairs = pseudo_pairs

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the student and its discriminator on inputs and targets (n, c, h, w)."""
        kind, weights = self.objective.gan, self.objective
        taught = self._teacher(inputs) if self._pseudo_pairs or weights.lambda_distill > 0 else None
        truth = taught[0].float() if taught and self._pseudo_pairs else targets

        self._discriminator.requires_grad_(False)
        self._g_optimizer.zero_grad()
        chosen, fakes, parts = self.choose_widths(draw), [], []
        for widths in chosen:
            fake, mapped = self._student(inputs, widths)
            g_gan = generator_loss(kind, self._discriminator(self._seen(inputs, fake)))
            g_recon = F.l1_loss(fake.float(), truth)
            g_distill = inputs.new_zeros(())
            if taught and weights.lambda_distill > 0:
                g_distill = distillation(weights.distillation, fake, mapped, taught)
            loss = g_gan + weights.lambda_recon * g_recon + weights.lambda_distill * g_distill
            self._fabric.backward(loss / len(chosen))
            fakes.append(fake.detach())
            parts.append(torch.stack([part.detach() for part in (g_gan, g_recon, g_distill)]))

        self._discriminator.requires_grad_(True)
        scores = self._discriminator(self._seen(inputs, targets, *fakes))
        d_loss = discriminator_loss(kind, scores[: len(targets)], scores[len(targets) :])
        self._d_optimizer.zero_grad()
        self._fabric.backward(d_loss)

        self._g_optimizer.step()
        self._d_optimizer.step()
        losses = (d_loss.detach(), *torch.stack(parts).mean(0).unbind())
        return dict(zip(self.loss_names, losses, strict=True))

    def _seen(self, inputs: Tensor, *outputs: Tensor) -> Tensor:
        """What the discriminator sees of *outputs*."""
        return torch.cat(outputs) if self._pseudo_pairs else conditional(inputs, *outputs)


# --- students under their teacher's own objective ----------------------------------------------


class Pupil:
    """A student at one step's widths, as a plain generator; its first pass is compared with the teacher's."""

    def __init__(self, student: Callable[[Tensor, Widths | None], tuple[Tensor, list[Tensor]]], widths: Widths | None):
        self._student, self._widths = student, widths
        self._mapped: list[Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        out, mapped = self._student(x, self._widths)
        if self._mapped is None:
            self._mapped = mapped
        return out

    def distillation(self, teacher: Teacher, inputs: Tensor, weight: float) -> dict[str, Tensor]:
        """Eq. 3 over *inputs*, with which the first pass began; where it has no *weight*, it is not computed."""
        assert self._mapped is not None
        if weight == 0:
            return {"g_distill": inputs.new_zeros(())}
        mapped = [feature[: len(inputs)] for feature in self._mapped]
        return {"g_distill": distillation_loss(mapped, teacher(inputs)[1])}


class NaiveStudent(CycleGan):
    """Unpaired training without pseudo-pairs (Figure 7a): the student in CycleGAN's own objective, whose way back and
    discriminators are the teacher's, trained along; and Eq. 3 where λ_distill is not zero."""

    loss_names = (*CycleGan.loss_names, "g_distill")

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        teacher: Generator,
        discriminator: nn.Module,
        reverse: Reverse,
        objective: Objective,
        training: Training,
        choose_widths: ChooseWidths = own_widths,
    ) -> None:
        super().__init__(fabric, student, discriminator, reverse, objective, training)
        self.weights["g_distill"] = objective.lambda_distill
        self.choose_widths = choose_widths
        self._teacher = Teacher(fabric, teacher)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        (widths,) = self.choose_widths(draw)
        pupil = Pupil(self._own["generator"], widths)
        weight = self.weights["g_distill"]
        return self._step(pupil, inputs, targets, draw, lambda: pupil.distillation(self._teacher, inputs, weight))


class GauGanStudent(GauGan):
    """GauGAN's objective with Eq. 3 beside it. Unlike other students, it steps first, and the discriminator then sees
    what it makes anew at the same widths."""

    loss_names = (*GauGan.loss_names, "g_distill")

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        teacher: Generator,
        discriminator: nn.Module,
        objective: Objective,
        training: Training,
        perceptual: Compare,
        choose_widths: ChooseWidths = own_widths,
    ) -> None:
        super().__init__(fabric, student, discriminator, objective, training, perceptual)
        self.weights["g_distill"] = objective.lambda_distill
        self.choose_widths = choose_widths
        self._teacher = Teacher(fabric, teacher)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        (widths,) = self.choose_widths(draw)
        pupil = Pupil(self._generator, widths)
        weight = self.weights["g_distill"]
        return self._step(pupil, inputs, targets, lambda: pupil.distillation(self._teacher, inputs, weight))
