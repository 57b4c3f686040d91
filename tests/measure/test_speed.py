"""`benchmarks/speed.py`: the plain way and ours compute the same, and what is compared becomes a table and a plot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import plain
from benchmarks.compared import PLAIN, Steps, comparisons, our_steps, plain_steps
from benchmarks.drawn import Bench
from benchmarks.halving import PLANS, halve, keep, measured, read, rows_of, simulated, write
from benchmarks.limits import Counting, Machine
from benchmarks.speed import describe, run
from gancomp.config.searching import Halving
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.nets import build_generator
from gancomp.spec import GeneratorSpec

MACHINE = Machine(flops_fp32=1e9, flops_bf16=2e9, bytes=1e9)
SMALL = {
    "generator": {"blocks": 3},
    "discriminator": {"ndf": 4},
    "teacher": {"widths": 4, "batch": 2},
    "distill": {"widths": 3, "batch": 2},
    "supernet": {"batch": 2, "space": [[3], [3, 2], [3, 2], [3], [3, 1], [3], [3, 2], [2]]},
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, images=6, sizes={64: 72}, overrides=SMALL)


def learned(steps: Steps) -> dict[str, nn.Parameter]:
    """All that a recipe trains."""
    return {
        f"{name}.{key}": parameter
        for name, network in steps.recipe.networks.items()
        for key, parameter in network.named_parameters()
    }


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize("stage", ["teacher", "distill", "supernet"])
def test_a_step_in_full_precision_is_the_plain_ways(bench: Bench, model: Any, stage: Any) -> None:
    """Losses, gradients and weights; loading and augmentation are part of it."""
    both = plain_steps(bench, model, stage, 64), our_steps(bench, model, stage, 64, "32")
    for steps in both:
        assert steps() == 2
    wanted, own = both
    for name, loss in wanted.first.items():
        # What a discriminator says that has stepped already, by chance where its gradient was zero but for rounding.
        stepped = (model, stage, name) == ("pix2pix", "teacher", "g_gan")
        assert own.first[name] == pytest.approx(loss, rel=1e-5, abs=1e-3 if stepped else 0), name
    wanted_weights, weights = learned(wanted), learned(own)
    assert weights.keys() == wanted_weights.keys()
    largest = max(float(weight.grad.norm()) for weight in wanted_weights.values())
    for name, weight in weights.items():
        other = wanted_weights[name]
        assert float((weight.grad - other.grad).norm()) <= 1e-4 * largest, name
        # Adam's first step is as long whatever the gradient: where that is zero but for rounding, its sign is chance.
        sure = other.grad.abs() > 1e-4 * largest
        torch.testing.assert_close(weight[sure], other[sure], rtol=0, atol=1e-5)


def test_a_gaugan_step_is_the_plain_ways_but_for_spectral_norms_estimate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differences(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return (fake.float() - real).abs().mean()

    monkeypatch.setattr("benchmarks.compared.Networks.perceptual", lambda self: differences)
    for stage in ("teacher", "distill", "supernet"):
        both = plain_steps(bench, "gaugan", stage, 64), our_steps(bench, "gaugan", stage, 64, "32")
        for steps in both:
            steps()
        assert both[1].first == pytest.approx(both[0].first, rel=2e-2)


@pytest.mark.parametrize("count", [40, 300])
def test_frechet_distances_agree(count: int) -> None:
    draw = np.random.default_rng(0)
    features, other = (draw.gamma(0.5, 0.8, (count, 128)).astype(np.float32) for _ in range(2))
    expected = plain.frechet_distance(features, other)
    assert frechet_distance(features, Statistics.from_features(other)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("block", ["dense", "separable"])
def test_traced_macs_are_those_in_closed_form(block: Any) -> None:
    spec = GeneratorSpec(widths=5, block=block, size=32, blocks=3)
    assert plain.traced_macs(build_generator(spec)) == profile(spec).macs


def test_plain_and_our_loading_agree(bench: Bench) -> None:
    comparison = comparisons(bench)["loading, 64²"]()
    for work in comparison.group.variants.values():
        work()
    assert max(comparison.differs().values()) < 1e-5


def test_what_work_must_at_least_do() -> None:
    """A convolution of many channels is bound by its arithmetic, a sum by its bytes."""
    x, weight = torch.randn(1, 8, 16, 16), torch.randn(8, 8, 3, 3, requires_grad=True)
    with Counting(MACHINE) as counting:
        y = nn.functional.conv2d(x, weight, padding=1)
    assert counting.least.by_flops == pytest.approx(2 * 8 * 8 * 9 * 256 / 1e9)
    assert counting.least.limit == "FLOP/s"
    with Counting(MACHINE) as counting:
        y.sum().backward()  # of the weight alone: the input asks for no gradient
    assert counting.least.by_flops == pytest.approx(2 * 8 * 8 * 9 * 256 / 1e9)
    with Counting(MACHINE) as counting:
        torch.randn(1000).view(10, 100).T + 1
    assert counting.least.limit == "bytes/s"
    assert counting.least.of(2).seconds == pytest.approx(counting.least.seconds / 2)


def test_measurements_become_a_table_and_a_plot_and_are_not_made_twice(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    monkeypatch.setattr(Machine, "measure", classmethod(lambda cls, clock: MACHINE))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run(bench, ["pix2pix distillation step, 64", "loading, 64", "Inception"], 0, 2, folder)
    rows = list(csv.DictReader((folder / "speed.csv").open(encoding="utf-8")))
    assert [(row["measured"], row["variant"]) for row in rows] == [
        *(("pix2pix distillation step, 64²", variant) for variant in ("plain", "ours, 32", "ours, bf16")),
        *(("loading, 64²", variant) for variant in ("plain", "ours, 32")),
    ]
    assert {row["times"] for row in rows if row["variant"] == PLAIN} == {"1"}
    assert all(float(row["times_low"]) <= float(row["times"]) <= float(row["times_high"]) for row in rows)
    assert all(float(row["of_limit"]) > 0 for row in rows)
    said = capsys.readouterr()
    assert said.out.count("loading, 64²") == 2
    assert "Inception is left out" in said.err
    assert "pix2pix distillation step, 64²" in (folder / "speed.md").read_text(encoding="utf-8")
    assert (folder / "speed.svg").is_file()
    assert (folder / "speed.png").is_file()


def test_rows_of_two_machines_do_not_share_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "measure", classmethod(lambda cls, clock: MACHINE))
    path = tmp_path / "machine.json"
    assert describe(path, "wall") == describe(path, "wall")
    monkeypatch.setattr("torch.get_num_threads", lambda: 99)
    with pytest.raises(GancompError, match="measured on another machine"):
        describe(path, "wall")


def test_halving_saves_pictures_and_misses_what_noise_hides() -> None:
    draw = np.random.default_rng(0)
    scores, shared = np.arange(40.0), draw.normal(0, 30, 100)
    alike = scores[:, None] + shared  # pictures move all subnets together: no plan is led astray
    for plan in PLANS:
        outcome = halve(scores, plan, simulated(scores, alike, trials=50))
        assert (outcome.missed, outcome.regret) == (0, 0)
        assert outcome.share == pytest.approx(plan.rounds / plan.factor ** (plan.rounds - 1), rel=0.2)
    noisy = scores[:, None] + draw.normal(0, 10, (40, 100))
    outcome = halve(scores, PLANS[-1], simulated(scores, noisy, trials=200))
    assert 0 < outcome.missed < 1
    assert 0 < outcome.regret < outcome.worst


def test_halving_is_measured_by_the_features_of_every_subnet() -> None:
    draw = np.random.default_rng(0)
    pictures = draw.normal(0, 1, (32, 6)).astype(np.float32)
    reference = Statistics.from_features(pictures)
    far = np.linspace(0, 3, 8)[:, None, None]  # subnet 0 makes the real pictures, the others' are moved away
    features = (pictures + far).astype(np.float32)
    scores = np.array([frechet_distance(own, reference) for own in features])
    outcome = halve(scores, Halving(), measured(features, reference, trials=20))
    assert (outcome.missed, outcome.share) == (0, 0.5)
    order = [trial(np.arange(8), 4).tolist() for trial in measured(features, reference, trials=2)]
    assert order[0] != order[1]


def test_a_search_is_kept_for_halving(tmp_path: Path) -> None:
    (tmp_path / "search.csv").write_text("index,fid\n3,10.5\n4,9.25\n")
    (tmp_path / "replicates.csv").write_text("index,draw0,draw1\n3,10.123,11\n4,9,9.5\n")
    keep(tmp_path, 16, tmp_path / "scores" / "mine.csv")
    search, replicates = read(tmp_path / "scores" / "mine.csv")
    assert (search.name, search.pictures, search.scores.tolist()) == ("mine", 16, [10.5, 9.25])
    assert replicates.tolist() == [[10.12, 11.0], [9.0, 9.5]]
    rows = rows_of(search, "simulated", simulated(search.scores, replicates, trials=10))
    write(tmp_path, [{**row, "search": "other"} for row in rows])
    write(tmp_path, rows)
    write(tmp_path, rows)
    assert (tmp_path / "halving.md").read_text(encoding="utf-8").count("| other |") == len(PLANS)
    assert (tmp_path / "halving.md").read_text(encoding="utf-8").count("| mine |") == len(PLANS)
