"""The configuration of the students' and the originals' losses (Eq. 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
)

from gancomp.config.strict import Strict
from gancomp.config.values import NonNegative
from gancomp.objectives.recipes import PERCEPTUAL, Distillation, Term, weights_of
from gancomp.spec import (
    PositiveInt,
)


class Omgd(Strict):
    """The teachers of OMGD (online multi-granularity distillation), whose outputs students imitate."""

    teachers: Literal["wide-and-deep", "wide", "frozen"] = Field(
        "wide-and-deep",
        description="wide: a generator like the teacher, trained from scratch with the student; deep: one like the "
        "student with more layers, trained likewise; frozen: the trained teacher",
    )
    shared: Annotated[int, Field(ge=0, le=8)] = Field(
        3, description="first convolutions of the discriminator that both teachers share"
    )
    every: PositiveInt = Field(1, description="steps of the student for each step of the teachers")
    teacher_epochs: Annotated[float, Field(gt=0, le=100_000)] = Field(
        10, description="without pairs: epochs of the teacher before each turn of the student"
    )
    student_epochs: Annotated[float, Field(gt=0, le=100_000)] = Field(
        40, description="without pairs: epochs of the student's turn, with the best teacher so far"
    )


class Objective(Strict):
    """Eq. 4: L = L_cGAN + λ_recon L_recon + λ_distill L_distill, or another composition of terms."""

    gan: Literal["hinge", "lsgan"] = "hinge"
    lambda_recon: NonNegative = Field(
        100.0, description="weight of L1; in GauGAN of the perceptual loss, as in Table 5"
    )
    lambda_distill: NonNegative = 1.0
    distillation: Annotated[Distillation, BeforeValidator(lambda v: "intermediate" if v == "features" else v)] = Field(
        "intermediate",
        description="what students learn from: the teacher's activations (intermediate, or features: Eq. 3), its "
        "outputs (Aguinaldo et al.), its flow between layers (Yim et al.), the kernel of its activations (ka: CAT), "
        "teachers that train with them, without targets (omgd), or the discriminator's features of its activations "
        "(dcd)",
    )
    terms: dict[Term, NonNegative] = Field(
        default_factory=dict, description="weights of single terms, overriding those of distillation; 0: without it"
    )
    omgd: Omgd = Omgd()
    lambda_cycle: NonNegative = Field(10.0, description="CycleGAN: weight of the cycle loss, in both directions")
    lambda_identity: NonNegative = Field(
        0.5, description="CycleGAN: weight of the identity loss, as a fraction of lambda_cycle"
    )
    pool: Annotated[int, Field(ge=0, le=10_000)] = Field(
        50, description="CycleGAN teachers: generated pictures in the discriminators' pool"
    )
    pseudo_pairs: bool = Field(
        True, description="CycleGAN students learn from the teacher's output; false: naive unpaired training (Fig. 7a)"
    )
    lambda_feature: NonNegative = Field(10.0, description="GauGAN: weight of feature matching")
    perceptual: Literal["vgg19", "vgg16", "efficientnet-lite0"] = Field(
        "vgg19", description="the network of GauGAN's perceptual loss, and of the terms gram and content"
    )

    @property
    def online(self) -> bool:
        """Whether the teachers train together with the student."""
        return self.distillation == "omgd" and self.omgd.teachers != "frozen"

    def reweighed(self, terms: Mapping[Term, float] | None) -> Objective:
        """The same with other weights of *terms*."""
        return self.model_copy(update={"terms": {**self.terms, **terms}}) if terms else self

    @property
    def looks(self) -> bool:
        """Whether a student's terms use the perceptual network."""
        return bool(PERCEPTUAL & weights_of(self).keys())
