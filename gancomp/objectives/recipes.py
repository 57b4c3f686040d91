"""What a student's loss is composed of: named sets of terms and their weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from gancomp.config.objective import Objective

#: gan: its discriminator; recon: L1 to the truth; distill: activations (Eq. 3), pictures or flow, whichever
#: `distillation` names; ka: kernel alignment of activations; channel: their means over the picture; critic: what the
#: discriminator sees in them; ssim, gram, content: the teachers' pictures, by structure, style and features; tv: the
#: total variation of its own.
Term = Literal["gan", "recon", "distill", "ka", "channel", "critic", "ssim", "gram", "content", "tv"]
TERMS: tuple[Term, ...] = get_args(Term)
Distillation = Literal["intermediate", "output", "fsp", "ka", "omgd", "dcd"]

#: Terms that look through a perceptual network.
PERCEPTUAL: frozenset[Term] = frozenset({"gram", "content"})
#: Terms that compare activations after learnable 1x1 maps, and so have maps of their own.
MAPPED: tuple[Term, ...] = ("distill", "channel", "critic")
#: Terms that compare with a teacher.
TAUGHT: frozenset[Term] = frozenset({"distill", "ka", "channel", "critic", "ssim", "gram", "content"})


def weights_of(objective: Objective) -> dict[Term, float]:
    """The terms of a student's loss, in the order of TERMS, and their weights, none of them 0.

    λ_distill weighs what a recipe is named after: KA, OMGD's channel distillation, or what the discriminator sees.
    The other weights of OMGD and DCD are those of their papers; `objective.terms` has the last word. The Gram matrices
    of EfficientNet-Lite0, of fewer channels, are larger: with a hundredth of the paper's weight they weigh about what
    the structure does, and with all of it thirty times as much.
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
