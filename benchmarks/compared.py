"""What is compared with the plain way: the same work on the same drawn pictures, with equal results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import plain
from benchmarks.drawn import MODELS, ROOT, SHOWN, STAGES, SUBNETS, Bench, Stage
from benchmarks.limits import Counting, Least, Machine
from benchmarks.throughput import Group, Work
from gancomp import rng
from gancomp.config.loading import load
from gancomp.config.training import SupernetTraining
from gancomp.config.values import Model, Precision
from gancomp.data.augment import augment
from gancomp.data.datasets import Pictures, to_float, to_uint8
from gancomp.data.settings import DatasetBase
from gancomp.elastic.slicing import Elastic, Widths, extract
from gancomp.elastic.space import draw_widths, enumerate_widths
from gancomp.measure.macs import profile
from gancomp.metrics.bootstrap import draws
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.inception import Inception
from gancomp.metrics.inception_network import FidInception
from gancomp.metrics.inception_weights import load as inception_weights
from gancomp.metrics.scoring import Scorer
from gancomp.nets import build_generator
from gancomp.nets.discriminators import PatchDiscriminator, build_discriminator
from gancomp.nets.spade import SpadeGenerator
from gancomp.nets.spectral import add_spectral_norm
from gancomp.objectives.distill import MappedGenerator
from gancomp.objectives.perceptual import PerceptualLoss
from gancomp.pipeline import paths
from gancomp.pipeline.stages import generator_spec
from gancomp.search.candidates import candidates
from gancomp.search.tree import TreeWalk
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import CycleGan, Reverse
from gancomp.train.device import make_fabric
from gancomp.train.gaugan import GauGan
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.student import GauGanStudent, Student, own_widths

Losses = Mapping[str, Tensor]
#: The variants; the first is what the others are compared with.
PLAIN = "plain"
OURS: Mapping[str, Precision] = {"ours, 32": "32", "ours, bf16": "bf16"}
PRECISIONS: Mapping[str, Precision] = {PLAIN: "32", **OURS}
#: A difference of zero is one of so little at most.
TINY = 1e-12


@dataclass(frozen=True)
class Comparison:
    """Variants of one work with equal results. *differs* tells, once they ran, how far each is from the plain way;
    *least*, what a unit of each must at least do on a machine."""

    group: Group
    differs: Callable[[], Mapping[str, float]]
    least: Callable[[Machine], Mapping[str, Least]] = lambda machine: {}


# --- training ----------------------------------------------------------------------------------


class Steps:
    """Training steps of a recipe, its pictures loaded for each; *first* keeps the losses of the first one."""

    def __init__(self, recipe: Any, load_batch: Callable[[int, np.random.Generator], tuple[Tensor, Tensor]]) -> None:
        self.recipe, self.first = recipe, dict[str, float]()
        self._load, self._done = load_batch, 0

    def __call__(self) -> float:
        draw = rng.generator(0, "speed", self._done)
        inputs, targets = self._load(self._done, draw)
        losses = self.recipe.step(inputs, targets, draw)
        self.first = self.first or {name: float(loss) for name, loss in losses.items()}
        self._done += 1
        return float(len(inputs))


def training(bench: Bench, model: Model, stage: Stage, side: int) -> Comparison:
    """Whole training steps: pictures, augmentation, all updates."""
    steps = {PLAIN: plain_steps(bench, model, stage, side)}
    steps |= {name: our_steps(bench, model, stage, side, precision) for name, precision in OURS.items()}

    def differs() -> dict[str, float]:
        own = steps[PLAIN].first
        return {
            name: max(abs(other.first[loss] - own[loss]) / max(abs(own[loss]), TINY) for loss in own)
            for name, other in steps.items()
        }

    def least(machine: Machine) -> dict[str, Least]:
        found = {}
        for name, work in steps.items():
            with Counting(machine) as counting:
                pictures = work()
            found[name] = counting.least.of(pictures)
        return found

    return Comparison(Group(f"{model} {STAGES[stage]} step, {side}²", "images/s", steps), differs, least)


def plain_steps(bench: Bench, model: Model, stage: Stage, side: int) -> Steps:
    """Steps of the plain way, in full precision."""
    made = Networks(bench, model, stage, side)
    pictures, dataset, own = made.pictures(cache_bytes=0), made.dataset, made.training
    learned = (made.objective, own)
    recipe: Any
    if stage == "teacher" and model == "pix2pix":
        recipe = plain.Pix2pix(made.teacher, made.judge, *learned)
    elif stage == "teacher" and model == "cyclegan":
        reverse = made.reverse()
        recipe = plain.CycleGan((made.teacher, reverse.generator), (made.judge, reverse.discriminator), *learned)
    elif model == "gaugan":
        taught = () if stage == "teacher" else (made.teacher, made.choose)
        learner = made.teacher if stage == "teacher" else made.student
        recipe = plain.GauGan(learner, made.judge, *learned, made.perceptual(), *taught)
    else:
        pseudo = model == "cyclegan"
        recipe = plain.Student(made.student, made.teacher, made.judge, *learned, made.choose, pseudo_pairs=pseudo)
    return Steps(recipe, lambda step, draw: plain.load_batch(pictures, dataset, step, own.batch, 0, draw))


def our_steps(bench: Bench, model: Model, stage: Stage, side: int, precision: Precision) -> Steps:
    """Steps of the training stages, as `gancomp` runs them."""
    made = Networks(bench, model, stage, side)
    pictures, dataset, own = made.pictures(), made.dataset, made.training
    fabric, learned = make_fabric(precision, "cpu"), (made.objective, own)
    recipe: Any
    if stage == "teacher" and model == "pix2pix":
        recipe = Pix2pix(fabric, made.teacher, made.judge, *learned)
    elif stage == "teacher" and model == "cyclegan":
        recipe = CycleGan(fabric, made.teacher, made.judge, made.reverse(), *learned)
    elif stage == "teacher":
        recipe = GauGan(fabric, made.teacher, made.judge, *learned, made.perceptual())
    elif model == "gaugan":
        networks = (made.student, made.teacher, made.judge)
        recipe = GauGanStudent(fabric, *networks, *learned, made.perceptual(), made.choose)
    else:
        networks = (made.student, made.teacher, made.judge)
        recipe = Student(fabric, *networks, *learned, made.choose, pseudo_pairs=model == "cyclegan")
    return Steps(recipe, lambda step, draw: our_batch(pictures, dataset, step, own.batch, draw))


def our_batch(
    pictures: Pictures, dataset: DatasetBase, step: int, batch: int, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a training step, as the training loop makes them."""
    drawn = pictures.training_batch(step, batch, 0)
    sides = pictures.encode(drawn[0]), to_float(drawn[1])
    labels = pictures.kind == "labels"
    return augment(*sides, draw, dataset.load_size, dataset.flip, paired=pictures.paired, labels=labels)


class Networks:
    """What a stage trains and reads, equal for every variant: fresh weights of one seed, and the drawn pictures."""

    def __init__(self, bench: Bench, model: Model, stage: Stage, side: int) -> None:
        config, name = bench.config(model, side)
        settings = config.experiments[name]
        self.dataset, self.objective = config.datasets[name], settings.objective
        self.training: Any = getattr(settings, stage)
        self._root, self._discriminator = bench.root(model, side), settings.discriminator
        torch.manual_seed(0)
        self.teacher = build_generator(generator_spec(config, name, "teacher"))
        self.judge = build_discriminator(model, self._discriminator, self.dataset.input_channels)
        self.choose: Any = own_widths
        if stage == "teacher":
            if isinstance(self.teacher, SpadeGenerator):
                add_spectral_norm(self.teacher)
            return
        supernet = settings.supernet
        assert isinstance(supernet, SupernetTraining)
        spec = generator_spec(config, name, "distill")
        if stage == "supernet":
            spec = spec.with_widths(supernet.largest)
            self.choose = lambda draw: [draw_widths(supernet.space, draw)]
        channels = self.teacher.feature_channels()

        def mapped(widths: Widths) -> MappedGenerator:
            return MappedGenerator(build_generator(spec.with_widths(widths)), channels)

        self.student = Elastic(mapped(spec.widths), mapped)

    def pictures(self, cache_bytes: int = 2 << 30) -> Pictures:
        return Pictures(self._root, ("train-1",), self.dataset.direction, cache_bytes)

    def reverse(self) -> Reverse:
        """CycleGAN's way back."""
        torch.manual_seed(1)
        own = self._discriminator
        judge = PatchDiscriminator(self.dataset.input_channels, own.ndf, own.layers)
        return Reverse(build_generator(self.teacher.spec), judge)

    def perceptual(self) -> nn.Module:
        """GauGAN's perceptual loss; GancompError where `gancomp perceptual` has not fetched its weights."""
        return PerceptualLoss(self.objective.perceptual, paths.perceptual(self.objective.perceptual))


# --- search and scores -------------------------------------------------------------------------


def searching(bench: Bench, side: int) -> Comparison:
    """Neighbouring subnets from weights to score: pictures, Inception, FID; ours adds KID, L1 and their intervals."""
    config, name = bench.config("pix2pix", side)
    pictures = Pictures(bench.root("pix2pix", side), ("train-2",), "AtoB")
    every = range(bench.images)
    inputs, targets = pictures.encode(pictures.inputs(every)), pictures.targets(every)
    subnets, chunk = candidates(config, name)[:SUBNETS], config.experiments[name].search.chunk
    spec = generator_spec(config, name, "distill")
    torch.manual_seed(0)
    whole = build_generator(spec).eval()
    for weight in whole.parameters():  # large enough that subnets draw unlike pictures
        nn.init.normal_(weight, 0, 1.2 / max(weight[0].numel(), 9) ** 0.5)
    found: dict[str, dict[Widths, float]] = {variant: {} for variant in (PLAIN, *OURS)}

    def one_by_one() -> Work:
        inception = plain.Inception(paths.INCEPTION)
        reference = inception(targets)

        def work() -> float:
            widths = subnets[len(found[PLAIN]) % len(subnets)].widths
            found[PLAIN][widths] = plain.score(whole, widths, inputs, chunk, inception, reference)
            return 1.0

        return work

    def together(variant: str, precision: Precision) -> Work:
        fabric = make_fabric(precision, "cpu")
        inception = Inception(paths.INCEPTION, precision=precision, device="cpu")
        scorer = Scorer(pictures, Statistics.from_features(inception(targets)), inception)
        weights, walk = draws(len(every), config.experiments[name].search.bootstrap, 0), TreeWalk(whole)

        @torch.inference_mode()
        def work() -> float:
            tallies = [scorer.tally() for _ in subnets]
            for start in range(0, len(every), chunk):
                part = range(start, min(start + chunk, len(every)))
                truth = scorer.truth(part)
                with fabric.autocast():
                    for tally, (_, out) in zip(tallies, walk(subnets, inputs[part.start : part.stop]), strict=True):
                        tally.add(to_uint8(out), truth)
            for subnet, tally in zip(subnets, tallies, strict=True):
                found[variant][subnet.widths] = tally.scores().fid
                tally.replicates(weights)
            return float(len(subnets))

        return work

    def differs() -> dict[str, float]:
        own = found[PLAIN]
        return {
            variant: max(abs(fids[widths] - own[widths]) / own[widths] for widths in own)
            for variant, fids in found.items()
        }

    def least(machine: Machine) -> dict[str, Least]:
        """Of the generator and Inception alone: subnets cut out, each by itself, or with shared prefixes."""
        x, network = inputs[:1], FidInception(inception_weights(paths.INCEPTION))
        found = {}
        for variant, precision in PRECISIONS.items():
            fabric = make_fabric(precision, "cpu")
            with torch.no_grad(), Counting(machine) as counting, fabric.autocast():
                for _ in _alone(whole, subnets, x) if variant == PLAIN else TreeWalk(whole)(subnets, x):
                    network(torch.from_numpy(targets[:1]))
            found[variant] = counting.least.of(len(subnets) / len(every))
        return found

    works = {PLAIN: one_by_one()} | {variant: together(variant, precision) for variant, precision in OURS.items()}
    return Comparison(Group(f"search, {side}²", f"subnets/s of {bench.images} pictures", works), differs, least)


def _alone(whole: Any, subnets: Sequence[Any], x: Tensor) -> Any:
    return (extract(whole, subnet.widths)(x) for subnet in subnets)


def inception(bench: Bench) -> Comparison:
    """Features of pictures of 64²."""
    pictures = rng.generator(0, "pictures").integers(0, 256, (SHOWN, 64, 64, 3), dtype=np.uint8)
    networks: dict[str, Any] = {PLAIN: plain.Inception(paths.INCEPTION)}
    networks |= {name: Inception(paths.INCEPTION, precision=p, device="cpu") for name, p in OURS.items()}
    made: dict[str, NDArray[np.float32]] = {}

    def work(name: str) -> Work:
        def features() -> float:
            made[name] = networks[name](pictures)
            return float(len(pictures))

        return features

    def differs() -> dict[str, float]:
        own = made[PLAIN]
        return {name: float(np.linalg.norm(other - own) / np.linalg.norm(own)) for name, other in made.items()}

    def least(machine: Machine) -> dict[str, Least]:
        network, found = FidInception(inception_weights(paths.INCEPTION)), {}
        for name, precision in PRECISIONS.items():
            with torch.no_grad(), Counting(machine) as counting, make_fabric(precision, "cpu").autocast():
                network(torch.from_numpy(pictures[:1]))
            found[name] = counting.least
        return found

    return Comparison(Group("Inception", "images/s", {name: work(name) for name in networks}), differs, least)


def frechet(count: int) -> Comparison:
    """The Fréchet distance of *count* features to as many, whose spectrum falls as that of pictures does."""
    draw, scale = rng.generator(0, "features", count), 1 / np.sqrt(1 + np.arange(2048))
    own, other = (np.abs(draw.normal(0.4, scale, (count, 2048))).astype(np.float32) for _ in range(2))
    reference, made = Statistics.from_features(other), {}
    _ = reference.root  # shared by all that is scored

    def sqrtm() -> float:
        made[PLAIN] = plain.frechet_distance(own, other)
        return 1.0

    def gram() -> float:
        made["ours, 32"] = frechet_distance(own, reference)
        return 1.0

    def differs() -> dict[str, float]:
        return {name: abs(distance - made[PLAIN]) / made[PLAIN] for name, distance in made.items()}

    return Comparison(Group(f"Fréchet distance, {count:,}", "distances/s", {PLAIN: sqrtm, "ours, 32": gram}), differs)


# --- the rest ----------------------------------------------------------------------------------


def loading(bench: Bench, side: int) -> Comparison:
    """Batches of 8 pairs, decoded and augmented, after the first epoch."""
    config, name = bench.config("pix2pix", side)
    dataset, root = config.datasets[name], bench.root("pix2pix", side)
    kept, anew = (Pictures(root, ("train-1",), "AtoB", size) for size in (2 << 30, 0))
    kept.batch(range(len(kept)))
    made: dict[str, tuple[Tensor, Tensor]] = {}

    def one_by_one() -> float:
        made[PLAIN] = plain.load_batch(anew, dataset, 0, 8, 0, rng.generator(0, "load"))
        return 8.0

    def together() -> float:
        made["ours, 32"] = our_batch(kept, dataset, 0, 8, rng.generator(0, "load"))
        return 8.0

    def differs() -> dict[str, float]:
        pairs = {name: zip(sides, made[PLAIN], strict=True) for name, sides in made.items()}
        return {name: max(float((a - b).abs().max()) for a, b in both) for name, both in pairs.items()}

    def least(machine: Machine) -> dict[str, Least]:
        """Reading 8 bits a channel, and writing 32, of both pictures."""
        seconds = 2 * 3 * side**2 * (1 + 4) / machine.bytes
        return {name: Least(by_bytes=seconds) for name in made}

    works: dict[str, Work] = {PLAIN: one_by_one, "ours, 32": together}
    return Comparison(Group(f"loading, {side}²", "images/s", works), differs, least)


def counting_macs() -> Comparison:
    """Exact MACs of the subnets of the paper's space of 5,184, at 256²."""
    config = load([ROOT / "config.yaml"])
    student = generator_spec(config, "emoji-256", "distill")
    supernet = config.experiments["emoji-256"].supernet
    assert supernet is not None
    widths = list(enumerate_widths(supernet.space))
    found: dict[str, dict[Widths, int]] = {PLAIN: {}, "ours, 32": {}}

    def traced() -> float:
        some = widths[len(found[PLAIN]) * 97 % len(widths)]
        found[PLAIN][some] = plain.traced_macs(build_generator(_at(student, some)))
        return 1.0

    def closed() -> float:
        found["ours, 32"] = {some: profile(_at(student, some)).macs for some in widths}
        return float(len(widths))

    def differs() -> dict[str, float]:
        own = found[PLAIN]
        return {name: float(max(abs(macs[some] - own[some]) for some in own)) for name, macs in found.items()}

    return Comparison(Group("MACs of a space, 256²", "subnets/s", {PLAIN: traced, "ours, 32": closed}), differs)


def _at(student: GeneratorSpec, widths: Widths) -> GeneratorSpec:
    return student.with_widths(widths)


def comparisons(bench: Bench) -> dict[str, Callable[[], Comparison]]:
    """Everything that is compared, by its name in the table; each is prepared when it is asked for."""

    found: dict[str, Callable[[], Comparison]] = {
        f"{model} {called} step, {side}²": partial(training, bench, model, stage, side)
        for side in bench.sizes
        for model in MODELS
        for stage, called in STAGES.items()
    }
    for side in bench.sizes:
        found[f"search, {side}²"] = partial(searching, bench, side)
        found[f"loading, {side}²"] = partial(loading, bench, side)
    found["Inception"] = partial(inception, bench)
    for count in (256, 2048):
        found[f"Fréchet distance, {count:,}"] = partial(frechet, count)
    return found | {"MACs of a space, 256²": counting_macs}
