"""Distillation, once-for-all training and fine-tuning: one objective (Eq. 4), three ways to choose the widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.slicing import Elastic, Widths
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.distill import activation_map, distillation_loss
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.objectives.recipes import TAUGHT, Term, weights_of
from gancomp.objectives.terms import Lesson, Taught, compose
from gancomp.train.cyclegan import CycleGan, Reverse
from gancomp.train.gaugan import Compare, GauGan
from gancomp.train.optim import adams

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Samples the widths that a step trains; None means the student's own.
ChooseWidths = Callable[[np.random.Generator], Sequence[Widths | None]]
#: The features of pictures (n, c, h, w) at several depths of a perceptual network.
Look = Callable[[Tensor], Sequence[Tensor]]


def own_widths(draw: np.random.Generator) -> Sequence[None]:
    """The student at its own widths: distillation and fine-tuning."""
    return (None,)


class Teacher:
    """The frozen generator that students learn from."""

    def __init__(self, fabric: Fabric, generator: Generator) -> None:
        self._fabric = fabric
        lay_out(generator)
        # Not wrapped: it is frozen and has nothing to synchronise.
        self._generator = generator.to(fabric.device).eval().requires_grad_(False)

    def __call__(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Its outputs, and the activations that Eq. 3 matches."""
        with torch.no_grad(), self._fabric.autocast():
            return self._generator.with_features(inputs)


class Student:
    """Eq. 4 with a frozen teacher, or another composition of terms (`gancomp.objectives.recipes`). Both losses use the
    discriminator from before the update; then student and discriminator step.

    With pairs, the reconstruction loss is against the target, and the discriminator is conditional. Without pairs the
    teacher's output replaces the target (*pseudo_pairs*), and the discriminator compares outputs with real targets.
    """

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
        look: Look | None = None,
    ) -> None:
        self.objective = objective
        self.weights = weights_of(objective)
        #: Whether a term uses the discriminator; else it is not trained.
        self._judged = bool({"gan", "critic"} & self.weights.keys())
        self.loss_names = (*(["d_loss"] if self._judged else []), *(f"g_{term}" for term in self.weights))
        self.choose_widths = choose_widths
        self.networks: dict[str, nn.Module] = {"student": student.whole, "discriminator": discriminator}
        lay_out(student.whole)
        self.optimizers = adams(self.networks, training)
        self._fabric = fabric
        self._student, self._g_optimizer = fabric.setup(student, self.optimizers["student"])
        self._discriminator, self._d_optimizer = fabric.setup(discriminator, self.optimizers["discriminator"])
        self._teacher = Teacher(fabric, teacher)
        self._pseudo_pairs = pseudo_pairs
        self._look = look
        self._critic = Critic(fabric, discriminator, teacher) if "critic" in self.weights else None
        if self._critic:
            self.networks["teacher_maps"] = self._critic.maps

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the student and its discriminator on inputs and targets (n, c, h, w)."""
        kind = self.objective.gan
        taught = [Taught(*self._teacher(inputs))] if self._pseudo_pairs or TAUGHT & self.weights.keys() else []
        truth = taught[0].pictures.float() if self._pseudo_pairs else targets

        self._discriminator.requires_grad_(False)
        self._g_optimizer.zero_grad()
        shown = self._critic.show(taught[0].activations) if self._critic else ()
        chosen, fakes, parts = self.choose_widths(draw), [], []
        for widths in chosen:
            fake, activations = self._student(inputs, widths)
            lesson = Lesson(
                made=fake,
                truth=truth,
                activations=activations,
                taught=taught,
                kind=self.objective.distillation,
                look=self._look,
                see=self._critic.see(inputs.shape[2:]) if self._critic else None,
                shown=shown,
            )
            losses: dict[Term, Tensor] = {}
            if "gan" in self.weights:
                losses["gan"] = generator_loss(kind, self._discriminator(self._seen(inputs, fake)))
            losses |= compose(self.weights, lesson)
            self._fabric.backward(weighed(self.weights, losses) / len(chosen))
            fakes.append(fake.detach())
            parts.append(torch.stack([losses[term].detach().float() for term in self.weights]))

        d_losses = []
        if self._judged:
            self._discriminator.requires_grad_(True)
            scores = self._discriminator(self._seen(inputs, targets, *fakes))
            d_loss = discriminator_loss(kind, scores[: len(targets)], scores[len(targets) :])
            self._d_optimizer.zero_grad()
            self._fabric.backward(d_loss)
            self._d_optimizer.step()
            d_losses = [d_loss.detach()]
        self._g_optimizer.step()
        return dict(zip(self.loss_names, (*d_losses, *torch.stack(parts).mean(0).unbind()), strict=True))

    def _seen(self, inputs: Tensor, *outputs: Tensor) -> Tensor:
        """The discriminator's input for *outputs*."""
        return torch.cat(outputs) if self._pseudo_pairs else conditional(inputs, *outputs)


def weighed(weights: Mapping[Term, float], losses: Mapping[Term, Tensor]) -> Tensor:
    """The weighted sum, in the order of *weights*."""
    total: Tensor = sum((weights[term] * losses[term] for term in weights), start=torch.zeros(()))
    return total


class Critic:
    """The discriminator's features of activations, the student's and the teacher's (DCD).

    The teacher's maps to pictures keep their random initialisation; the student's are learned.
    """

    def __init__(self, fabric: Fabric, discriminator: nn.Module, teacher: Generator) -> None:
        if not isinstance(discriminator, PatchDiscriminator):
            raise TypeError(f"critic: needs a PatchGAN at one scale, not {type(discriminator).__name__}")
        self._fabric = fabric
        self._discriminator: PatchDiscriminator = discriminator
        self.maps = nn.ModuleList(
            activation_map("critic", channels, discriminator.channels) for channels in teacher.feature_channels()
        )
        self.maps.to(fabric.device).requires_grad_(False)

    def show(self, activations: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's *activations* as pictures."""
        with torch.no_grad(), self._fabric.autocast():
            return [show(activation) for show, activation in zip(self.maps, activations, strict=True)]

    def see(self, size: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """The discriminator's features of activations that are mapped to pictures and enlarged to *size*."""

        def look(mapped: Tensor) -> Tensor:
            with self._fabric.autocast():
                whole = F.interpolate(mapped, size=tuple(size), mode="bilinear", align_corners=False)
                found: Tensor = self._discriminator.seen(whole)
            return found

        return look


# --- students under their teacher's own objective ----------------------------------------------


class Pupil:
    """A student at one step's widths, as a plain generator; its first pass is compared with the teacher's."""

    def __init__(self, student: Callable[[Tensor, Widths | None], Any], widths: Widths | None):
        self._student, self._widths = student, widths
        self._mapped: dict[str, list[Tensor]] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor
        out, mapped = self._student(x, self._widths)
        if self._mapped is None:
            self._mapped = mapped
        return out

    def distillation(self, teacher: Teacher, inputs: Tensor, weight: float) -> dict[str, Tensor]:
        """Eq. 3 over *inputs*, with which the first pass began; where it has no *weight*, it is not computed."""
        assert self._mapped is not None
        if weight == 0:
            return {"g_distill": inputs.new_zeros(())}
        mapped = [feature[: len(inputs)] for feature in self._mapped["distill"]]
        return {"g_distill": distillation_loss(mapped, teacher(inputs)[1])}


class NaiveStudent(CycleGan):
    """Unpaired training without pseudo-pairs (Figure 7a): the student in CycleGAN's objective, whose reverse generator
    and discriminators start from the teacher's and are trained, too; and Eq. 3 unless λ_distill is zero."""

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
    """GauGAN's objective with Eq. 3. Unlike other students, it steps first, and the discriminator is then trained on
    its new outputs at the same widths."""

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
