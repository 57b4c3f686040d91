"""OMGD's teachers, which train along with the student."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from gancomp.config.training import steps_per_epoch
from gancomp.data.datasets import Pictures, to_rgb
from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.inception import Inception
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import build_generator, load_weights
from gancomp.nets.deep import build_deep
from gancomp.nets.discriminators import SharedDiscriminator
from gancomp.nets.generator import Generator
from gancomp.pipeline import paths
from gancomp.pipeline.stages import generator_spec
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import Reverse
from gancomp.train.run import TEACHERS, StageRun


def online_teachers(
    run: StageRun, wide: GeneratorSpec, inherit: str | None
) -> tuple[dict[str, Generator], SharedDiscriminator]:
    """OMGD's teachers, by name, and their partly shared discriminator, with initial weights or those that the stage
    *inherit* saved."""
    objective, declared = run.settings.objective, run.settings.discriminator
    run.seed("wide")
    teachers = {"wide": build_generator(wide)}
    if objective.omgd.teachers == "wide-and-deep":
        run.seed("deep")
        teachers["deep"] = build_deep(generator_spec(run.config, run.experiment, "distill"))
    run.seed("discriminator")
    discriminator = SharedDiscriminator(
        run.seen_by_discriminator, declared.ndf, declared.layers, len(teachers), objective.omgd.shared
    )
    if inherit:
        load_weights(nn.ModuleDict(dict(teachers)), run.upstream(inherit, TEACHERS))
        load_weights(discriminator, run.upstream(inherit, "discriminator.safetensors"))
    return teachers, discriminator


def alternating_teacher(
    run: StageRun, wide: GeneratorSpec, inherit: str | None
) -> tuple[Generator, nn.Module, Reverse]:
    """OMGD's CycleGAN teacher, its discriminator and its reverse generator, with initial weights or those of the
    stage *inherit*."""
    run.seed("wide")
    teacher, reverse = build_generator(wide), run.fresh_reverse(wide)
    discriminator = run.discriminator(inherit)
    if inherit:
        both = {"wide": teacher, "reverse": reverse.generator, "reverse_discriminator": reverse.discriminator}
        load_weights(nn.ModuleDict(both), run.upstream(inherit, TEACHERS))
    return teacher, discriminator, reverse


def turns(run: StageRun) -> tuple[int, int]:
    """Steps of the teacher's and of the student's turns, where they alternate."""
    each = steps_per_epoch(run.training, run.pictures.per_epoch)
    declared = run.settings.objective.omgd
    return max(1, round(declared.teacher_epochs * each)), max(1, round(declared.student_epochs * each))


def fid_of_teachers(run: StageRun) -> Callable[[Generator], float]:
    """The FID of what a generator makes of train-2's inputs, to the real targets of train-2."""
    pictures = Pictures(run.root, ("train-2",), run.dataset.direction)
    inception = Inception(paths.INCEPTION, precision=run.settings.precision, device=run.machine.device)
    statistics = run.root / "statistics.safetensors"
    reference = load_statistics(statistics, "train-2", inception.key, pictures.data_hash)

    @torch.inference_mode()
    def fid(generator: Generator) -> float:
        features = []
        for start in range(0, len(pictures), 32):
            indices = range(start, min(start + 32, len(pictures)))
            inputs = pictures.encode(pictures.inputs(indices)).to(run.fabric.device)
            with run.fabric.autocast():
                made = generator(inputs)
            features.append(inception(to_rgb(pictures.decode(made))))
        return frechet_distance(np.concatenate(features), reference)

    return fid
