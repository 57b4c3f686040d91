"""The training stages: the initial weights, training and results of each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from gancomp import rng
from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.config.training import DistillTraining, Finetuning, ImportableTraining, SupernetTraining, Threshold
from gancomp.convert.discriminators import load_discriminator
from gancomp.convert.generators import load_original
from gancomp.data.datasets import Pictures, to_float
from gancomp.elastic.pruning import prune
from gancomp.elastic.slicing import Widths, extract
from gancomp.elastic.space import draw_widths
from gancomp.elastic.threshold import Remainder, above_threshold
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import build_generator, load_generator
from gancomp.nets.generator import Generator
from gancomp.nets.int8 import add_int8, remove_int8
from gancomp.nets.spade import SpadeGenerator
from gancomp.nets.spectral import add_spectral_norm, fold_spectral_norm
from gancomp.pipeline.checkpoints import save_tensors
from gancomp.pipeline.files import write_json
from gancomp.pipeline.signatures import stage_settings
from gancomp.pipeline.stages import generator_spec
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import CycleGan
from gancomp.train.device import Machine
from gancomp.train.gaugan import GauGan
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.run import TEACHERS, StageRun
from gancomp.train.teaching import load_student, mapped_student, narrowed_student, train_student

#: Pictures of train-2 that score the once-for-all network's largest and smallest subnets.
JUDGED_PICTURES = 256

ANY_MACHINE = Machine()


# --- from scratch, or from elsewhere -----------------------------------------------------------


def train_original(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The uncompressed generator, with dense blocks."""
    run = StageRun(config, experiment, "original", machine)
    _from_scratch_or_elsewhere(run, generator_spec(config, experiment, "original"))


def train_teacher(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The MobileNet-style generator, with separable blocks, that students learn from."""
    run = StageRun(config, experiment, "teacher", machine)
    _from_scratch_or_elsewhere(run, generator_spec(config, experiment, "teacher"))


def train_narrow(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The baseline: a uniform, dense, narrow generator with about the winner's MACs."""
    run = StageRun(config, experiment, "narrow", machine)
    selection = run.selection()
    original = generator_spec(config, experiment, "original")
    _from_scratch(run, uniform_of_about(original, selection.winner.macs))


def train_scratch(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The winner's widths trained from scratch, to evaluate the search."""
    run = StageRun(config, experiment, "scratch", machine)
    selection = run.selection()
    _from_scratch(run, generator_spec(config, experiment, "distill").with_widths(selection.winner.widths))


def uniform_of_about(original: GeneratorSpec, macs: int) -> GeneratorSpec:
    """The generator whose widths are all the same share of the original's, with exact MACs closest to *macs*."""
    usual = original.model_copy(update={"hidden": None})  # hidden channels shrink with the width
    most = max(original.widths)
    shares = [tuple(max(1, round(width * part / most)) for width in original.widths) for part in range(1, most + 1)]
    return min(map(usual.with_widths, shares), key=lambda spec: abs(profile(spec).macs - macs))


def _from_scratch_or_elsewhere(run: StageRun, spec: GeneratorSpec) -> None:
    settings = run.training
    assert isinstance(settings, ImportableTraining)
    if settings.checkpoint:
        _import(run, spec, Path(settings.checkpoint), settings)
    else:
        _from_scratch(run, spec)


def _from_scratch(run: StageRun, spec: GeneratorSpec) -> None:
    """Train by the model's own recipe."""
    run.seed("generator")
    generator, discriminator = build_generator(spec), run.discriminator()
    learned = (run.fabric, generator, discriminator)
    objective, training = run.settings.objective, run.training
    if run.settings.model == "cyclegan":
        reverse = run.fresh_reverse(spec)
        progressed = run.fit(CycleGan(*learned, reverse, objective, training))
        run.save_reverse(reverse)
    elif isinstance(generator, SpadeGenerator):
        add_spectral_norm(generator)
        progressed = run.fit(GauGan(*learned, objective, training, run.perceptual()))
        # A student has no such norm, and neither has what is deployed.
        fold_spectral_norm(generator)
    else:
        progressed = run.fit(Pix2pix(*learned, objective, training))
    run.finish(generator, discriminator, progressed)


def _import(run: StageRun, spec: GeneratorSpec, checkpoint: Path, settings: ImportableTraining) -> None:
    """Load the stage's networks from files. Raises GancompError if they do not match the configuration."""
    if run.stage == "teacher" and run.settings.model == "cyclegan" and not run.settings.objective.pseudo_pairs:
        raise GancompError(
            f"experiments.{run.experiment}: objective.pseudo_pairs: false trains on with the teacher's way back, and "
            f"{checkpoint} holds none; remove teacher.checkpoint, or set pseudo_pairs: true"
        )
    generator = load_original(checkpoint, spec, run.stage, settings.key)
    discriminator = run.discriminator()
    if settings.discriminator:
        load_discriminator(discriminator, settings.discriminator)
    elif run.stage == "teacher":
        print(
            f"teacher: {checkpoint} comes without its discriminator, so distillation begins with one that knows "
            "nothing: expect to train longer, or less good pictures. If you have it, name it in teacher.discriminator"
        )
    run.finish_imported(generator, discriminator, settings)


# --- students ----------------------------------------------------------------------------------


def train_distilled(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The student: the teacher's strongest filters, or those above a threshold, then trained by Eq. 4."""
    run = StageRun(config, experiment, "distill", machine)
    settings = run.training
    assert isinstance(settings, DistillTraining)
    teacher = load_generator(run.upstream("teacher"))
    spec, tensors, told = generator_spec(config, experiment, "distill"), None, dict[str, Any]()
    if isinstance(settings.prune, Threshold):
        left = _above_threshold(run, settings.prune, teacher)
        spec, tensors = left.spec, left.tensors if settings.prune.inherit else None
        told = {"threshold": left.threshold, "vanished": left.spec.widths.count(0)}
    elif settings.prune:
        tensors = prune(teacher.state_dict(), teacher.spec, spec)
    run.seed("generator")
    generator = build_generator(spec)
    if tensors:
        generator.load_state_dict(tensors)
    run.seed("maps")
    student = mapped_student(run, generator, teacher)
    inherited = settings.inherit_discriminator
    train_student(run, student, teacher, "teacher", inherit_discriminator=inherited, after=lambda notes: told)


def _above_threshold(run: StageRun, settings: Threshold, teacher: Generator) -> Remainder:
    """The teacher pruned to the budget."""
    budget = budget_macs(settings.budget, generator_spec(run.config, run.experiment, "original"))
    left = above_threshold(teacher.state_dict(), teacher.spec, budget, settings.least)
    before, after = profile(teacher.spec).macs, profile(left.spec).macs
    print(
        f"{run.stage}: {before / 1e6:,.1f}M → {after / 1e6:,.1f}M exact MACs, above {left.threshold:.4g} of the norms' "
        f"scales; of {len(left.spec.widths)} groups of channels {left.spec.widths.count(0)} vanish"
    )
    return left


def train_supernet(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The once-for-all network: each step trains a newly sampled subnet (Section 3.3)."""
    run = StageRun(config, experiment, "supernet", machine)
    settings = run.training
    assert isinstance(settings, SupernetTraining)
    teacher = load_generator(run.upstream("teacher"))
    previous = "distill" if run.settings.distill else "teacher"
    if run.settings.distill:
        student = narrowed_student(load_student(run, "distill", teacher), settings.largest)
    else:
        run.seed("generator")
        student = mapped_student(run, build_generator(generator_spec(config, experiment, "distill")), teacher)
    teacher.to(run.fabric.device)  # it judges without pairs, also where a recipe trains teachers of its own
    judged = Pictures(run.root, ("train-2",), run.dataset.direction)
    extremes = {"largest": settings.largest, "smallest": settings.smallest}

    def choose(draw: Any) -> list[Widths]:
        drawn = draw_widths(settings.space, draw)
        return [settings.largest, settings.smallest, drawn] if settings.sampler == "sandwich" else [drawn]

    def judge() -> dict[str, float]:
        return {name: _judge(run, student.generator, widths, judged, teacher) for name, widths in extremes.items()}

    def compare(start: dict[str, float]) -> dict[str, Any]:
        end = judge()
        improved = end["smallest"] < start["smallest"]
        l1_trained = run.settings.model != "gaugan"
        measure = "L1 on train-2" if judged.paired else "L1 to the teacher's pictures on train-2"
        for name in extremes:
            print(f"supernet: {name} subnet, {measure}: {start[name]:.4f} → {end[name]:.4f}")
        if l1_trained and not improved:
            print(
                "supernet: TRAINING FAILED: the smallest subnet did not improve; the search below compares untrained "
                "subnets. Train longer (supernet.epochs_const, supernet.epochs_decay) or narrow the space."
            )
        scores = {name: {"start": {"l1": start[name]}, "end": {"l1": end[name]}} for name in extremes}
        against = "truth" if judged.paired else "teacher"
        return {"improved": improved, "l1_against": against, "l1_trained": l1_trained, **scores}

    train_student(run, student, teacher, previous, choose_widths=choose, before=judge, after=compare)


def train_finetuned(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """The winner, fine-tuned by Eq. 4 at its own widths on all training pictures; by int8 numbers where asked for."""
    run = StageRun(config, experiment, "finetune", machine)
    settings = run.training
    assert isinstance(settings, Finetuning)
    teacher = load_generator(run.upstream("teacher"))
    student = load_student(run, "subnet", teacher)
    if settings.quantise:
        add_int8(student.generator)

    def unrounded(notes: dict[str, Any]) -> dict[str, Any]:
        remove_int8(student.generator)
        return {}

    train_student(run, student, teacher, "subnet", after=unrounded)


@torch.inference_mode()
def _judge(run: StageRun, whole: Generator, widths: Widths, judged: Pictures, teacher: Generator) -> float:
    """L1 of one subnet on random pictures of train-2, as a fraction of the 8-bit range.

    Scored as in the search: extracted from *whole*, with its own BatchNorm statistics. Without pairs it is against the
    *teacher*'s output, the target of pseudo-pairs.
    """
    subnet = extract(whole, widths)
    run.calibrate(subnet)
    total, sample = 0.0, sorted(rng.sample(run.settings.seed, "pictures of the verdict", len(judged), JUDGED_PICTURES))
    for start in range(0, len(sample), 32):
        indices = sample[start : start + 32]
        inputs = judged.encode(judged.inputs(indices)).to(run.fabric.device)
        with run.fabric.autocast():
            out = subnet(inputs).float()
            wanted = to_float(judged.targets(indices)).to(out) if judged.paired else teacher(inputs).float()
        total += float((out - wanted).abs().mean(dim=(1, 2, 3)).sum()) / 2
    return total / len(sample)


# --- the winner --------------------------------------------------------------------------------


def extract_winner(config: Config, experiment: str, machine: Machine = ANY_MACHINE) -> None:
    """Extract the search's winner from the once-for-all network, with its maps and the networks to inherit.

    Its BatchNorm statistics are re-estimated, as when it was scored.
    """
    run = StageRun(config, experiment, "subnet", machine)
    selection = run.selection()
    teacher = load_generator(run.upstream("teacher"))
    student = load_student(run, "supernet", teacher)
    subnet = narrowed_student(student, selection.winner.widths)
    run.calibrate(subnet.generator)

    write_json(run.folder / "config.json", stage_settings(config, experiment, "subnet"))
    save_tensors(run.folder / "maps.safetensors", subnet.maps.state_dict(), {"stage": "subnet"})
    ways_back = ("reverse.safetensors", "reverse_discriminator.safetensors")
    naive = run.settings.model == "cyclegan" and not run.settings.objective.pseudo_pairs
    teachers = [TEACHERS] if run.settings.objective.online else []
    for name in ("discriminator.safetensors", *teachers, *(ways_back if naive else ())):
        shutil.copyfile(run.upstream("supernet", name), run.folder / name)
    run.save_generator("model.safetensors", subnet.generator)
    run.end_turn()
