"""Distillation losses: the teacher's activations (Eq. 3), its outputs, or its flow between layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets.generator import Generator
from gancomp.nets.layers import BatchNorm
from gancomp.objectives.recipes import Term


def distillation_loss(mapped: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared error of each activation, summed over the activations (Eq. 3, as its authors compute it)."""
    losses = [F.mse_loss(own.float(), theirs.float()) for own, theirs in zip(mapped, teacher, strict=True)]
    return torch.stack(losses).sum()


def output_loss(own: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of pictures (n, 3, h, w): output distillation, after Aguinaldo et al."""
    return F.mse_loss(own.float(), teacher.float())


def fsp_loss(mapped: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared error of the flow between neighbouring activations, summed over the pairs (Yim et al.)."""
    own, theirs = ([flow(a, b) for a, b in itertools.pairwise(features)] for features in (mapped, teacher))
    losses = [F.mse_loss(a, b) for a, b in zip(own, theirs, strict=True)]
    return torch.stack(losses).sum()


def flow(first: Tensor, second: Tensor) -> Tensor:
    """The flow of the solution procedure between activations (n, c, h, w) and (n, d, h, w): (n, c, d), the mean over
    the pixels of every product of two channels. If sizes differ, the larger one is max-pooled, as in Yim et al."""
    size = tuple(min(a, b) for a, b in zip(first.shape[2:], second.shape[2:], strict=True))
    a, b = (F.adaptive_max_pool2d(x.float(), size).flatten(2) for x in (first, second))
    return a @ b.transpose(1, 2) / a.shape[2]


def distillation(kind: str, out: Tensor, mapped: Sequence[Tensor], taught: tuple[Tensor, Sequence[Tensor]]) -> Tensor:
    """The term weighted by λ_distill: a student's outputs and mapped activations against its teacher's."""
    pictures, features = taught
    if kind == "output":
        return output_loss(out, pictures)
    return (fsp_loss if kind == "fsp" else distillation_loss)(mapped, features)


class MappedGenerator(nn.Module):
    """A student generator with the learnable 1x1 maps f_t from its features to the teacher's widths (Eq. 3).

    Eq. 3 prints f_t on the teacher's side; it maps student → teacher, as its text says. Other terms that
    compare mapped activations have their own maps, one set for each of *terms*, in that order; those of `critic`
    map to the *seen* channels that a discriminator reads.
    """

    def __init__(
        self,
        generator: Generator,
        teacher_channels: Sequence[int],
        terms: Sequence[Term] = ("distill",),
        seen: int = 0,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.teacher_channels, self.terms, self.seen = tuple(teacher_channels), tuple(terms), seen
        self.maps = nn.ModuleList(
            activation_map(term, own, seen if term == "critic" else theirs)
            for term in terms
            for own, theirs in zip(generator.feature_channels(), teacher_channels, strict=True)
        )

    def like(self, generator: Generator) -> MappedGenerator:
        """Another student, of the same teacher, with fresh maps for the same terms."""
        return MappedGenerator(generator, self.teacher_channels, self.terms, self.seen)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """Pictures, and the activations: as they are (`raw`), and by the name of each term as its maps make them."""
        out, features = self.generator.with_features(x)
        found = {"raw": features}
        for term, maps in self.maps_by_term.items():
            found[term] = [f(feature) for f, feature in zip(maps, features, strict=True)]
        return out, found

    @property
    def maps_by_term(self) -> dict[Term, nn.ModuleList]:
        count = len(self.teacher_channels)
        return {term: self.maps[index * count : (index + 1) * count] for index, term in enumerate(self.terms)}


def activation_map(term: Term, own: int, theirs: int) -> nn.Module:
    """The map of an activation for *term*: for Eq. 3 a 1x1 convolution, else followed by batch statistics and ReLU."""
    if term == "distill":
        return nn.Conv2d(own, theirs, 1)
    conv = nn.Conv2d(own, theirs, 1, bias=False)
    nn.init.normal_(conv.weight, 0.0, (2 / theirs) ** 0.5)
    return nn.Sequential(conv, BatchNorm(theirs, track_running_stats=False), nn.ReLU())
