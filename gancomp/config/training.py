"""How each network is trained: the sections `original`, `teacher`, `distill`, `supernet`, `finetune`, `narrow`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pydantic
from pydantic import (
    AfterValidator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from gancomp.config.searching import checked_budget
from gancomp.config.strict import Strict
from gancomp.config.values import NonNegative
from gancomp.objectives.recipes import Term
from gancomp.spec import (
    Block,
    Hidden,
    PositiveInt,
    Statistics,
    Widths,
)

Epochs = Annotated[float, Field(ge=0, le=100_000)]


class Training(Strict):
    """Length and hyper-parameters of one training (the paper's Table 5)."""

    epochs_const: Epochs = Field(5, description="epochs at the full learning rate")
    epochs_decay: Epochs = Field(15, description="epochs over which it falls linearly to zero")
    batch: PositiveInt = 4
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-4
    lr_discriminator: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="the discriminator's learning rate, if different (GauGAN's two time scales)"
    )

    snapshots: Annotated[int, Field(gt=0, le=1000)] | None = Field(
        None, description="generators kept at even intervals; the best of them on validation is reported, too"
    )

    @model_validator(mode="after")
    def _trains(self) -> Training:
        if self.epochs_const + self.epochs_decay == 0:
            raise ValueError("epochs_const + epochs_decay must be more than 0")
        return self


def total_steps(training: Training, pictures: int) -> int:
    """Steps of the whole stage; an epoch drops its last, incomplete batch, and has one step at least."""
    return max(1, round((training.epochs_const + training.epochs_decay) * steps_per_epoch(training, pictures)))


def steps_per_epoch(training: Training, pictures: int) -> int:
    return max(1, pictures // training.batch)


class Finetuning(Training):
    """Fine-tuning of the winner."""

    quantise: Literal["int8"] | None = Field(
        None, description="int8: simulate 8-bit weights and activations while training, for an int8 export"
    )
    terms: dict[Term, NonNegative] | None = Field(
        None, description="other weights of the objective's terms while fine-tuning, such as {gan: 10}; 0: without it"
    )


class GeneratorTraining(Training):
    """Training of a generator with its own widths: original, teacher, student."""

    widths: Widths = (64,)


class ImportableTraining(GeneratorTraining):
    """A generator that is trained, or taken from a checkpoint instead."""

    checkpoint: str | None = Field(
        None, description="a generator to use instead of training: gancomp's .safetensors, or a file that it converts"
    )
    key: str | None = Field(None, description="the entry of the checkpoint, such as netG, if there are several")
    discriminator: str | None = Field(None, description="the checkpoint's discriminator")
    block: Block | None = Field(None, description="dense or separable, if it differs from the stage's default")
    statistics: Statistics | None = Field(
        None, description="statistics of a checkpoint's BatchNorm: running, or batch (each picture's); running if unset"
    )

    hidden: Hidden | None = Field(
        None, description="hidden channels of each SPADE layer of a checkpoint, if they are not 2c"
    )

    @model_validator(mode="after")
    def _discriminator_of_a_checkpoint(self) -> ImportableTraining:
        if self.discriminator and not self.checkpoint:
            raise ValueError("discriminator: is set without checkpoint; set both or neither")
        if self.statistics and not self.checkpoint:
            raise ValueError("statistics: applies only to a checkpoint; set checkpoint, or remove it")
        for name in ("key", "hidden"):
            if getattr(self, name) and not self.checkpoint:
                raise ValueError(f"{name}: applies only to a checkpoint; set checkpoint, or remove it")
        return self


#: A teacher is trained, or it is the original; the discriminator keeps errors to those of the kind that is meant.
Teacher = Annotated[
    Annotated[ImportableTraining, Tag("training")] | Annotated[Literal["original"], Tag("original")],
    pydantic.Discriminator(lambda value: "original" if isinstance(value, str) else "training"),
]


class Threshold(Strict):
    """Pruning in one step, as in CAT: one threshold for the scales (γ) of all of the teacher's norms determines each
    width of the student, once the teacher is trained."""

    budget: Annotated[str, AfterValidator(checked_budget)] = Field(
        "10x", description="maximum exact MACs of the student: 10x fewer than the original, or 5.7G"
    )
    least: PositiveInt = Field(
        16, description="minimum channels of a layer; branches of inception blocks may be removed"
    )
    inherit: bool = Field(
        True, description="initialise with the teacher's weights of the kept channels; false: at random"
    )


class DistillTraining(GeneratorTraining):
    """Distillation of the student (Eq. 4); the switches are the ablations of the paper's Table 3."""

    prune: Annotated[
        Annotated[bool, Tag("filters")] | Annotated[Threshold, Tag("threshold")],
        pydantic.Discriminator(lambda value: "threshold" if isinstance(value, (dict, Threshold)) else "filters"),
    ] = Field(
        True,
        description="initialise the student with the teacher's filters of largest L1 norm; or, in place of `widths`, "
        "prune the teacher by a threshold for its norms' scales, such as {budget: 10x}",
    )
    inherit_discriminator: bool = Field(True, description="start from the teacher's discriminator")


class SupernetTraining(Training):
    """Once-for-all training (Section 3.3)."""

    sampler: Literal["uniform", "sandwich"] = Field(
        "uniform", description="uniform: one subnet per step; sandwich: the largest, the smallest and a random one"
    )
    adam: Literal["all", "drawn"] = Field(
        "all", description="all: Adam's momentum also updates channels that were not sampled; drawn: it does not"
    )
    space: Annotated[
        tuple[tuple[PositiveInt, ...], ...],
        Field(
            min_length=1,
            description="the choices of each width, such as [48, 32], in order; or by name, such as {trunk: [48, 32]}; "
            "widths without choices keep the student's",
            json_schema_extra={"type": ["array", "object"]},
        ),
    ]

    @model_validator(mode="after")
    def _no_snapshots(self) -> SupernetTraining:
        if self.snapshots:
            raise ValueError("snapshots: do not apply to a once-for-all network; remove them")
        return self

    @field_validator("space", mode="after")
    @classmethod
    def _descending(cls, space: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        for position, choices in enumerate(space):
            if not choices or len(set(choices)) != len(choices):
                raise ValueError(f"space[{position}]: needs distinct choices, not {list(choices)}")
        return tuple(tuple(sorted(choices, reverse=True)) for choices in space)

    @property
    def subnets(self) -> int:
        """Number of subnets of the space."""
        return math.prod(len(choices) for choices in self.space)

    @property
    def largest(self) -> tuple[int, ...]:
        return tuple(choices[0] for choices in self.space)

    @property
    def smallest(self) -> tuple[int, ...]:
        return tuple(choices[-1] for choices in self.space)
