"""One training stage at work: where it reads and writes, and what every stage does alike."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancomp import ranks, rng
from gancomp.config.experiment import Experiment
from gancomp.config.objective import Objective
from gancomp.config.settings import Config
from gancomp.config.training import Finetuning, ImportableTraining, Training
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures
from gancomp.elastic.calibrate import calibrate, has_batch_statistics
from gancomp.errors import GancompError
from gancomp.measure.evaluate import spread
from gancomp.measure.memory import peak_bytes
from gancomp.nets import build_generator, load_generator, load_weights, save_generator
from gancomp.nets.discriminators import PatchDiscriminator, build_discriminator
from gancomp.nets.generator import Generator
from gancomp.nets.int8 import remove_int8
from gancomp.nets.spectral import fold_spectral_norm
from gancomp.objectives.distill import MappedGenerator
from gancomp.objectives.perceptual import PerceptualLoss
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header, save_tensors
from gancomp.pipeline.files import file_sha256, write_csv, write_json, write_text
from gancomp.pipeline.places import file_of, model_of
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import READS, TRAININGS, stages_of, upstream_of
from gancomp.report.reading import read
from gancomp.report.searched import Selection
from gancomp.search.candidates import supernet_of
from gancomp.search.select import refuse_foreign
from gancomp.spec import GeneratorSpec, Role
from gancomp.train.cyclegan import Reverse
from gancomp.train.device import Machine, is_launcher, make_fabric
from gancomp.train.lock import wait_for_turn
from gancomp.train.loop import Recipe, fit
from gancomp.train.loss_log import LOG_COLUMNS, LOG_TIMES
from gancomp.train.samples import write_strip
from gancomp.train.state import Progressed, forget_state
from gancomp.train.stopping import count_attempt
from gancomp.train.student import Look

#: OMGD's teachers, beside the student that they taught.
TEACHERS = "teachers.safetensors"
#: Folders that a training fills on its way, in its resume folder until it ends.
LEFT_ON_THE_WAY = (paths.SNAPSHOTS, paths.SAMPLES)


class StageRun:
    """One stage of one experiment: its settings, its folders, its device and its pictures."""

    def __init__(self, config: Config, experiment: str, stage: str, machine: Machine) -> None:
        self.config, self.experiment, self.stage = config, experiment, stage
        self.settings: Experiment = config.experiments[experiment]
        if stage not in stages_of(config, experiment):
            raise GancompError(
                f"experiments.{experiment}: has no stage {stage}; what it declares leads to "
                f"{', '.join(stages_of(config, experiment))}"
            )
        self.dataset = config.datasets[self.settings.dataset]
        self.signature = signature(config, experiment, stage)
        self.folder = paths.stage(experiment, stage)
        self.resume_folder = paths.resume(experiment, stage)
        self.machine = machine
        if is_launcher():
            self._take_turn()
        if machine.until is not None and is_launcher():
            count_attempt(self.resume_folder, stage)
        self.fabric = make_fabric(self.settings.precision, machine.device, machine.devices or config.devices)
        self.root = paths.dataset(self.settings.dataset)
        self.pictures = Pictures(self.root, READS[stage].splits, self.dataset.direction)

    @property
    def _lock(self) -> Path:
        return self.resume_folder.with_suffix(".lock")

    def end_turn(self) -> None:
        """All is written: who waits may look at it."""
        self._lock.unlink(missing_ok=True)
        self._turn.close()

    def _take_turn(self) -> None:
        """Wait for another process that trains this very stage; end here if it brought it to its end."""
        self._turn, waited = wait_for_turn(self._lock, self.stage, self.machine.until)
        model = self.folder / "model.safetensors"
        if waited and model.is_file() and read_header(model).signature == self.signature:
            print(f"{self.stage}: done by the other process")
            raise SystemExit(0)

    @property
    def training(self) -> Training:
        """The stage's section of the configuration."""
        section: Training = getattr(self.settings, READS[self.stage].section)
        return section

    @property
    def objective(self) -> Objective:
        """What the stage's students minimise."""
        training = self.training
        return self.settings.objective.reweighed(training.terms if isinstance(training, Finetuning) else None)

    def upstream(self, stage: str, name: str = "model.safetensors") -> Path:
        """A file of another stage, from the experiment that owns it; GancompError if it is not there yet, or holds the
        generator of another stage."""
        if name == "model.safetensors":
            return model_of(self.config, self.experiment, stage)
        return file_of(self.config, self.experiment, stage, name)

    def selection(self) -> Selection:
        """What the search chose; GancompError if the file is damaged, or of another once-for-all network."""
        path = self.upstream("search", "selection.json")
        selection = read(path, Selection, "search")
        refuse_foreign(path, [selection.winner], supernet_of(self.config, self.experiment).space)
        return selection

    # --- what is trained -----------------------------------------------------------------------

    def seed(self, part: str) -> None:
        """Seed the fresh weights of one part of this stage."""
        rng.seed_torch(self.settings.seed, f"{self.stage}.{part}")

    def discriminator(self, inherit: str | None = None) -> nn.Module:
        """The model's discriminator, fresh or with the weights that the stage *inherit* left."""
        self.seed("discriminator")
        channels = self.dataset.input_channels, self.dataset.output_channels
        network = build_discriminator(self.settings.model, self.settings.discriminator, *channels)
        if inherit:
            load_weights(network, self.upstream(inherit, "discriminator.safetensors"))
        return network

    def fresh_reverse(self, spec: GeneratorSpec) -> Reverse:
        """CycleGAN's way back from what *spec* generates, with fresh weights."""
        self.seed("reverse")
        channels = {"in_channels": spec.out_channels, "out_channels": spec.in_channels}
        generator = build_generator(GeneratorSpec.model_validate(spec.model_dump() | channels))
        return Reverse(generator, self._reverse_discriminator())

    def inherited_reverse(self, stage: str, *, with_discriminator: bool) -> Reverse:
        """CycleGAN's way back as *stage* left it, to be trained on."""
        discriminator = self._reverse_discriminator()
        if with_discriminator:
            load_weights(discriminator, self.upstream(stage, "reverse_discriminator.safetensors"))
        return Reverse(load_generator(self.upstream(stage, "reverse.safetensors")).train(), discriminator)

    def _reverse_discriminator(self) -> nn.Module:
        self.seed("reverse_discriminator")
        declared = self.settings.discriminator
        return PatchDiscriminator(self.dataset.input_channels, declared.ndf, declared.layers)

    def perceptual(self) -> PerceptualLoss:
        """The perceptual loss of GauGAN, by the network that the objective names."""
        name = self.settings.objective.perceptual
        return PerceptualLoss(name, paths.perceptual(name)).to(self.fabric.device)

    def look(self) -> Look | None:
        """Features of pictures by the perceptual network, where the objective's terms ask for them."""
        if not self.objective.looks:
            return None
        perceptual = self.perceptual()

        def look(pictures: Tensor) -> Sequence[Tensor]:
            with self.fabric.autocast():
                return perceptual.look(pictures)

        return look

    @property
    def seen_by_discriminator(self) -> int:
        """Channels of what the discriminator of one scale reads."""
        inputs, outputs = self.dataset.input_channels, self.dataset.output_channels
        return outputs if self.settings.model == "cyclegan" else inputs + outputs

    def fit(self, recipe: Recipe, before: Callable[[], dict[str, Any]] = dict) -> Progressed:
        progressed = fit(
            recipe,
            self.pictures,
            self.dataset,
            self.training,
            seed=self.settings.seed,
            stage=self.stage,
            signature=self._begun_with,
            folder=self.resume_folder,
            device=self.fabric.device,
            until=self.machine.until,
            before=before,
            keep=lambda images: self._keep(recipe, images),
            sample_every=self.config.samples.every,
            sample=lambda images: self._sample(recipe, images),
        )
        ranks.leave_the_rest_to_the_first()
        return progressed

    @property
    def _begun_with(self) -> str:
        """What a resume state has to have been begun with: these settings, pictures, and networks of earlier stages,
        such as an imported one, whose file may be another by now."""
        earlier = upstream_of(self.config, self.experiment, self.stage)
        networks = [file_sha256(self.upstream(name)) for name in earlier if name in (*TRAININGS, "subnet")]
        return "-".join((self.signature, *(found[:16] for found in (self.pictures.data_hash, *networks))))

    def _keep(self, recipe: Recipe, images: int) -> None:
        """A snapshot of what the stage trains, as it would be left behind after so many *images*."""
        own = _as_left(recipe)
        self.calibrate(own)
        self._write_generator(self.resume_folder / paths.SNAPSHOTS / f"{images:012d}.safetensors", own.cpu())

    def _sample(self, recipe: Recipe, images: int) -> None:
        """A strip of the sample pictures by what the stage trains, after so many *images*."""
        path = self.resume_folder / paths.SAMPLES / f"{images:012d}.png"
        indices = spread(len(self._validation))[: self.config.samples.pictures]
        with self.fabric.autocast():
            write_strip(path, _as_left(recipe), self._validation, indices)

    @cached_property
    def _validation(self) -> Pictures:
        return Pictures(self.root, ("val",), self.dataset.direction)

    def calibrate(self, network: Generator) -> None:
        """Estimate BatchNorm's statistics anew, in place, as the search does for every subnet."""
        if has_batch_statistics(network):
            batches = calibration_batches(
                self.root, self.dataset, self.settings.calibration, self.settings.seed, self.fabric.device
            )
            with self.fabric.autocast():
                calibrate(network.to(self.fabric.device), batches())

    # --- what is left behind -------------------------------------------------------------------

    def save_maps(self, student: MappedGenerator) -> None:
        """The 1x1 maps, for the next stage to inherit."""
        save_tensors(self.folder / "maps.safetensors", student.maps.state_dict(), {"stage": self.stage})

    def save_teachers(self, teachers: Mapping[str, nn.Module]) -> None:
        """OMGD's teachers, for the next stage to inherit."""
        tensors = nn.ModuleDict(dict(teachers)).state_dict()
        save_tensors(self.folder / TEACHERS, tensors, {"stage": self.stage})

    def save_reverse(self, reverse: Reverse) -> None:
        """CycleGAN's way back, for a stage that trains without pseudo-pairs to inherit."""
        self.save_generator("reverse.safetensors", reverse.generator, back=True)
        self._save_discriminator("reverse_discriminator.safetensors", reverse.discriminator)

    def finish(self, generator: Generator, discriminator: nn.Module, progressed: Progressed, **metrics: Any) -> None:
        """Write the stage's folder, the model last, and forget the resume state."""
        self.calibrate(generator)
        write_text(self.folder / "log.csv", (self.resume_folder / "log.csv").read_text(encoding="utf-8"))
        self._remove_earlier()
        for name in LEFT_ON_THE_WAY:
            if (self.resume_folder / name).is_dir():
                try:
                    shutil.copytree(self.resume_folder / name, self.folder / name)
                except OSError as error:
                    raise GancompError(f"{self.folder / name}: cannot be written: {error}") from error
        self._write(generator, discriminator, progressed, metrics)
        forget_state(self.resume_folder)
        self.end_turn()

    def finish_imported(self, generator: Generator, discriminator: nn.Module, source: ImportableTraining) -> None:
        """Write the folder of a stage whose networks were not trained here, with a log that has no rows."""
        assert source.checkpoint is not None
        ranks.leave_the_rest_to_the_first()
        self._remove_earlier()
        write_csv(self.folder / "log.csv", (*LOG_COLUMNS, *LOG_TIMES), [])
        imported = {
            "checkpoint": source.checkpoint,
            "sha256": file_sha256(source.checkpoint),
            "discriminator": source.discriminator,
        }
        self._write(generator, discriminator, Progressed(), {"imported": imported})
        self.end_turn()

    def _remove_earlier(self) -> None:
        """Remove what an earlier training of this stage left on its way."""
        for name in LEFT_ON_THE_WAY:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _write(
        self, generator: Generator, discriminator: nn.Module, progressed: Progressed, metrics: dict[str, Any]
    ) -> None:
        write_json(self.folder / "config.json", stage_settings(self.config, self.experiment, self.stage))
        images = progressed.step * self.training.batch
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
                "peak_memory_mb": self._peak_memory_mb(),
                "images_per_second": round(images / max(progressed.elapsed, 1e-9), 2),
                **metrics,
                **provenance(),
            },
        )
        self._save_discriminator("discriminator.safetensors", discriminator)
        self.save_generator("model.safetensors", generator)

    def _peak_memory_mb(self) -> dict[str, int]:
        """What this process held at most, and its GPU where it has one; of a resumed training, the last attempt's."""
        held = {"process": peak_bytes()}
        if self.fabric.device.type == "cuda":
            held["gpu"] = torch.cuda.max_memory_allocated(self.fabric.device)
        return {where: round(amount / 2**20) for where, amount in held.items()}

    def _save_discriminator(self, name: str, discriminator: nn.Module) -> None:
        save_tensors(self.folder / name, discriminator.state_dict(), {"stage": self.stage})

    def save_generator(self, name: str, generator: Generator, *, back: bool = False) -> None:
        """Write a generator of the data set's inputs to its targets, or *back*."""
        self._write_generator(self.folder / name, generator, back=back)

    def _write_generator(self, path: Path, generator: Generator, *, back: bool = False) -> None:
        about = {"experiment": self.experiment, "stage": self.stage, "signature": self.signature}
        other: dict[Role, Role] = {"input": "target", "target": "input"}
        generator.ranges = {other[role] if back else role: found for role, found in self.pictures.ranges.items()}
        save_generator(path, generator, **about)


def _as_left(recipe: Recipe) -> Generator:
    """A copy of the generator that *recipe* trains, as its stage would leave it behind now."""
    network = recipe.networks.get("student") or recipe.networks["generator"]
    for inner in ("whole", "generator"):  # of an elastic network, and of one with maps
        network = getattr(network, inner, network)
    own = copy.deepcopy(network)
    assert isinstance(own, Generator)
    fold_spectral_norm(own)
    remove_int8(own)
    return own
