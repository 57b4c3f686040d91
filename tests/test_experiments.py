"""The experiments that ship: the paper's Table 5, directions and splits, and one for every path on real pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.config.loading import load
from gancomp.config.settings import Config
from gancomp.config.study import resolve
from gancomp.measure.macs import profile
from gancomp.paper.numbers import load_numbers
from gancomp.pipeline.places import owner
from gancomp.pipeline.stages import generator_spec
from gancomp.report.comparison import comparison_of

ROOT = Path(__file__).parent.parent
CONFIG = load([ROOT / "config.yaml"])
PAPER = load([ROOT / "config.yaml", ROOT / "config" / "paper.yaml"])

#: The paper's hyper-parameters, as printed, by the experiment that stands for their row.
TABLE5 = {
    found[0]: row.cells for row in load_numbers()["table5"].rows if row.run and (found := resolve(PAPER, row.run))
}
#: Batch, direction, pictures for the search, subnets in the space.
FACTS = {
    "edges2shoes-pix2pix": (4, "AtoB", 2048, 5_184),
    "cityscapes-pix2pix": (1, "BtoA", 200, 5_184),
    "maps-pix2pix": (1, "BtoA", 300, 5_184),
    "horse2zebra-cyclegan": (1, "AtoB", 120, 6_561),
    "cityscapes-gaugan": (16, "BtoA", 200, 15_552),
}


@pytest.mark.parametrize("name", TABLE5)
def test_a_row_of_table_5(name: str) -> None:
    printed = TABLE5[name]
    declared = CONFIG.experiments[name]
    objective = declared.objective
    assert declared.teacher is not None
    assert declared.distill is not None
    assert declared.supernet is not None
    for stage in (declared.original, declared.teacher, declared.distill, declared.finetune, declared.narrow):
        assert f"{stage.epochs_const:g} + {stage.epochs_decay:g}" == printed["epochs"]
    assert f"{declared.supernet.epochs_const:g} + {declared.supernet.epochs_decay:g}" == printed["supernet_epochs"]
    assert f"{objective.lambda_recon:g}" == printed["lambda_recon"]
    assert f"{objective.lambda_distill:g}" == printed["lambda_distill"]
    if "lambda_feature" in printed:
        assert f"{objective.lambda_feature:g}" == printed["lambda_feature"]
    assert objective.gan == printed["gan"].lower()
    assert set(generator_spec(CONFIG, name, "teacher").widths) == {int(printed["teacher"])}
    assert set(generator_spec(CONFIG, name, "distill").widths) == {int(printed["student"])}
    assert set(generator_spec(CONFIG, name, "original").widths) == {64}
    assert declared.discriminator.ndf == int(printed["ndf"])


@pytest.mark.parametrize("name", FACTS)
def test_what_table_5_leaves_out(name: str) -> None:
    batch, direction, pictures, subnets = FACTS[name]
    declared = CONFIG.experiments[name]
    dataset = CONFIG.datasets[declared.dataset]
    assert declared.supernet
    assert {declared.original.batch, declared.supernet.batch, declared.finetune.batch} == {batch}
    assert (dataset.direction, dataset.search_count) == (direction, pictures)
    assert declared.supernet.subnets == subnets
    assert dataset.load_size == (None if name == "cityscapes-gaugan" else (286, 286))


def test_gaugan_has_two_time_scales_two_scales_and_its_own_weights() -> None:
    declared = CONFIG.experiments["cityscapes-gaugan"]
    assert (declared.original.lr, declared.original.lr_discriminator) == (1e-4, 4e-4)
    assert (declared.discriminator.scales, declared.discriminator.layers) == (2, 4)
    assert (declared.objective.lambda_feature, declared.objective.perceptual) == (10, "vgg19")
    assert generator_spec(CONFIG, "cityscapes-gaugan", "original").in_channels == 36
    assert (declared.calibration.images, declared.metric) == (512, "miou")


def test_cyclegan_has_the_weights_of_its_paper_and_all_zebras() -> None:
    declared = CONFIG.experiments["horse2zebra-cyclegan"]
    objective = declared.objective
    assert (objective.lambda_cycle, objective.lambda_identity, objective.pool) == (10, 0.5, 50)
    assert objective.pseudo_pairs
    assert CONFIG.datasets[declared.dataset].fid_targets == "all"


def test_every_row_of_table_5_has_its_experiment() -> None:
    assert len(TABLE5) == len(load_numbers()["table5"].rows) == 5
    assert TABLE5.keys() == FACTS.keys()


def test_the_originals_have_the_macs_of_table_1_and_6() -> None:
    def original(name: str) -> tuple[float, float]:
        counted = profile(generator_spec(CONFIG, name, "original"))
        return counted.params / 1e6, counted.macs_paper / 1e9

    for name in TABLE5:
        params, macs = original(name)
        assert (f"{params:.1f}", f"{macs:.1f}") == (("93.0", "281.3") if "gaugan" in name else ("11.4", "56.8"))
    assert {f"{original(name)[0]:.1f}" for name in ("edges2shoes-unet", "cityscapes-unet")} == {"54.4"}


@pytest.mark.parametrize(
    ("name", "model"), [("relief", "pix2pix"), ("relief-unpaired", "cyclegan"), ("climate", "gaugan")]
)
def test_every_model_has_an_experiment_on_pictures_that_can_be_had_anywhere(name: str, model: str) -> None:
    declared = CONFIG.experiments[name]
    assert declared.model == model
    assert CONFIG.datasets[declared.dataset].source == "earth"
    assert declared.compressed


@pytest.mark.parametrize(
    ("files", "model"),
    [
        (("tiny",), "pix2pix"),
        (("tiny-cyclegan",), "cyclegan"),
        (("tiny-gaugan",), "gaugan"),
        (("tiny-unet",), "pix2pix"),
        (("tiny", "tiny-own"), "pix2pix"),
        (("tiny", "tiny-imported"), "pix2pix"),
    ],
)
def test_every_path_has_a_tiny_configuration(files: tuple[str, ...], model: str) -> None:
    config: Config = load([ROOT / "config.yaml", *(ROOT / "config" / f"{file}.yaml" for file in files)])
    assert config.run == (files[-1],)
    assert config.experiments[files[-1]].model == model


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "config").glob("comparison*.yaml")))
def test_a_comparison_is_on_equal_terms(name: str) -> None:
    """Every method has the same original at every seed, and sees as many pictures, within a twelfth."""
    config = load([ROOT / "config.yaml", ROOT / "config" / f"{name}.yaml"])
    declared = comparison_of(config)
    original, stage = declared.original.split(":")
    seen = {}
    for place in declared.places:
        experiment, last = place.split(":")
        of_scratch = last == "original" and place != declared.original  # a narrow one, which compresses none
        for seed in ("", ".seed1", ".seed2"):
            assert owner(config, experiment + seed, stage) == (experiment if of_scratch else original) + seed
        settings = config.experiments[experiment]
        counted = [settings.narrow] if last in ("narrow", "scratch") else [settings.distill]
        if of_scratch:
            counted = [settings.original]
        if last in ("subnet", "finetune"):
            counted += [settings.supernet, *([settings.finetune] if last == "finetune" else [])]
        # Fine-tuning and what starts from scratch also train on the pictures that the search scores by, a fifth more.
        shares = [1.18 if one in (settings.narrow, settings.finetune, settings.original) else 1 for one in counted]
        turn = settings.objective.omgd
        if settings.objective.online and settings.model == "cyclegan":
            shares = [share * turn.student_epochs / (turn.teacher_epochs + turn.student_epochs) for share in shares]
        seen[place] = sum(s * (c.epochs_const + c.epochs_decay) for s, c in zip(shares, counted, strict=True) if c)
    del seen[declared.original]
    compared = [count for place, count in seen.items() if not place.endswith(":subnet")]
    assert max(compared) < min(compared) * 13 / 12, seen
