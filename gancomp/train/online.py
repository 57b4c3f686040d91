"""OMGD: a student without discriminator and without truth, whose teachers train while they teach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config import Objective, Training
from gancomp.elastic.slicing import Elastic
from gancomp.nets.discriminators import SharedDiscriminator
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.objectives.recipes import weights_of
from gancomp.objectives.terms import Lesson, Taught, compose
from gancomp.train.optim import adams
from gancomp.train.student import ChooseWidths, Look, own_widths, weighed


class Clock(nn.Module):
    """Steps so far: a module, so that it is part of the state that a training resumes from."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def tick(self) -> int:
        """How many there were before this one."""
        before = int(self.steps)
        self.steps += 1
        return before


class OnlineStudent:
    """The terms of the objective against the pictures of several *teachers*, the first of which also shows its
    activations. Every `omgd.every` steps the teachers take one of pix2pix's own, each alone but for the discriminator's
    first layers, which they share; the student learns from the pictures of before it.
    """

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        teachers: Mapping[str, Generator],
        discriminator: SharedDiscriminator,
        objective: Objective,
        training: Training,
        choose_widths: ChooseWidths = own_widths,
        *,
        look: Look | None = None,
    ) -> None:
        self.objective = objective
        self.weights = weights_of(objective)
        of_teachers = ("d_loss", *(f"{name}_{loss}" for name in teachers for loss in ("gan", "recon")))
        self.loss_names = (*of_teachers, *(f"g_{term}" for term in self.weights))
        self.choose_widths = choose_widths
        learning: dict[str, nn.Module] = {"student": student.whole, "discriminator": discriminator, **teachers}
        for network in (student.whole, *teachers.values()):
            lay_out(network)
        self.optimizers = adams(learning, training)
        self._clock = Clock()
        self.networks: dict[str, nn.Module] = {**learning, "clock": self._clock}
        self._fabric = fabric
        self._student, _ = fabric.setup(student, self.optimizers["student"])
        self._discriminator, _ = fabric.setup(discriminator, self.optimizers["discriminator"])
        # A wrapper's `forward` is what it synchronises: pictures and activations in one.
        self._teachers = {
            name: fabric.setup(Shown(teacher), self.optimizers[name])[0] for name, teacher in teachers.items()
        }
        self._look = look

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the student, and in its turn of the teachers, on inputs and targets (n, c, h, w)."""
        learning = self._clock.tick() % self.objective.omgd.every == 0
        with torch.set_grad_enabled(learning):
            shown = {name: teacher(inputs) for name, teacher in self._teachers.items()}
        losses = self._teach(inputs, targets, [pictures for pictures, _ in shown.values()], learning)
        taught = [Taught(pictures.detach(), [one.detach() for one in seen]) for pictures, seen in shown.values()]

        self.optimizers["student"].zero_grad()
        chosen, parts = self.choose_widths(draw), []
        for widths in chosen:
            made, activations = self._student(inputs, widths)
            lesson = Lesson(made, targets, activations, taught, self.objective.distillation, self._look)
            found = compose(self.weights, lesson)
            self._fabric.backward(weighed(self.weights, found) / len(chosen))
            parts.append(torch.stack([found[term].detach().float() for term in self.weights]))
        self.optimizers["student"].step()
        of_student = (f"g_{term}" for term in self.weights)
        return losses | dict(zip(of_student, torch.stack(parts).mean(0).unbind(), strict=True))

    def _teach(self, inputs: Tensor, targets: Tensor, made: list[Tensor], learning: bool) -> dict[str, Tensor]:
        """Losses of the teachers and of their discriminator; where they are *learning*, a step of all of them, whose
        gradients come from the old ones."""
        kind = self.objective.gan
        fakes, real = torch.stack([conditional(inputs, one) for one in made]), conditional(inputs, targets)
        with torch.set_grad_enabled(learning):
            self._discriminator.requires_grad_(learning)
            judged = [scores.chunk(2) for scores in self._discriminator(fakes.detach(), real)]
            d_loss = torch.stack([discriminator_loss(kind, real, fake) for fake, real in judged]).sum()
            if learning:
                self.optimizers["discriminator"].zero_grad()
                self._fabric.backward(d_loss)
            self._discriminator.requires_grad_(False)
            gans = [generator_loss(kind, scores) for scores in self._discriminator(fakes)]
            recons = [F.l1_loss(one.float(), targets) for one in made]
            if learning:
                for name in self._teachers:
                    self.optimizers[name].zero_grad()
                each = [gan + self.objective.lambda_recon * recon for gan, recon in zip(gans, recons, strict=True)]
                self._fabric.backward(torch.stack(each).sum())
                for name in ("discriminator", *self._teachers):
                    self.optimizers[name].step()
        losses = {"d_loss": d_loss}
        for name, gan, recon in zip(self._teachers, gans, recons, strict=True):
            losses |= {f"{name}_gan": gan, f"{name}_recon": recon}
        return {name: loss.detach() for name, loss in losses.items()}


class Shown(nn.Module):
    """A generator whose pass shows its activations beside its pictures."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.generator.with_features(x)
