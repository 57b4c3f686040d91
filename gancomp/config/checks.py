"""Consistency checks across an experiment's sections, before anything runs."""

from __future__ import annotations

from pydantic import (
    ValidationError,
)

from gancomp.config.experiment import Discriminator, Experiment, MetricWeights
from gancomp.config.searching import budget_macs
from gancomp.config.training import GeneratorTraining, ImportableTraining, SupernetTraining, Training
from gancomp.config.values import KIND_OF_MODEL, OF_PAIRS
from gancomp.data.settings import (
    DatasetBase,
)
from gancomp.elastic.space import in_space
from gancomp.measure.macs import profile
from gancomp.objectives.recipes import weights_of
from gancomp.spec import (
    GeneratorSpec,
    format_widths,
)


def spec_of(experiment: Experiment, dataset: DatasetBase, stage: str) -> GeneratorSpec:
    """The generator of *stage* (original, teacher or distill), from the experiment and its data set.

    Without distillation the student is the once-for-all network. With pruning by a threshold its widths are not known
    yet, so the spec is the teacher's.
    """
    section: GeneratorTraining
    if stage == "distill" and experiment.threshold:
        stage = "teacher"
    if stage == "teacher" and experiment.teacher == "original":
        stage = "original"
    if stage == "distill" and experiment.distill is None and experiment.supernet is not None:
        section = GeneratorTraining(widths=experiment.supernet.largest)
    else:
        section = getattr(experiment, stage)
    architecture = experiment.generator
    widths = section.widths
    if architecture.network and "widths" not in section.model_fields_set:
        widths = architecture.network.full
    own = section.block if isinstance(section, ImportableTraining) else None
    imported = section.model_dump(include={"statistics", "hidden"}) if isinstance(section, ImportableTraining) else {}
    return GeneratorSpec.model_validate(
        {
            **{name: value for name, value in architecture if name not in ("block", "builder")},
            "block": own or ("dense" if stage == "original" else architecture.block),
            "widths": widths,
            "size": dataset.size,
            "in_channels": dataset.input_channels,
            "out_channels": dataset.output_channels,
            **{name: value for name, value in imported.items() if value is not None},
        }
    )


def check_model(where: str, experiment: Experiment, dataset: DatasetBase) -> None:
    """Model, data, family and metric must be compatible."""
    needed = KIND_OF_MODEL[experiment.model]
    if dataset.kind != needed:
        raise ValueError(
            f"{where}.dataset: {experiment.model} learns from {needed}, but {experiment.dataset!r} has "
            f"{dataset.kind}; choose another data set or model"
        )
    if (experiment.model == "gaugan") != (experiment.generator.family == "spade"):
        raise ValueError(
            f"{where}.generator.family: {experiment.generator.family} does not work with {experiment.model}; gaugan "
            "needs a spade generator, the other models another family"
        )
    own_objective = experiment.model == "gaugan" or not experiment.objective.pseudo_pairs
    if own_objective and (experiment.objective.distillation != "intermediate" or experiment.objective.terms):
        raise ValueError(
            f"{where}.objective.distillation: {experiment.objective.distillation} and terms need pairs or "
            "pseudo-pairs; use intermediate without terms"
        )
    if own_objective and experiment.finetune.terms:
        raise ValueError(f"{where}.finetune.terms: needs pairs or pseudo-pairs; remove it")
    if experiment.students:
        _check_objective(where, experiment)
    if own_objective and experiment.supernet and experiment.supernet.sampler != "uniform":
        raise ValueError(f"{where}.supernet.sampler: {experiment.supernet.sampler} needs pairs or pseudo-pairs")
    if experiment.metric == "miou" and dataset.judge is None:
        raise ValueError(f"{where}.metric: miou needs datasets.{experiment.dataset}.judge")
    if experiment.metric in OF_PAIRS and dataset.kind == "unpaired":
        raise ValueError(
            f"{where}.metric: {experiment.metric} needs a target for each picture, but the data are unpaired; "
            "use fid or kid"
        )
    if experiment.metric == "fid_clean" and not experiment.fid_clean:
        raise ValueError(f"{where}.metric: fid_clean needs {where}.fid_clean: true, by which real pictures are seen so")
    if experiment.metric == "lpips" and not experiment.lpips:
        raise ValueError(f"{where}.metric: lpips needs {where}.lpips: true, which fetches its networks")
    if experiment.metric in MetricWeights.model_fields and experiment.metric not in experiment.metric_weights.folders:
        raise ValueError(
            f"{where}.metric: {experiment.metric} needs {where}.metric_weights.{experiment.metric}, the folder of its "
            "network's weights, which nothing fetches"
        )


def _check_objective(where: str, experiment: Experiment) -> None:
    """The students' training must be able to compute the terms of their loss."""
    objective = experiment.objective
    weights = weights_of(objective)
    if not weights:
        raise ValueError(f"{where}.objective: no term has a weight, so students would learn nothing")
    if other := [term for term in experiment.finetune.terms or {} if term not in weights]:
        raise ValueError(
            f"{where}.finetune.terms: {other[0]} is no term of the objective, so earlier stages do not prepare it; "
            f"give it a weight in {where}.objective.terms, or remove it"
        )
    if not weights_of(objective.reweighed(experiment.finetune.terms)):
        raise ValueError(f"{where}.finetune.terms: no term has a weight, so the winner would learn nothing")
    if not objective.online:
        return
    family = experiment.generator.family
    if experiment.model == "cyclegan" and objective.omgd.teachers == "wide-and-deep":
        raise ValueError(f"{where}.objective.omgd.teachers: without pairs there is no deep teacher; set wide")
    if objective.omgd.teachers == "wide-and-deep" and family not in ("resnet", "unet"):
        raise ValueError(f"{where}.objective.omgd.teachers: a {family} generator has no deep teacher; set wide")
    if own := [term for term in ("gan", "critic") if term in weights]:
        raise ValueError(
            f"{where}.objective.terms: {own[0]} needs the student's own discriminator, which it does not have "
            "if its teachers train with it; set omgd.teachers: frozen"
        )
    if experiment.model == "cyclegan":
        for stage in ("distill", "supernet", "finetune") if experiment.supernet else ("distill",):
            _check_turns(f"{where}.{stage}", getattr(experiment, stage), objective.omgd.teacher_epochs)


def _check_turns(where: str, training: Training | None, teacher_epochs: float) -> None:
    """Without pairs teacher and student take turns, and the teacher begins."""
    if training and (epochs := training.epochs_const + training.epochs_decay) <= teacher_epochs:
        raise ValueError(
            f"{where}: the teacher's first turn (objective.omgd.teacher_epochs: {teacher_epochs:g}) takes all of its "
            f"{epochs:g} epochs, so the student would learn nothing; give it more, or the teacher fewer"
        )


def check_widths(where: str, experiment: Experiment, dataset: DatasetBase) -> None:
    """Every generator must be buildable, and every choice of the space within the student's width."""
    specs = {}
    for stage in ("original", "teacher", "distill") if experiment.students else ("original",):
        try:
            specs[stage] = spec_of(experiment, dataset, stage)
        except ValidationError as error:
            raise ValueError(f"{where}.{stage}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    _check_discriminator(where, experiment.discriminator, dataset.size)
    if not experiment.students:
        return
    if experiment.threshold:
        _check_threshold(where, experiment, specs["teacher"])
        return
    student = specs["distill"].widths
    if experiment.supernet is not None:
        space = experiment.supernet.space
        if len(space) != len(student):
            raise ValueError(f"{where}.supernet.space: needs {len(student)} lists of choices, not {len(space)}")
        for position, (choices, width) in enumerate(zip(space, student, strict=True)):
            if choices[0] > width:
                raise ValueError(
                    f"{where}.supernet.space[{position}]: {choices[0]} is wider than the student's {width}; "
                    "lower it, or raise distill.widths"
                )
            if position in specs["distill"].unused and len(choices) > 1:
                raise ValueError(
                    f"{where}.supernet.space[{position}]: no layer of a unet of {specs['distill'].downs} downs has "
                    "this width; give it one choice"
                )
        _check_budget(where, experiment, experiment.supernet, specs["original"], specs["distill"])
    if experiment.distill is not None and experiment.distill.prune:
        _check_pruning(where, specs["teacher"], specs["distill"])


def _check_threshold(where: str, experiment: Experiment, teacher: GeneratorSpec) -> None:
    """Pruning by a threshold needs norms with scales, and nothing that needs the student's widths earlier."""
    if experiment.supernet is not None:
        raise ValueError(
            f"{where}.supernet: searches among declared widths, but with distill.prune.budget the teacher's norms "
            "determine the student's; remove supernet (supernet: null), or set distill.prune: true"
        )
    if teacher.family == "spade":
        raise ValueError(
            f"{where}.distill.prune: the norms of a spade generator have no scales of their own to prune by a "
            "threshold; set distill.prune: true"
        )
    if experiment.objective.online and experiment.objective.omgd.teachers == "wide-and-deep":
        raise ValueError(
            f"{where}.objective.omgd.teachers: the deep one has the student's widths, which distill.prune determines "
            "later; set wide or frozen"
        )
    if not teacher.network and teacher.norm not in ("affine", "batch"):
        raise ValueError(
            f"{where}.generator.norm: {teacher.norm} has no scales (γ) to prune by a threshold "
            "(distill.prune); set affine or batch, or distill.prune: true"
        )


def _check_pruning(where: str, teacher: GeneratorSpec, student: GeneratorSpec) -> None:
    """The student's layers must be able to take the teacher's filters."""
    if teacher.block != student.block:
        raise ValueError(
            f"{where}.distill.prune: the teacher is {teacher.block} and the student {student.block}, so its filters do "
            f"not fit; set distill.prune: false or generator.block: {teacher.block}"
        )
    for position, (wide, narrow) in enumerate(zip(teacher.widths, student.widths, strict=True)):
        if narrow > wide:
            raise ValueError(
                f"{where}.distill.widths: width {position} is {narrow}, more than the teacher's {wide}; "
                "pruning can only narrow it (or set distill.prune: false)"
            )
    widest = max(student.widths)
    if teacher.hidden and student.hidden_of(widest) > teacher.hidden:
        raise ValueError(
            f"{where}.distill.widths: {widest} takes {student.hidden_of(widest)} hidden channels in a SPADE layer, "
            f"more than the teacher's {teacher.hidden}; pruning can only narrow them (or set distill.prune: false)"
        )


def _check_discriminator(where: str, discriminator: Discriminator, size: tuple[int, int]) -> None:
    """Its last two convolutions, of stride 1, reduce each side by one pixel; at least one patch must remain."""
    halvings = discriminator.layers + discriminator.scales - 1
    if min(size) // 2**halvings < 3:
        scales = f" at {discriminator.scales} scales" if discriminator.scales > 1 else ""
        raise ValueError(
            f"{where}.discriminator.layers: {discriminator.layers} layers{scales} leave no "
            f"patch of {size[0]}x{size[1]} pictures; use sides of at least {3 * 2**halvings}, or fewer layers"
        )


def _check_budget(
    where: str, experiment: Experiment, supernet: SupernetTraining, original: GeneratorSpec, student: GeneratorSpec
) -> None:
    """The smallest subnet must meet the budget, and the budget must be within the scored MACs."""
    search = experiment.search
    limit = budget_macs(search.budget, original)
    if search.scored and budget_macs(search.scored, original) < limit:
        raise ValueError(
            f"{where}.search.scored: {search.scored} is fewer MACs than the budget, {search.budget}; subnets in "
            "between would not be scored"
        )
    if search.at_least and budget_macs(search.at_least, original) >= limit:
        raise ValueError(f"{where}.search.at_least: {search.at_least} leaves nothing under {search.budget}")
    windowed = search.at_least or (search.scored and budget_macs(search.scored, original) > limit)
    if windowed and search.method != "exhaustive":
        key = "at_least" if search.at_least else "scored"
        raise ValueError(
            f"{where}.search.{key}: {search.method} keeps the best of all that it scores, few of which would be within "
            f"the budget; leave {key} out, or score every subnet (method: exhaustive)"
        )
    if search.winner and not in_space(search.winner, supernet.space):
        raise ValueError(
            f"{where}.search.winner: supernet.space has no subnet {format_widths(search.winner)}; give one width of "
            "each of its choices"
        )
    smallest = supernet.smallest
    least = profile(student.with_widths(smallest)).macs
    if least > limit:
        raise ValueError(
            f"{where}.search.budget: {experiment.search.budget} allows {limit / 1e9:.3f}G exact MACs, and the smallest "
            f"subnet of the space ({format_widths(smallest)}) has {least / 1e9:.3f}G; raise the budget or add smaller "
            "choices to supernet.space"
        )
