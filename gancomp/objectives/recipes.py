"""Recipes for a student's loss: named sets of terms and their weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from gancomp.config.objective import Objective

#: gan: adversarial; recon: L1 to the target; distill: activations (Eq. 3), outputs or flow, by `distillation`;
#: ka: kernel alignment of activations; channel: their means over the picture; critic: the
#: discriminator's features of them; ssim, gram, content: the teachers' outputs, by structure, style and features; tv:
#: total variation of the student's outputs.
Term = Literal["gan", "recon", "distill", "ka", "channel", "critic", "ssim", "gram", "content", "tv"]
TERMS: tuple[Term, ...] = get_args(Term)
Distillation = Literal["intermediate", "output", "fsp", "ka", "omgd", "dcd"]

#: Terms that use a perceptual network.
PERCEPTUAL: frozenset[Term] = frozenset({"gram", "content"})
#: Terms that compare activations after their own learnable 1x1 maps.
MAPPED: tuple[Term, ...] = ("distill", "channel", "critic")
#: Terms that compare with a teacher.
TAUGHT: frozenset[Term] = frozenset({"distill", "ka", "channel", "critic", "ssim", "gram", "content"})


def weights_of(objective: Objective) -> dict[Term, float]:
    """The terms of a student's loss, in the order of TERMS, and their weights, none of them 0.

    λ_distill weighs the term that a recipe is named after: KA, OMGD's channel distillation, or DCD's discriminator
    features. The other weights of OMGD and DCD are those of their papers; `objective.terms` overrides all. The Gram
    matrices of EfficientNet-Lite0 are larger, as it has fewer channels: with a hundredth of the paper's weight they
    contribute about as much as the structure term, and with the full weight thirty times as much.
    """
    recon, distill = objective.lambda_recon, objective.lambda_distill
    style = 1e2 if objective.perceptual == "efficientnet-lite0" else 1e4
    pictures: Mapping[Term, float] = {"gram": style, "content": 10.0}
    named: dict[Distillation, Mapping[Term, float]] = {
        "ka": {"gan": 1.0, "recon": recon, "ka": distill},
        "omgd": {"ssim": 10.0, **pictures, "tv": 1e-5, "channel": distill},
        "dcd": {"gan": 1.0, **pictures, "critic": distill},
    }
    usual: Mapping[Term, float] = {"gan": 1.0, "recon": recon, "distill": distill}
    weights = {**named.get(objective.distillation, usual), **objective.terms}
    return {term: weights[term] for term in TERMS if weights.get(term)}


def maps_of(objective: Objective) -> tuple[Term, ...]:
    """The terms for which a student of *objective* has 1x1 maps; output distillation has Eq. 3's, unused."""
    weights = weights_of(objective)
    usual = objective.distillation in ("intermediate", "output", "fsp")
    return tuple(term for term in MAPPED if term in weights or (usual and term == "distill"))
