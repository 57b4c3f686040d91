"""What an experiment will cost before any of it runs: pictures, MACs, memory and disk by stage.

MACs of convolutions are exact. A pass that trains counts three: forward, and backward to activations and to weights.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gancomp import rng
from gancomp.config.experiment import Experiment
from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.config.training import DistillTraining, SupernetTraining, Training, total_steps
from gancomp.data.build import planned_counts
from gancomp.data.manifest import NAME, load_manifest
from gancomp.data.settings import DatasetBase, SmallJudge
from gancomp.elastic.space import draw_widths, enumerate_widths
from gancomp.errors import GancompError
from gancomp.measure.macs import profile, totals_of
from gancomp.measure.passes import SAVED, Cost, Pass, shared_macs
from gancomp.measure.speed import Network
from gancomp.metrics.inception_network import FEATURES, skeleton
from gancomp.metrics.segmentation import SmallSegmenter
from gancomp.nets import build_generator
from gancomp.nets.deep import build_deep
from gancomp.nets.discriminators import build_discriminator
from gancomp.objectives.perceptual import BACKBONES
from gancomp.objectives.recipes import TAUGHT, weights_of
from gancomp.pipeline import paths
from gancomp.pipeline.stages import READS, generator_spec, stages_of
from gancomp.search.candidates import GROUP, candidates
from gancomp.spec import GeneratorSpec

#: The most subnets whose mean stands for a space that is larger.
SAMPLE = 2_000
INCEPTION_SIZE = (299, 299)


def counts_of(config: Config, experiment: str) -> dict[str, int]:
    """Pictures of train-1, train-2 and val, an unpaired split by its larger side: of the built data set, else of the
    files that it will be built from.

    Raises GancompError where neither is there yet.
    """
    name = config.experiments[experiment].dataset
    if (paths.dataset(name) / NAME).is_file():
        built = load_manifest(paths.dataset(name))
        return {split: max(len(files), len(built.splits_b.get(split, ()))) for split, files in built.splits.items()}
    counts = planned_counts(config.datasets[name])
    if counts is None:
        raise GancompError(
            f"{paths.dataset(name)}: not built yet, so its pictures are not counted; run `gancomp dataset {name}` "
            "first, or say how many there are by --pictures TRAIN-1 TRAIN-2 VAL"
        )
    return counts


class Reckoning:
    """The costs of *experiment* with so many pictures in each split (*counts*), and the networks that they are of."""

    def __init__(self, config: Config, experiment: str, counts: Mapping[str, int]) -> None:
        self.config, self.experiment, self.counts = config, experiment, counts
        self.settings: Experiment = config.experiments[experiment]
        self.dataset: DatasetBase = config.datasets[self.settings.dataset]
        self.original = generator_spec(config, experiment, "original")
        self.networks = {
            "inception": Network(
                lambda size: skeleton().to(memory_format=torch.channels_last), 3, INCEPTION_SIZE, INCEPTION_SIZE[0]
            )
        }
        self._inception = self._counted("inception")

    def costs(self) -> Iterator[Cost]:
        """Every stage that plain `snakemake` runs, in order."""
        for stage in stages_of(self.config, self.experiment):
            if stage == "scratch" or (stage == "judge" and self.dataset.judge is None):
                continue
            yield self._cost(stage)
        yield self._evaluation()

    def _cost(self, stage: str) -> Cost:
        everything = sum(self.counts.values())
        if stage == "dataset":
            height, width = self.dataset.size
            channels = self.dataset.output_channels + (3 if self.dataset.classes else self.dataset.input_channels)
            return Cost(stage, disk=everything * height * width * channels, about=f"{everything:,} pictures")
        if stage == "statistics":
            real = self.counts["val"] + self.counts["train-2"]
            seen = self._seen(1, self.settings.fid_clean)
            return Cost(stage, everything if self.dataset.fid_targets == "all" else real, (seen,))
        if stage == "judge":
            return self._judge()
        if stage == "scores":
            return self._scores()
        if stage in ("search", "subnet", "export"):
            return Cost(stage)
        training = getattr(self.settings, READS[stage].section)
        if checkpoint := getattr(training, "checkpoint", None):
            spec = generator_spec(self.config, self.experiment, "original" if stage == "original" else "teacher")
            return Cost(stage, disk=SAVED * profile(spec).params, about=f"taken from {checkpoint}")
        return self._training(stage, training)

    # --- training --------------------------------------------------------------------------------

    def _training(self, stage: str, training: Training) -> Cost:
        reads = READS[stage]
        pictures = sum(self.counts[split] for split in reads.splits)
        steps = total_steps(training, pictures)
        passes = tuple(self._student(stage, training) if reads.taught else self._from_scratch(stage))
        height, width = self.dataset.size
        decoded = min(2 << 30, pictures * height * width * (self.dataset.output_channels + 3))
        learned = sum(one.params for one in passes if one.trained)
        return Cost(
            stage,
            steps * training.batch,
            passes,
            training.epochs_const + training.epochs_decay,
            steps,
            training.batch,
            disk=SAVED * learned,
            memory=decoded,
        )

    def _from_scratch(self, stage: str) -> Iterator[Pass]:
        """By the model's own recipe (`gancomp.train.pix2pix`, `cyclegan`, `gaugan`)."""
        spec, macs = self._trained_alone(stage)
        self._add_generator(stage, spec)
        params = profile(spec).params
        if self.settings.model == "cyclegan":
            ways = self._ways()
            yield Pass(stage, macs, params, 3 * ways, trained=True, held=ways)
            yield self._way_back(stage, spec, macs / profile(spec).macs)
        elif self.settings.model == "gaugan":
            yield Pass(stage, macs, params, 4, trained=True, held=1)
        else:
            yield Pass(stage, macs, params, 3, trained=True, held=1)
        yield from self._judging()

    def _trained_alone(self, stage: str) -> tuple[GeneratorSpec, float]:
        """What *stage* trains without a teacher, and its MACs; the winner's are not known, and at most the budget."""
        if stage in ("original", "teacher"):
            spec = self.original if stage == "original" else generator_spec(self.config, self.experiment, "teacher")
            return spec, profile(spec).macs
        whole, budget = profile(self.original).macs, self._budget
        share = (budget / whole) ** 0.5  # MACs go by the square of the widths
        widths = tuple(max(1, round(width * share)) for width in self.original.widths)
        return self.original.with_widths(widths), budget

    def _student(self, stage: str, training: Training) -> Iterator[Pass]:
        """By Eq. 4 or the objective that stands for it (`gancomp.train.student`)."""
        objective, model = self.settings.objective, self.settings.model
        student = generator_spec(self.config, self.experiment, "distill")
        if isinstance(training, SupernetTraining):
            student, macs = student.with_widths(training.largest), self._mean(student)
        else:
            macs = profile(student).macs if isinstance(training, DistillTraining) else self._budget
        if threshold := self.settings.threshold:  # the student is a part of the teacher that is not known yet
            macs = min(macs, budget_macs(threshold.budget, self.original))
        drawn = 3 if isinstance(training, SupernetTraining) and training.sampler == "sandwich" else 1
        naive = model == "cyclegan" and not objective.pseudo_pairs
        self._add_generator("student", student)
        ways = self._ways() if naive else 1
        times = 4 if model == "gaugan" else 3 * ways * drawn
        yield Pass("student", macs, profile(student).params, times, trained=True, held=ways)
        teacher, weights = self._teacher(), weights_of(objective).keys()
        teachers = 1
        if objective.online:
            taught = list(self._online())
            teachers = len(taught)
            yield from taught
        elif TAUGHT & weights or (model == "cyclegan" and not naive):
            yield Pass(self._add_generator("teacher", teacher), profile(teacher).macs, profile(teacher).params, 1)
        if objective.looks and model != "gaugan":
            yield self._looking(2 * drawn + teachers)
        if naive:
            yield self._way_back(self._add_generator("teacher", teacher), teacher, 1)
        if objective.online or {"gan", "critic"} & weights:
            yield from self._judging(teachers if objective.online else drawn, one_way=not naive)

    def _online(self) -> Iterator[Pass]:
        """OMGD's teachers, which see every picture and learn in their turn."""
        objective, student = self.settings.objective, generator_spec(self.config, self.experiment, "distill")
        times = 1 + 2 / objective.omgd.every
        teacher = self._teacher()
        name = self._add_generator("teacher", teacher)
        yield Pass(name, profile(teacher).macs, profile(teacher).params, times, trained=True, held=1)
        if objective.omgd.teachers == "wide-and-deep":
            self.networks["deep teacher"] = Network(
                lambda size: build_deep(student.model_copy(update={"size": size})),
                student.in_channels,
                student.size,
                4 * student.stride,  # reflection takes a pixel more than there is at the bottom
                trained=True,
            )
            counted = self._counted("deep teacher")
            yield Pass("deep teacher", counted.macs, counted.params, times, trained=True, held=1)

    def _looking(self, times: float) -> Pass:
        """The perceptual network, which is frozen."""
        backbone = BACKBONES[self.settings.objective.perceptual]
        self.networks["perceptual"] = Network(lambda size: backbone.build(), 3, self.dataset.size, 64)
        counted = self._counted("perceptual")
        return Pass("perceptual", counted.macs, counted.params, times, held=1)

    def _teacher(self) -> GeneratorSpec:
        own = self.settings.teacher != "original"
        return generator_spec(self.config, self.experiment, "teacher") if own else self.original

    def _ways(self) -> int:
        """Passes of each of CycleGAN's generators: there, back again, and of what is there already."""
        objective = self.settings.objective
        same = self.dataset.input_channels == self.dataset.output_channels
        return 3 if same and objective.lambda_identity * objective.lambda_cycle > 0 else 2

    def _way_back(self, network: str, spec: GeneratorSpec, share: float) -> Pass:
        channels = {"in_channels": spec.out_channels, "out_channels": spec.in_channels}
        back, ways = profile(spec.model_copy(update=channels)), self._ways()
        return Pass(network, back.macs * share, back.params, 3 * ways, trained=True, held=ways)

    def _judging(self, drawn: int = 1, *, one_way: bool = False) -> Iterator[Pass]:
        """The discriminators: two passes to judge each picture that is made, three for it and for a real one to learn;
        GauGAN's also judge the real ones. And its perceptual network, which looks at both."""
        model = self.settings.model
        inputs, outputs = self.dataset.input_channels, self.dataset.output_channels
        times = {"pix2pix": 5 * drawn + 3, "cyclegan": 5 * drawn + 3, "gaugan": 10}[model]
        sides = [(inputs, outputs)] if model != "cyclegan" or one_way else [(inputs, outputs), (outputs, inputs)]
        for side, channels in enumerate(sides):
            name = f"discriminator {side + 1}"
            seen = channels[1] + (0 if model == "cyclegan" else channels[0])
            declared = self.settings.discriminator
            least = 2 ** (declared.layers + declared.scales + 1)
            self.networks[name] = Network(
                functools.partial(_discriminator, self.settings, channels), seen, self.dataset.size, least, trained=True
            )
            counted = self._counted(name)
            yield Pass(name, counted.macs, counted.params, times, trained=True, held=2)
        if model == "gaugan":
            yield self._looking(3)

    # --- what else runs networks -----------------------------------------------------------------

    def _judge(self) -> Cost:
        judge = self.dataset.judge
        if not isinstance(judge, SmallJudge):
            return Cost("judge", disk=220e6, about="its published weights")
        classes, width = self.dataset.classes, judge.width
        self.networks["judge"] = Network(
            lambda size: SmallSegmenter(classes, width), 3, self.dataset.size, 64, trained=True
        )
        counted = self._counted("judge")
        training = Training(epochs_const=judge.epochs, epochs_decay=0, batch=judge.batch)
        steps = total_steps(training, self.counts["train-1"] + self.counts["train-2"])
        learned = Pass("judge", counted.macs, counted.params, 3, trained=True, held=1)
        return Cost("judge", steps * judge.batch, (learned,), judge.epochs, steps, judge.batch, SAVED * learned.params)

    def _scores(self) -> Cost:
        """The search: every subnet over pictures of train-2, and Inception over what it makes."""
        search = self.settings.search
        student = generator_spec(self.config, self.experiment, "distill")
        images = min(self.counts["train-2"], search.images)
        if search.method == "evolution":
            space = self._supernet.subnets
            subnets = min(space, search.evolution.population * (search.evolution.generations + 1))
            macs, seen, bound = self._budget, subnets * images, "at most "
        else:
            scored = candidates(self.config, self.experiment)
            subnets, macs, bound = len(scored), shared_macs(scored, student), ""
            seen = subnets * images
            if search.method == "halving":
                seen, left = 0, subnets
                for stride in search.halving.strides:
                    seen += left * -(-images // stride)
                    left = -(-left // search.halving.factor)
        # Statistics of BatchNorm are estimated anew for every subnet.
        estimated = self.settings.calibration.images if student.norm == "batch" else 0
        self._add_generator("student", student.with_widths(self._supernet.largest))
        walked = Pass("student", macs, profile(student).params, 1 + estimated / images)
        return Cost(
            "scores",
            seen,
            (walked, self._seen(1, self.settings.metric == "fid_clean")),
            memory=4 * GROUP * images * FEATURES + 50e6 * search.chunk,
            about=f"{bound}{subnets:,} subnets",
        )

    def _evaluation(self) -> Cost:
        """The generators of the table, and the honest rows, over the validation pictures."""
        compressed = self.settings.compressed
        self._add_generator("original", self.original)
        made = [Pass("original", profile(self.original).macs, profile(self.original).params, 1)]
        if compressed:
            student = generator_spec(self.config, self.experiment, "distill")
            self._add_generator("student", student.with_widths(self._supernet.largest))
            made += [Pass("student", self._budget, profile(student).params, 3)]
        scored = self._seen(7 if compressed else 4, self.settings.fid_clean)
        return Cost("evaluation", self.counts["val"], (*made, scored))

    def _seen(self, times: int, clean: bool) -> Pass:
        """Inception over each picture so many times, and as often again where clean-fid's resizing is asked for."""
        return replace(self._inception, times=times * (2 if clean else 1))

    # --- networks --------------------------------------------------------------------------------

    @property
    def _supernet(self) -> SupernetTraining:
        assert self.settings.supernet is not None
        return self.settings.supernet

    @property
    def _budget(self) -> float:
        return budget_macs(self.settings.search.budget, self.original)

    def _mean(self, student: GeneratorSpec) -> float:
        """MACs of the subnets that a step draws, of a sample where there are many."""
        space = self._supernet.space
        every = enumerate_widths(space)
        if self._supernet.subnets > 3 * SAMPLE:
            draw = rng.generator(0, "subnets that stand for their space")
            every = (draw_widths(space, draw) for _ in range(SAMPLE))
        return statistics.fmean(totals.macs for totals in totals_of(student, np.array(list(every))))

    def _add_generator(self, name: str, spec: GeneratorSpec) -> str:
        def build(size: tuple[int, int]) -> nn.Module:
            return build_generator(spec.model_copy(update={"size": size}))

        self.networks.setdefault(name, Network(build, spec.in_channels, spec.size, 2 * spec.stride, trained=True))
        return name

    def _counted(self, name: str) -> Pass:
        """One pass of a network over one picture."""
        network = self.networks[name]
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            module = network.build(network.size)
            module(torch.empty(1, network.channels, *network.size))
        return Pass(name, counter.get_total_flops() / 2, sum(one.numel() for one in module.parameters()), 1)


def _discriminator(settings: Experiment, channels: tuple[int, int], size: tuple[int, int]) -> nn.Module:
    return build_discriminator(settings.model, settings.discriminator, *channels)
