"""The terms of a student's loss except the adversarial one: each is a function of the lesson of one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from gancomp import ranks
from gancomp.errors import GancompError
from gancomp.objectives.distill import distillation
from gancomp.objectives.recipes import Term

#: SSIM's window and constants, for pictures in [-1, 1] whose range counts as 1, as OMGD takes it.
SSIM_SIZE, SSIM_SIGMA, SSIM_C = 11, 1.5, (0.01**2, 0.03**2)


@dataclass(frozen=True)
class Taught:
    """One teacher's outputs (n, c, h, w) in a step, and its activations if they are compared."""

    pictures: Tensor
    activations: Sequence[Tensor] = ()


@dataclass
class Lesson:
    """The terms' inputs, of which only those that the objective's terms use are set.

    *activations* are the student's own (`raw`), and, by the name of a term, as mapped by its maps. *look* returns the
    features of pictures at several depths; *see* those of a discriminator.
    """

    made: Tensor
    truth: Tensor | None = None
    activations: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    taught: Sequence[Taught] = ()
    kind: str = "intermediate"
    look: Callable[[Tensor], Sequence[Tensor]] | None = None
    see: Callable[[Tensor], Tensor] | None = None
    #: The first teacher's activations as `critic` sees them, through the student's maps of the teacher.
    shown: Sequence[Tensor] = ()

    @cached_property
    def looks(self) -> tuple[Sequence[Tensor], list[Sequence[Tensor]]]:
        """Features of the student's pictures, and of each teacher's."""
        assert self.look is not None
        with torch.no_grad():
            theirs = [self.look(one.pictures) for one in self.taught]
        return self.look(self.made), theirs


def compose(weights: Mapping[Term, float], lesson: Lesson) -> dict[Term, Tensor]:
    """The unweighted terms of *weights*, except the adversarial one, which the training computes."""
    return {term: LOSSES[term](lesson) for term in weights if term != "gan"}


# --- activations -------------------------------------------------------------------------------


def kernel_alignment(own: Tensor, teacher: Tensor) -> Tensor:
    """KA(X, Y) = ⟨XXᵀ, YYᵀ⟩ / (‖XXᵀ‖ ‖YYᵀ‖) of activations (n, …), not centred: in [0, 1], and 1 at n = 1 (CAT)."""
    x, y = own.float().flatten(1), teacher.float().flatten(1)
    # Scaled, which does not change the result but keeps the products in range.
    x, y = (one / one.norm().clamp_min(torch.finfo(one.dtype).tiny) for one in (x, y))
    a, b = x @ x.T, y @ y.T
    aligned: Tensor = (a * b).sum() / (a.norm() * b.norm())
    return aligned


def alignment_loss(own: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Σ (1 − KA) over the activations: CAT's −Σ KA plus a constant, so that it is 0 if they agree."""
    return torch.stack([1 - kernel_alignment(a, b) for a, b in zip(own, teacher, strict=True)]).sum()


def channel_loss(mapped: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared error of each channel's mean over the picture, summed over the activations (OMGD)."""
    means = [(a.float().mean((2, 3)), b.float().mean((2, 3))) for a, b in zip(mapped, teacher, strict=True)]
    return torch.stack([F.mse_loss(a, b) for a, b in means]).sum()


def critic_loss(mapped: Sequence[Tensor], shown: Sequence[Tensor], see: Callable[[Tensor], Tensor]) -> Tensor:
    """L1 between a discriminator's features of the student's activations and of the teacher's, both mapped to its
    input channels, summed over the activations (DCD)."""
    losses = []
    for own, theirs in zip(mapped, shown, strict=True):
        with torch.no_grad():
            wanted = see(theirs)
        losses.append(F.l1_loss(see(own).float(), wanted.float()))
    return torch.stack(losses).sum()


# --- pictures ----------------------------------------------------------------------------------


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The mean structural similarity of pictures (n, c, h, w): a Gaussian window of 11×11 and σ 1.5, zeros around,
    C1 = 0.01² and C2 = 0.03²."""
    channels = a.shape[1]
    at = torch.arange(SSIM_SIZE, device=a.device, dtype=torch.float32) - SSIM_SIZE // 2
    line = torch.exp(-at.square() / (2 * SSIM_SIGMA**2))
    line = (line / line.sum()).expand(channels, 1, 1, -1)

    def blur(x: Tensor) -> Tensor:
        half = SSIM_SIZE // 2
        x = F.conv2d(x, line, padding=(0, half), groups=channels)
        return F.conv2d(x, line.transpose(2, 3), padding=(half, 0), groups=channels)

    with torch.autocast(a.device.type, enabled=False):  # differences of squares cancel
        a, b = a.float(), b.float()
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b = blur(a * a) - mean_a.square(), blur(b * b) - mean_b.square()
        covariance = blur(a * b) - mean_a * mean_b
        c1, c2 = SSIM_C
        likeness = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
        structure = (2 * covariance + c2) / (var_a + var_b + c2)
        return (likeness * structure).mean()


def gram(feature: Tensor) -> Tensor:
    """F Fᵀ / (c·h·w) of features (n, c, h, w): (n, c, c)."""
    x = feature.float().flatten(2)
    return x @ x.transpose(1, 2) / math.prod(feature.shape[1:])


def gram_loss(own: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """L1 of the Gram matrices at every depth, summed."""
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in zip(own, teacher, strict=True)]).sum()


def total_variation(pictures: Tensor) -> Tensor:
    """The sum, over the whole batch of all ranks, of the absolute differences between neighbouring pixels."""
    x = pictures.float() * ranks.count()  # gradients are averaged over the ranks, and this is a sum
    return (x[..., 1:, :] - x[..., :-1, :]).abs().sum() + (x[..., :, 1:] - x[..., :, :-1]).abs().sum()


#: Which of the perceptual network's depths `content` compares: the second, as relu2_2 is of VGG16's four.
CONTENT_DEPTH = 1


def _truth(lesson: Lesson) -> Tensor:
    if lesson.truth is None:
        raise GancompError("objective.terms: recon needs a truth, and there is none")
    return F.l1_loss(lesson.made.float(), lesson.truth)


def _distill(lesson: Lesson) -> Tensor:
    first = lesson.taught[0]
    return distillation(
        lesson.kind, lesson.made, lesson.activations["distill"], (first.pictures, list(first.activations))
    )


def _of_pictures(compare: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Lesson], Tensor]:
    """Summed over the teachers."""
    return lambda lesson: torch.stack([compare(lesson.made, one.pictures) for one in lesson.taught]).sum()


def _of_looks(compare: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]) -> Callable[[Lesson], Tensor]:
    """Of a perceptual network's features, summed over the teachers."""
    return lambda lesson: torch.stack([compare(lesson.looks[0], theirs) for theirs in lesson.looks[1]]).sum()


def _critic(lesson: Lesson) -> Tensor:
    assert lesson.see is not None
    return critic_loss(lesson.activations["critic"], lesson.shown, lesson.see)


LOSSES: Mapping[Term, Callable[[Lesson], Tensor]] = {
    "recon": _truth,
    "distill": _distill,
    "ka": lambda lesson: alignment_loss(lesson.activations["raw"], lesson.taught[0].activations),
    "channel": lambda lesson: channel_loss(lesson.activations["channel"], lesson.taught[0].activations),
    "critic": _critic,
    "ssim": _of_pictures(lambda own, teacher: 1 - ssim(own, teacher)),
    "gram": _of_looks(gram_loss),
    "content": _of_looks(lambda own, teacher: F.l1_loss(own[CONTENT_DEPTH].float(), teacher[CONTENT_DEPTH].float())),
    # Once for each teacher, as OMGD counts it; once where there is none.
    "tv": lambda lesson: max(1, len(lesson.taught)) * total_variation(lesson.made),
}
