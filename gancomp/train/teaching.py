"""Training a student by Eq. 4, or by the objective that replaces it, and what its stages load and inherit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from gancomp import ranks
from gancomp.config.objective import Objective
from gancomp.elastic.pieces import cut
from gancomp.elastic.slicing import Elastic, Widths, pieces_of
from gancomp.nets import build_generator, load_generator, load_weights
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import MappedGenerator
from gancomp.objectives.recipes import maps_of, weights_of
from gancomp.train.cyclegan import Reverse
from gancomp.train.loop import Recipe
from gancomp.train.online import AlternatingStudent, OnlineStudent
from gancomp.train.run import StageRun
from gancomp.train.student import ChooseWidths, GauGanStudent, NaiveStudent, Student, own_widths
from gancomp.train.teachers import alternating_teacher, fid_of_teachers, online_teachers, turns


def train_student(
    run: StageRun,
    student: MappedGenerator,
    teacher: Generator,
    previous: str,
    *,
    inherit_discriminator: bool = True,
    choose_widths: ChooseWidths = own_widths,
    before: Callable[[], dict[str, Any]] = dict,
    after: Callable[[dict[str, Any]], dict[str, Any]] = lambda notes: {},
) -> None:
    """Train by Eq. 4, or the objective that replaces it, with the discriminator of the stage *previous*.

    The result of *before* is passed to *after*, which computes metrics.
    """
    objective, training = run.objective, run.training
    _tell_what_teaches_nothing(run)
    _freeze_unused(student, objective)
    if objective.online:
        _train_online(run, student, teacher, previous, choose_widths, before, after)
        return
    discriminator = run.discriminator(previous if inherit_discriminator else None)
    learned = (run.fabric, _elastic(student), teacher, discriminator)
    unpaired = run.settings.model == "cyclegan"
    reverse: Reverse | None = None
    recipe: Recipe
    if run.settings.model == "gaugan":
        recipe = GauGanStudent(*learned, objective, training, run.perceptual(), choose_widths)
    elif unpaired and not objective.pseudo_pairs:
        reverse = run.inherited_reverse(previous, with_discriminator=inherit_discriminator)
        recipe = NaiveStudent(*learned, reverse, objective, training, choose_widths)
    else:
        run.seed("teacher maps")
        recipe = Student(*learned, objective, training, choose_widths, pseudo_pairs=unpaired, look=run.look())
    progressed = run.fit(recipe, before)
    metrics = after(progressed.notes)
    if reverse:
        run.save_reverse(reverse)
    run.save_maps(student)
    run.finish(student.generator, discriminator, progressed, **metrics)


def _train_online(
    run: StageRun,
    student: MappedGenerator,
    teacher: Generator,
    previous: str,
    choose_widths: ChooseWidths,
    before: Callable[[], dict[str, Any]],
    after: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """OMGD: a teacher like *teacher* and one deeper than the student, which are trained, too; from scratch, or from an
    earlier student's training."""
    inherited = None if previous == "teacher" else previous
    objective, training, look = run.objective, run.training, run.look()
    discriminator: nn.Module
    teachers: dict[str, nn.Module]
    recipe: Recipe
    if run.settings.model == "cyclegan":
        wide, discriminator, reverse = alternating_teacher(run, teacher.spec, inherited)
        teachers = {"wide": wide, "reverse": reverse.generator, "reverse_discriminator": reverse.discriminator}
        learned = (run.fabric, _elastic(student), wide, discriminator, reverse)
        recipe = AlternatingStudent(
            *learned,
            objective,
            training,
            choose_widths,
            turns=turns(run),
            score=fid_of_teachers(run),
            calibrate=run.calibrate,
            look=look,
        )
    else:
        several, shared = online_teachers(run, teacher.spec, inherited)
        teachers, discriminator = dict(several), shared
        recipe = OnlineStudent(
            run.fabric, _elastic(student), several, shared, objective, training, choose_widths, look=look
        )
    progressed = run.fit(recipe, before)
    metrics = after(progressed.notes)
    run.save_maps(student)
    run.save_teachers(teachers)
    run.finish(student.generator, discriminator, progressed, **metrics)


def _tell_what_teaches_nothing(run: StageRun) -> None:
    if "ka" in weights_of(run.objective) and run.training.batch // ranks.count() == 1:
        print(
            f"{run.stage}: kernel alignment of one picture is always 1, so it teaches nothing at {run.stage}.batch: 1; "
            "give each device a batch of several"
        )


def _freeze_unused(student: MappedGenerator, objective: Objective) -> None:
    """Freeze maps that no term uses, because ranks would wait for their gradients."""
    weights = weights_of(objective)
    for term, maps in student.maps_by_term.items():
        looked_at = term in weights and not (term == "distill" and objective.distillation == "output")
        maps.requires_grad_(looked_at)


def mapped_student(run: StageRun, generator: Generator, teacher: Generator) -> MappedGenerator:
    """*generator* as a student of *teacher*, with fresh maps for the terms of its objective."""
    return MappedGenerator(
        generator, teacher.feature_channels(), maps_of(run.settings.objective), run.seen_by_discriminator
    )


def load_student(run: StageRun, stage: str, teacher: Generator) -> MappedGenerator:
    """A student and its maps from an earlier stage."""
    student = mapped_student(run, load_generator(run.upstream(stage)), teacher)
    load_weights(student.maps, run.upstream(stage, "maps.safetensors"))
    return student.train()


def _elastic(student: MappedGenerator) -> Elastic:
    spec = student.generator.spec

    def build(widths: Widths) -> MappedGenerator:
        return student.like(build_generator(spec.with_widths(widths)))

    return Elastic(student, build, pieces_of(spec, "generator."))


def narrowed_student(student: MappedGenerator, widths: Widths) -> MappedGenerator:
    """The leading blocks of a student as a separate student."""
    narrow = student.like(build_generator(student.generator.spec.with_widths(widths)))
    narrow.load_state_dict(cut(student.state_dict(), narrow, pieces_of(student.generator.spec, "generator.")))
    return narrow
