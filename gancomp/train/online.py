"""OMGD: a student without discriminator and targets, whose teachers train together with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.slicing import Elastic
from gancomp.nets.discriminators import SharedDiscriminator
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.objectives.recipes import weights_of
from gancomp.objectives.terms import Lesson, Taught, compose
from gancomp.train.cyclegan import CycleGan, Reverse
from gancomp.train.optim import adams
from gancomp.train.student import ChooseWidths, Look, Teacher, own_widths, weighed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Worse than any teacher's score, and finite, as required of everything that a training saves.
WORST = 1e9


class Clock(nn.Module):
    """Number of steps so far: a module, so that it is part of the resume state."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def tick(self) -> int:
        """How many there were before this one."""
        before = int(self.steps)
        self.steps += 1
        return before


class Turns(Clock):
    """Also the best score of a teacher so far, and the latest value of each loss."""

    best: Tensor
    losses: Tensor

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.register_buffer("best", torch.full((), WORST))
        self.register_buffer("losses", torch.zeros(losses))


class Imitation:
    """A student's own step: the terms of its objective against what teachers showed, at the widths of the step."""

    def __init__(
        self,
        fabric: Fabric,
        student: Elastic,
        objective: Objective,
        training: Training,
        choose_widths: ChooseWidths,
        look: Look | None,
    ) -> None:
        self.weights = weights_of(objective)
        self.loss_names = tuple(f"g_{term}" for term in self.weights)
        lay_out(student.whole)
        self.optimizers = adams({"student": student.whole}, training)
        self._optimizer = self.optimizers["student"]
        self._student, _ = fabric.setup(student, self._optimizer)
        self._fabric, self._choose_widths, self._look = fabric, choose_widths, look
        self._kind = objective.distillation

    def step(
        self, inputs: Tensor, truth: Tensor, taught: Sequence[Taught], draw: np.random.Generator
    ) -> dict[str, Tensor]:
        """One update on inputs (n, c, h, w), of which the teachers showed *taught*; the mean losses over the widths."""
        self._optimizer.zero_grad()
        chosen, parts = self._choose_widths(draw), []
        for widths in chosen:
            made, activations = self._student(inputs, widths)
            found = compose(self.weights, Lesson(made, truth, activations, taught, self._kind, self._look))
            self._fabric.backward(weighed(self.weights, found) / len(chosen))
            parts.append(torch.stack([found[term].detach().float() for term in self.weights]))
        self._optimizer.step()
        return dict(zip(self.loss_names, torch.stack(parts).mean(0).unbind(), strict=True))


class AlternatingStudent(CycleGan):
    """OMGD without pairs: a CycleGAN teacher trains for *turns*[0] steps, then the student for *turns*[1] on inputs
    alone, with the best teacher so far by *score* (lower is better); and so on in turn.

    *calibrate* estimates a teacher's BatchNorm statistics on inputs, in place: it has trained on targets, too.
    """

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
        *,
        turns: tuple[int, int],
        score: Callable[[Generator], float],
        calibrate: Callable[[Generator], None],
        look: Look | None = None,
    ) -> None:
        super().__init__(fabric, teacher, discriminator, reverse, objective, training)
        self._imitation = Imitation(fabric, student, objective, training, choose_widths, look)
        self.loss_names = (*CycleGan.loss_names, *self._imitation.loss_names)
        self.optimizers |= self._imitation.optimizers
        self._latest, self._best = teacher, copy.deepcopy(teacher)
        self._teacher = Teacher(fabric, self._best)
        self._turns = Turns(len(self.loss_names)).to(fabric.device)
        self.networks |= {"student": student.whole, "best": self._best, "turns": self._turns}
        self._lengths, self._score, self._calibrate = turns, score, calibrate

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of whose turn it is, on inputs and targets (n, c, h, w) that have nothing to do with each other;
        the other's losses are those of its last step."""
        of_teacher, of_student = self._lengths
        at = self._turns.tick() % (of_teacher + of_student)
        losses = super().step(inputs, targets, draw) if at < of_teacher else self._imitate(inputs, draw)
        if at == of_teacher - 1:
            self._keep_if_best()
        for index, name in enumerate(self.loss_names):
            if name in losses:
                self._turns.losses[index] = losses[name].float()
        return dict(zip(self.loss_names, self._turns.losses.clone(), strict=True))

    def _keep_if_best(self) -> None:
        """Compare the latest teacher with the best so far, as they are shown: calibrated, in evaluation mode."""
        latest = copy.deepcopy(self._latest)
        self._calibrate(latest)
        score = self._score(latest.eval())
        if score < self._turns.best:
            self._turns.best.fill_(score)
            self._best.load_state_dict(latest.state_dict())

    def _imitate(self, inputs: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """The student's step. The teacher's output is the target, as in pseudo-pairs."""
        taught = Taught(*self._teacher(inputs))
        return self._imitation.step(inputs, taught.pictures.float(), [taught], draw)


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
        self._imitation = Imitation(fabric, student, objective, training, choose_widths, look)
        of_teachers = ("d_loss", *(f"{name}_{loss}" for name in teachers for loss in ("gan", "recon")))
        self.loss_names = (*of_teachers, *self._imitation.loss_names)
        learning: dict[str, nn.Module] = {"discriminator": discriminator, **teachers}
        for teacher in teachers.values():
            lay_out(teacher)
        self.optimizers = self._imitation.optimizers | adams(learning, training)
        self._clock = Clock()
        self.networks: dict[str, nn.Module] = {"student": student.whole, **learning, "clock": self._clock}
        self._fabric = fabric
        self._discriminator, _ = fabric.setup(discriminator, self.optimizers["discriminator"])
        # A wrapper's `forward` is what it synchronises: pictures and activations in one.
        self._teachers = {
            name: fabric.setup(Shown(teacher), self.optimizers[name])[0] for name, teacher in teachers.items()
        }

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the student, and in its turn of the teachers, on inputs and targets (n, c, h, w)."""
        learning = self._clock.tick() % self.objective.omgd.every == 0
        with torch.set_grad_enabled(learning):
            shown = {name: teacher(inputs) for name, teacher in self._teachers.items()}
        losses = self._teach(inputs, targets, [pictures for pictures, _ in shown.values()], learning)
        taught = [Taught(pictures.detach(), [one.detach() for one in seen]) for pictures, seen in shown.values()]
        return losses | self._imitation.step(inputs, targets, taught, draw)

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
