"""The training stages: what each starts from, trains, and leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gancomp import paths, rng
from gancomp.artifacts import provenance, read_json, save_tensors, write_json, write_text
from gancomp.config import Config, Experiment, Split, Training
from gancomp.data.datasets import PairedPictures, to_float
from gancomp.elastic.pruning import prune
from gancomp.elastic.slicing import Elastic, Widths, cut
from gancomp.elastic.space import draw_widths
from gancomp.errors import GancompError
from gancomp.nets import build_generator, load_generator, load_weights, save_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import MappedGenerator
from gancomp.pipeline import generator_spec, owner, signature, stage_settings
from gancomp.profile.macs import profile
from gancomp.report.records import Selection
from gancomp.spec import GeneratorSpec
from gancomp.train.device import Device, make_fabric
from gancomp.train.loop import Recipe, fit
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.state import Progressed, forget_state
from gancomp.train.student import Student

#: Pictures of train-2 that judge the once-for-all network's largest and smallest subnets.
JUDGED_PICTURES = 256


class StageRun:
    """One stage of one experiment: its settings, its folders, its device and its pictures."""

    def __init__(self, config: Config, experiment: str, stage: str, device: Device, splits: Sequence[Split]) -> None:
        self.config, self.experiment, self.stage = config, experiment, stage
        self.settings: Experiment = config.experiments[experiment]
        self.dataset = config.datasets[self.settings.dataset]
        self.signature = signature(config, experiment, stage)
        self.folder = paths.stage(experiment, stage)
        self.resume_folder = paths.resume(experiment, stage)
        self.fabric = make_fabric(self.settings.precision, device)
        self.root = paths.dataset(self.settings.dataset)
        self.pictures = PairedPictures(self.root, splits, self.dataset.direction)

    def upstream(self, stage: str, name: str = "model.safetensors") -> Path:
        """A file of another stage, from the experiment that owns it; GancompError if it is not there yet."""
        path = paths.stage(owner(self.config, self.experiment, stage), stage) / name
        if not path.is_file():
            raise GancompError(f"{path}: missing; run `gancomp {stage} {self.experiment}` first")
        return path

    def seed(self, part: str) -> None:
        """Seed the fresh weights of one part of this stage."""
        rng.seed_torch(self.settings.seed, f"{self.stage}.{part}")

    def discriminator(self, inherit: Path | None = None) -> PatchDiscriminator:
        """A discriminator on input ⊕ output, fresh or with the weights of an earlier stage."""
        self.seed("discriminator")
        declared = self.settings.discriminator
        network = PatchDiscriminator(6, declared.ndf, declared.layers)
        if inherit:
            load_weights(network, inherit)
        return network

    def fit(self, recipe: Recipe, training: Training, before: Callable[[], dict[str, Any]] = dict) -> Progressed:
        return fit(
            recipe,
            self.pictures,
            self.dataset,
            training,
            seed=self.settings.seed,
            stage=self.stage,
            signature=f"{self.signature}-{self.pictures.data_hash[:16]}",
            folder=self.resume_folder,
            device=self.fabric.device,
            before=before,
        )

    def finish(
        self, generator: Generator, discriminator: PatchDiscriminator, progressed: Progressed, **metrics: Any
    ) -> None:
        """Write the stage's folder, the model last, and forget the resume state."""
        write_json(self.folder / "config.json", stage_settings(self.config, self.experiment, self.stage))
        log = (self.resume_folder / "log.csv").read_text(encoding="utf-8")
        write_text(self.folder / "log.csv", log)
        training = getattr(self.settings, self.stage)
        images = progressed.step * training.batch
        write_json(
            self.folder / "metrics.json",
            {
                "experiment": self.experiment,
                "stage": self.stage,
                "signature": self.signature,
                "seed": self.settings.seed,
                "data_hash": self.pictures.data_hash,
                "precision": str(self.fabric._precision.precision),
                "device": str(self.fabric.device),
                "steps": progressed.step,
                "images": images,
                "pictures": len(self.pictures),
                "seconds": round(progressed.elapsed, 1),
                "images_per_second": round(images / max(progressed.elapsed, 1e-9), 2),
                **metrics,
                **provenance(),
            },
        )
        save_tensors(self.folder / "discriminator.safetensors", discriminator.state_dict(), {"stage": self.stage})
        save_generator(
            self.folder / "model.safetensors",
            generator,
            experiment=self.experiment,
            stage=self.stage,
            signature=self.signature,
        )
        forget_state(self.resume_folder)

    def save_maps(self, student: MappedGenerator) -> None:
        """The 1x1 maps, for the next stage to inherit."""
        save_tensors(self.folder / "maps.safetensors", student.maps.state_dict(), {"stage": self.stage})


# --- from scratch ------------------------------------------------------------------------------


def train_original(config: Config, experiment: str, device: Device = "auto") -> None:
    """The uncompressed generator, with dense blocks: the row to keep up with."""
    run = StageRun(config, experiment, "original", device, ("train-1", "train-2"))
    _from_scratch(run, generator_spec(config, experiment, "original"), run.settings.original)


def train_teacher(config: Config, experiment: str, device: Device = "auto") -> None:
    """The MobileNet-style generator, with separable blocks, that students learn from."""
    run = StageRun(config, experiment, "teacher", device, ("train-1", "train-2"))
    _from_scratch(run, generator_spec(config, experiment, "teacher"), run.settings.teacher)


def train_narrow(config: Config, experiment: str, device: Device = "auto") -> None:
    """The baseline that the method must beat: a uniform, dense, narrow generator of about the winner's MACs."""
    run = StageRun(config, experiment, "narrow", device, ("train-1", "train-2"))
    selection = Selection.model_validate(read_json(run.upstream("search", "selection.json")))
    original = generator_spec(config, experiment, "original")
    _from_scratch(run, uniform_of_about(original, selection.winner.macs), run.settings.narrow)


def uniform_of_about(original: GeneratorSpec, macs: int) -> GeneratorSpec:
    """The generator of one width throughout whose exact MACs are closest to *macs*."""
    candidates = [original.with_widths((width,) * len(original.widths)) for width in range(1, max(original.widths) + 1)]
    return min(candidates, key=lambda spec: abs(profile(spec).macs - macs))


def _from_scratch(run: StageRun, spec: GeneratorSpec, training: Training) -> None:
    run.seed("generator")
    generator, discriminator = build_generator(spec), run.discriminator()
    recipe = Pix2pix(run.fabric, generator, discriminator, run.settings.objective, training.lr)
    run.finish(generator, discriminator, run.fit(recipe, training))


# --- students ----------------------------------------------------------------------------------


def train_distilled(config: Config, experiment: str, device: Device = "auto") -> None:
    """The student: the teacher's strongest filters, then Eq. 4 at its own widths."""
    run = StageRun(config, experiment, "distill", device, ("train-1",))
    settings = run.settings.distill
    teacher = load_generator(run.upstream("teacher"))
    spec = generator_spec(config, experiment, "distill")
    run.seed("generator")
    generator = build_generator(spec)
    if settings.prune:
        generator.load_state_dict(prune(teacher.state_dict(), teacher.spec, spec.widths))
    inherited = run.upstream("teacher", "discriminator.safetensors") if settings.inherit_discriminator else None
    run.seed("maps")
    student = MappedGenerator(generator, teacher.feature_channels())
    _train_student(run, student, teacher, run.discriminator(inherited), settings)


def train_supernet(config: Config, experiment: str, device: Device = "auto") -> None:
    """The once-for-all network: each step trains the subnet of widths drawn anew (Section 3.3)."""
    run = StageRun(config, experiment, "supernet", device, ("train-1",))
    settings = run.settings.supernet
    teacher = load_generator(run.upstream("teacher"))
    distilled = _load_student(run, "distill", teacher)
    student = _narrowed(distilled, settings.largest, teacher)
    judged = PairedPictures(run.root, ("train-2",), run.dataset.direction)

    def choose(draw: Any) -> Widths:
        return draw_widths(settings.space, draw)

    elastic = _elastic(student, teacher)
    extremes = {"largest": settings.largest, "smallest": settings.smallest}

    def judge() -> dict[str, float]:
        return {name: _judge(run, elastic, widths, judged) for name, widths in extremes.items()}

    discriminator = run.discriminator(run.upstream("distill", "discriminator.safetensors"))
    recipe = Student(run.fabric, elastic, teacher, discriminator, run.settings.objective, settings.lr, choose)
    progressed = run.fit(recipe, settings, before=judge)
    start, end = progressed.notes, judge()
    improved = end["smallest"] < start["smallest"]
    for name in extremes:
        print(f"supernet: {name} subnet, L1 on train-2: {start[name]:.4f} → {end[name]:.4f}")
    if not improved:
        print(
            "supernet: TRAINING FAILED: the smallest subnet did not improve; the search below compares untrained "
            "subnets. Train longer (supernet.epochs_const, supernet.epochs_decay) or narrow the space."
        )
    run.save_maps(student)
    run.finish(
        student.generator,
        discriminator,
        progressed,
        improved=improved,
        **{name: {"start": {"l1": start[name]}, "end": {"l1": end[name]}} for name in extremes},
    )


def train_finetuned(config: Config, experiment: str, device: Device = "auto") -> None:
    """The winner, fine-tuned by Eq. 4 at its own widths on all training pictures."""
    run = StageRun(config, experiment, "finetune", device, ("train-1", "train-2"))
    teacher = load_generator(run.upstream("teacher"))
    student = _load_student(run, "subnet", teacher)
    discriminator = run.discriminator(run.upstream("subnet", "discriminator.safetensors"))
    _train_student(run, student, teacher, discriminator, run.settings.finetune)


def _train_student(
    run: StageRun,
    student: MappedGenerator,
    teacher: Generator,
    discriminator: PatchDiscriminator,
    training: Training,
) -> None:
    """Eq. 4 at the student's own widths."""
    recipe = Student(
        run.fabric, _elastic(student, teacher), teacher, discriminator, run.settings.objective, training.lr
    )
    progressed = run.fit(recipe, training)
    run.save_maps(student)
    run.finish(student.generator, discriminator, progressed)


def _load_student(run: StageRun, stage: str, teacher: Generator) -> MappedGenerator:
    """A student and its maps as an earlier stage left them."""
    student = MappedGenerator(load_generator(run.upstream(stage)), teacher.feature_channels())
    load_weights(student.maps, run.upstream(stage, "maps.safetensors"))
    return student.train()


def _elastic(student: MappedGenerator, teacher: Generator) -> Elastic:
    spec, channels = student.generator.spec, teacher.feature_channels()
    return Elastic(student, lambda widths: MappedGenerator(build_generator(spec.with_widths(widths)), channels))


def _narrowed(student: MappedGenerator, widths: Widths, teacher: Generator) -> MappedGenerator:
    """The leading blocks of a student as a student of its own."""
    spec = student.generator.spec.with_widths(widths)
    narrow = MappedGenerator(build_generator(spec), teacher.feature_channels())
    narrow.load_state_dict(cut(student.state_dict(), narrow))
    return narrow


@torch.inference_mode()
def _judge(run: StageRun, elastic: Elastic, widths: Widths, judged: PairedPictures) -> float:
    """L1 of one subnet on the first pictures of train-2, as a share of the 8-bit range."""
    total, count = 0.0, min(len(judged), JUDGED_PICTURES)
    for start in range(0, count, 32):
        inputs, targets = (
            to_float(side).to(run.fabric.device) for side in judged.batch(range(start, min(start + 32, count)))
        )
        with run.fabric.autocast():
            out = elastic(inputs, widths)[0]
        total += float((out.float() - targets).abs().mean(dim=(1, 2, 3)).sum()) / 2
    return total / count


# --- the winner --------------------------------------------------------------------------------


def extract_winner(config: Config, experiment: str) -> None:
    """Cut the search's winner out of the once-for-all network, with its maps and the discriminator to inherit."""
    folder = paths.stage(experiment, "subnet")

    def upstream(stage: str, name: str) -> Path:
        return paths.stage(owner(config, experiment, stage), stage) / name

    selection = Selection.model_validate(read_json(upstream("search", "selection.json")))
    whole = load_generator(upstream("supernet", "model.safetensors"))
    teacher = load_generator(upstream("teacher", "model.safetensors"))
    student = MappedGenerator(whole, teacher.feature_channels())
    load_weights(student.maps, upstream("supernet", "maps.safetensors"))
    subnet = _narrowed(student, selection.winner.widths, teacher)

    write_json(folder / "config.json", stage_settings(config, experiment, "subnet"))
    save_tensors(folder / "maps.safetensors", subnet.maps.state_dict(), {"stage": "subnet"})
    shutil.copyfile(upstream("supernet", "discriminator.safetensors"), folder / "discriminator.safetensors")
    save_generator(
        folder / "model.safetensors",
        subnet.generator,
        experiment=experiment,
        stage="subnet",
        signature=signature(config, experiment, "subnet"),
    )
