"""What a run costs before it runs: MACs by hand and as a training step has them, and what is said of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning_fabric import Fabric
from tiny_run import DATASET, EXPERIMENT, SETTINGS, Workspace
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from gancomp.cli.main import app
from gancomp.config.loading import parse
from gancomp.config.training import Training
from gancomp.elastic.slicing import Elastic
from gancomp.errors import GancompError
from gancomp.measure import cost as module
from gancomp.measure.cost import estimate, refuse_without_room
from gancomp.measure.macs import profile
from gancomp.measure.passes import Cost
from gancomp.measure.reckoning import Reckoning, counts_of
from gancomp.measure.speed import Network, Speed, measure
from gancomp.nets import build_generator
from gancomp.nets.deep import build_deep
from gancomp.nets.discriminators import SharedDiscriminator, build_discriminator
from gancomp.objectives.distill import MappedGenerator
from gancomp.objectives.recipes import maps_of
from gancomp.pipeline.stages import generator_spec, stages_of
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import CycleGan, Reverse
from gancomp.train.device import single_device
from gancomp.train.gaugan import GauGan
from gancomp.train.loop import Recipe
from gancomp.train.online import OnlineStudent
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.student import GauGanStudent, NaiveStudent, Student

COUNTS = {"train-1": 21, "train-2": 9, "val": 7}
MODELS = ("pix2pix", "cyclegan", "gaugan")


def config_of(model: str, **experiment: Any) -> Any:
    return Workspace(Path(), model).config(**experiment)


def costs_of(config: Any) -> dict[str, Cost]:
    return {cost.stage: cost for cost in Reckoning(config, EXPERIMENT, COUNTS).costs()}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the measurement: 100 GMACs a second everywhere."""
    monkeypatch.setattr(module, "measure", lambda *_: Speed(1e-11, 1e6))


def test_a_small_case_by_hand() -> None:
    """16 × 16 pictures; a discriminator of 4, 8 and 16 channels with kernels of 4: 8², 4², 3² and 2² places."""
    config = config_of("pix2pix")
    judge = 16 * (6 * 4 * 64 + 4 * 8 * 16 + 8 * 16 * 9 + 16 * 1 * 4)
    made = profile(generator_spec(config, EXPERIMENT, "original")).macs
    original = costs_of(config)["original"]
    assert original.macs == 3 * made + 8 * judge
    assert (original.steps, original.images) == (14, 56)  # two epochs of 30 pictures in batches of 4, the last dropped
    assert original.total == 56 * original.macs
    teacher, student = (profile(generator_spec(config, EXPERIMENT, s)).macs for s in ("teacher", "distill"))
    assert costs_of(config)["distill"].macs == 3 * student + teacher + 8 * judge


def test_a_student_of_a_threshold_costs_its_budget_at_most() -> None:
    config = config_of(
        "pix2pix", generator={"norm": "affine"}, distill={"prune": {"budget": "5x", "least": 2}}, supernet=None
    )
    student = next(one for one in costs_of(config)["distill"].passes if one.network == "student")
    assert student.macs == profile(generator_spec(config, EXPERIMENT, "original")).macs / 5


def recipe_of(config: Any, stage: str) -> Recipe:
    """What *stage* trains with, on fresh networks; a plain difference in place of the perceptual network."""
    settings, fabric, training = config.experiments[EXPERIMENT], Fabric(accelerator="cpu"), Training(batch=2)
    dataset, objective = config.datasets[DATASET], settings.objective

    def discriminator(inputs: int, outputs: int) -> nn.Module:
        return build_discriminator(settings.model, settings.discriminator, inputs, outputs)

    def reverse(spec: GeneratorSpec) -> Reverse:
        return Reverse(build_generator(spec), discriminator(dataset.output_channels, dataset.input_channels))

    judge = discriminator(dataset.input_channels, dataset.output_channels)
    if stage == "original":
        spec = generator_spec(config, EXPERIMENT, "original")
        generator = build_generator(spec)
        if settings.model == "cyclegan":
            return CycleGan(fabric, generator, judge, reverse(spec), objective, training)
        if settings.model == "gaugan":
            return GauGan(fabric, generator, judge, objective, training, F.l1_loss)
        return Pix2pix(fabric, generator, judge, objective, training)
    taught = generator_spec(config, EXPERIMENT, "teacher")
    teacher = build_generator(taught)
    spec = generator_spec(config, EXPERIMENT, "distill")
    network = MappedGenerator(build_generator(spec), teacher.feature_channels(), maps_of(objective))
    elastic = Elastic(network, lambda widths: network)
    if objective.online:
        teachers, declared = {"wide": teacher, "deep": build_deep(spec)}, settings.discriminator
        shared = SharedDiscriminator(6, declared.ndf, declared.layers, judged=2, shared=objective.omgd.shared)
        return OnlineStudent(fabric, elastic, teachers, shared, objective, training)
    learned = (fabric, elastic, teacher, judge)
    if settings.model == "gaugan":
        return GauGanStudent(*learned, objective, training, F.l1_loss)
    if settings.model == "cyclegan" and not objective.pseudo_pairs:
        return NaiveStudent(*learned, reverse(taught), objective, training)
    return Student(*learned, objective, training, pseudo_pairs=settings.model == "cyclegan")


#: Without what looks through a perceptual network, or is a convolution and no network.
OMGD: dict[str, Any] = {"distillation": "omgd", "terms": {"gram": 0, "content": 0, "ssim": 0}}


@pytest.mark.parametrize(
    ("model", "stage", "objective"),
    [
        *((model, stage, {}) for model in MODELS for stage in ("original", "distill")),
        ("cyclegan", "original", {"lambda_identity": 0}),
        ("cyclegan", "distill", {"pseudo_pairs": False}),
        ("pix2pix", "distill", {"lambda_distill": 0}),
        ("pix2pix", "distill", OMGD),
        ("pix2pix", "distill", OMGD | {"omgd": {"teachers": "frozen"}}),
    ],
)
def test_a_training_step_has_the_macs_that_are_reckoned(model: str, stage: str, objective: dict[str, Any]) -> None:
    """Counted in the step itself; first layers whose input needs no gradient save it a little. Dense: what torch
    counts of the backward pass of depthwise convolutions leaves their groups out."""
    config = config_of(model, objective=objective, generator={"block": "dense"})
    dataset = config.datasets[DATASET]
    recipe = recipe_of(config, stage)
    sides = [torch.rand(2, channels, *dataset.size) for channels in (dataset.input_channels, dataset.output_channels)]
    with FlopCounterMode(display=False) as counter:
        recipe.step(*sides, np.random.default_rng(0))
    passes = [one for one in costs_of(config)[stage].passes if one.network != "perceptual"]
    reckoned = 2 * sum(one.macs * one.times for one in passes)
    assert reckoned * 0.8 < counter.get_total_flops() / 2 < reckoned * 1.05


@pytest.mark.parametrize("model", MODELS)
def test_every_stage_is_named_with_all_that_it_costs(model: str, quick: None) -> None:
    config = config_of(model)
    told = estimate(config, EXPERIMENT, COUNTS).splitlines()
    stages = [stage for stage in stages_of(config, EXPERIMENT) if stage not in ("scratch", "judge")]
    assert [line.split()[0] for line in told[3:-4]] == [*stages, "evaluation"]
    assert told[1].split()[:2] == ["budget", config.experiments[EXPERIMENT].search.budget + ":"]
    assert told[2].split() == ["stage", "pictures", "epochs", "MACs", "time", "memory", "disk"]
    assert told[-4].split()[0] == "all"
    supernet = next(line for line in told if line.startswith("  supernet"))
    assert supernet.split()[1:3] == ["40", "2"]
    assert supernet.split()[-1].endswith("B")


def test_a_second_run_of_inception_costs_as_much_again() -> None:
    """In the search only where it chooses."""
    plain, asked, chosen = (
        costs_of(config_of("pix2pix", **own))
        for own in ({}, {"fid_clean": True}, {"fid_clean": True, "metric": "fid_clean"})
    )
    for stage in ("statistics", "evaluation"):
        assert asked[stage].passes[-1].times == 2 * plain[stage].passes[-1].times
    assert asked["scores"].macs == plain["scores"].macs
    assert chosen["scores"].passes[-1].times == 2


def test_what_is_taken_from_a_file_trains_nothing(quick: None) -> None:
    costs = costs_of(
        config_of("pix2pix", original={"checkpoint": "G.pth"}, teacher="original", distill={"prune": False})
    )
    assert "teacher" not in costs
    assert costs["original"].total == 0
    assert costs["original"].about == "taken from G.pth"


def test_a_search_costs_less_where_prefixes_are_shared_and_pictures_halved() -> None:
    costs = costs_of(config_of("pix2pix"))
    assert costs["scores"].passes[0].macs < profile(generator_spec(config_of("pix2pix"), EXPERIMENT, "distill")).macs
    halved = costs_of(config_of("pix2pix", search={"method": "halving"}))["scores"]
    assert halved.images < costs["scores"].images
    evolved = config_of("pix2pix", search={"method": "evolution", "evolution": {"population": 2, "generations": 1}})
    assert costs_of(evolved)["scores"].about == "at most 4 subnets"


@pytest.mark.parametrize("model", MODELS)
def test_the_command_takes_each_model(model: str, tmp_path: Path, quick: None) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(Workspace(tmp_path, model).settings()))
    numbers = [str(count) for count in COUNTS.values()]
    done = CliRunner().invoke(app, ["cost", EXPERIMENT, "--configfile", str(path), "--pictures", *numbers])
    assert done.exit_code == 0, done.output
    assert "scores" in done.output


def test_what_has_no_room_is_refused_by_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "counts_of", lambda *_: COUNTS)
    config, free, memory = config_of("pix2pix"), 10**12, 10**12
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(total=memory))
    refuse_without_room(config, EXPERIMENT)
    memory = 500_000_000
    with pytest.raises(
        GancompError, match=rf"^{EXPERIMENT}: the stage '\w+' needs about [\d.]+[MG]B of memory, .* has 500MB;"
    ):
        refuse_without_room(config, EXPERIMENT)
    free, memory = 100_000, 10**12
    with pytest.raises(GancompError, match=rf"^{EXPERIMENT}: needs about [\d.]+MB of disk, and 100kB are free here;"):
        refuse_without_room(config, EXPERIMENT)
    kept = tmp_path / "results" / EXPERIMENT / "teacher" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    os.truncate(kept, 100_000_000)
    refuse_without_room(config, EXPERIMENT)  # what is there already needs no more room


def test_pictures_are_counted_before_they_are_built(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    built = counts_of(finished.config(), EXPERIMENT)
    assert built["val"] == 7
    (tmp_path / "pictures").symlink_to(finished.folder / "pictures")
    monkeypatch.chdir(tmp_path)
    assert counts_of(finished.config(), EXPERIMENT) == built
    fetched = parse({**SETTINGS, "datasets": {DATASET: {"source": "openmoji", "size": 16}}})
    with pytest.raises(GancompError, match=r"not built yet.*gancomp dataset shapes.*--pictures TRAIN-1"):
        counts_of(fetched, EXPERIMENT)


def test_networks_are_measured_at_a_size_that_takes_no_time() -> None:
    """Of a picture of 512 × 512, whose activations alone would take 134 MB."""
    sizes = []

    def build(size: tuple[int, int]) -> nn.Module:
        sizes.append(size)
        return nn.Sequential(nn.Conv2d(3, 128, 3, padding=1), nn.Conv2d(128, 128, 3, padding=1))

    speed = measure(Network(build, 3, (512, 512), 64, trained=True), 1, single_device("32", "cpu"), 0)
    assert sizes[-1] == (128, 128)
    assert speed.seconds > 0
    assert speed.activations == pytest.approx(4 * (3 + 128) * 512**2, rel=0.05)
