"""The training stages: what each starts from, what it writes, and what each switch of the objective changes."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import DATASET, EXPERIMENT, TRAINS, Workspace, train

from gancomp.data.datasets import Pictures, to_float
from gancomp.elastic.pruning import prune
from gancomp.elastic.slicing import Elastic, extract
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import build_generator, load_generator
from gancomp.nets.resize import hold_resize
from gancomp.objectives.distill import MappedGenerator
from gancomp.pipeline.checkpoints import load_tensors, read_header
from gancomp.pipeline.files import read_json
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import stages_of
from gancomp.report.reading import read, read_log
from gancomp.report.records import SupernetMetrics
from gancomp.report.searched import Selection
from gancomp.spec import GeneratorSpec
from gancomp.train import run, stages
from gancomp.train.student import Student

STUDENTS = ("distill", "supernet", "finetune")


def equal(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors (their headers may differ)."""
    first, second = load_tensors(one)[0], load_tensors(other)[0]
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- what a stage writes -----------------------------------------------------------------------


@pytest.mark.parametrize("stage", TRAINS)
def test_stage_folder(finished: Workspace, stage: str) -> None:
    config, folder = finished.config(), finished.stage(stage)
    names = {"config.json", "log.csv", "metrics.json", "samples", "model.safetensors", "discriminator.safetensors"}
    assert {path.name for path in folder.iterdir()} == names | ({"maps.safetensors"} if stage in STUDENTS else set())

    assert read_json(folder / "config.json") == stage_settings(config, EXPERIMENT, stage)
    header = read_header(folder / "model.safetensors")
    assert (header.experiment, header.stage) == (EXPERIMENT, stage)
    assert header.signature == signature(config, EXPERIMENT, stage)

    metrics = read_json(folder / "metrics.json")
    assert metrics["seed"] == 7
    assert metrics["data_hash"] == read_json(finished.folder / "data" / DATASET / "manifest.json")["data_hash"]
    assert metrics["images"] == 4 * metrics["steps"]
    assert metrics["pictures"] == (23 if stage in ("distill", "supernet") else 30), "train-2 is for the search"
    images, losses = read_log(folder / "log.csv", stage)
    assert images[-1] == metrics["images"]
    expected = ["d_loss", "g_gan", "g_recon"] + (["g_distill"] if stage in STUDENTS else [])
    assert list(losses) == expected


def test_architectures(finished: Workspace) -> None:
    specs = {stage: read_header(finished.stage(stage) / "model.safetensors").spec for stage in TRAINS}
    assert {stage: spec.block for stage, spec in specs.items()} == {
        stage: "dense" if stage in ("original", "narrow") else "separable" for stage in TRAINS
    }
    assert specs["original"].widths == (8,) * 8
    assert specs["teacher"].widths == (6,) * 8
    assert specs["distill"].widths == (4,) * 8
    assert specs["supernet"].widths == (4, 4, 4, 3, 4, 4, 4, 3), "the largest subnet of the space"
    winner = Selection.model_validate(read_json(finished.stage("search") / "selection.json")).winner
    assert specs["finetune"].widths == winner.widths


@given(st.integers(2, 24), st.integers(1, 10**7))
def test_uniform_baseline_is_the_closest(width: int, macs: int) -> None:
    original = GeneratorSpec(widths=width, size=16, blocks=3)
    chosen = stages.uniform_of_about(original, macs)
    assert len(set(chosen.widths)) == 1
    distances = [abs(profile(original.with_widths((w,) * 8)).macs - macs) for w in range(1, width + 1)]
    assert abs(profile(chosen).macs - macs) == min(distances)


def test_hidden_channels_of_the_uniform_baseline_shrink_with_its_width() -> None:
    usual = GeneratorSpec.model_validate({"family": "spade", "widths": 4, "size": 128, "in_channels": 4})
    macs = profile(usual.with_widths((1,) * 8)).macs
    assert stages.uniform_of_about(usual.model_copy(update={"hidden": 64}), macs) == usual.with_widths((1,) * 8)


@pytest.mark.parametrize(
    ("stage", "needed"),
    [
        ("distill", "teacher/model.safetensors"),
        ("distill", "teacher/discriminator.safetensors"),
        ("supernet", "distill/maps.safetensors"),
        ("finetune", "subnet/model.safetensors"),
        ("narrow", "search/selection.json"),
    ],
)
def test_missing_upstream_is_named(workspace: Workspace, stage: str, needed: str) -> None:
    (workspace.stage(needed.split("/")[0]) / needed.split("/")[1]).unlink()
    with pytest.raises(GancompError) as caught:
        train(workspace.config(), stage)
    assert needed in str(caught.value)
    assert f"gancomp {needed.split('/')[0]} {EXPERIMENT}" in str(caught.value)
    assert not workspace.resume(stage).exists()


# --- the switches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("original", {"seed": 8}),
        ("original", {"objective": {"lambda_recon": 10}}),
        ("original", {"objective": {"gan": "lsgan"}}),
        ("distill", {"seed": 8}),
        ("distill", {"objective": {"lambda_distill": 0}}),
        ("distill", {"objective": {"lambda_recon": 10}}),
        ("distill", {"objective": {"distillation": "output"}}),
        ("distill", {"objective": {"distillation": "fsp"}}),
        ("distill", {"distill": {"prune": False}}),
        ("distill", {"distill": {"inherit_discriminator": False}}),
        ("supernet", {"objective": {"lambda_distill": 0}}),
        ("supernet", {"supernet": {"sampler": "sandwich"}}),
        ("supernet", {"supernet": {"adam": "drawn"}}),
        ("finetune", {"objective": {"lambda_distill": 0}}),
    ],
    ids=str,
)
def test_switch_changes_the_weights(
    finished: Workspace, workspace: Workspace, stage: str, change: dict[str, Any]
) -> None:
    train(workspace.config(**change), stage)
    for name in ("model.safetensors", "discriminator.safetensors"):
        assert not equal(workspace.stage(stage) / name, finished.stage(stage) / name)


def test_transposed_convolutions_stay_resizing(workspace: Workspace) -> None:
    """Whatever is trained, at every width: the kernels of each stage are those that `up: resize` allows."""
    config = workspace.config(generator={"up": "resize"}, finetune={"quantise": "int8"})
    for stage in ("original", "teacher", "distill", "supernet"):
        train(config, stage)
    stages.extract_winner(config, EXPERIMENT)
    train(config, "finetune")
    for stage in ("original", "teacher", "distill", "supernet", "subnet", "finetune"):
        generator = load_generator(workspace.stage(stage) / "model.safetensors")
        assert generator.spec.up == "resize"
        free = [layer.weight.clone() for layer in generator.modules() if isinstance(layer, torch.nn.ConvTranspose2d)]
        hold_resize(generator)
        held = [layer.weight for layer in generator.modules() if isinstance(layer, torch.nn.ConvTranspose2d)]
        assert len(held) == 2
        for before, after in zip(free, held, strict=True):
            torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


def first_networks(config: Any, stage: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """The weights with which a stage begins."""
    begun: dict[str, dict[str, torch.Tensor]] = {}

    def fit(recipe: Any, *_: Any, **__: Any) -> None:
        begun.update({name: network.state_dict() for name, network in recipe.networks.items()})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "fit", fit)
        with pytest.raises(KeyboardInterrupt):
            train(config, stage)
    return begun


def all_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_student_begins_as_the_pruned_teacher(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = load_generator(workspace.stage("teacher") / "model.safetensors")
    pruned = {
        f"generator.{k}": v
        for k, v in prune(teacher.state_dict(), teacher.spec, teacher.spec.with_widths((4,) * 8)).items()
    }
    inherited = load_tensors(workspace.stage("teacher") / "discriminator.safetensors")[0]

    begun = first_networks(workspace.config(), "distill", monkeypatch)
    own = {name: value for name, value in begun["student"].items() if not name.startswith("maps.")}
    assert all_equal(own, pruned)
    assert all_equal(begun["discriminator"], inherited)

    fresh = first_networks(
        workspace.config(distill={"prune": False, "inherit_discriminator": False}), "distill", monkeypatch
    )
    assert not any(torch.equal(fresh["student"][name], pruned[name]) for name in pruned if name.endswith("weight"))
    assert not all_equal(fresh["discriminator"], inherited)


def test_supernet_begins_as_the_distilled_student(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its widths may be less than the student's: the leading blocks, with maps and discriminator."""
    begun = first_networks(workspace.config(), "supernet", monkeypatch)
    distilled = load_generator(workspace.stage("distill") / "model.safetensors")
    leading = extract(distilled, (4, 4, 4, 3, 4, 4, 4, 3)).state_dict()
    maps = load_tensors(workspace.stage("distill") / "maps.safetensors")[0]
    expected = {f"generator.{k}": v for k, v in leading.items()} | {f"maps.{k}": v for k, v in maps.items()}
    assert all_equal(begun["student"], expected)
    inherited = load_tensors(workspace.stage("distill") / "discriminator.safetensors")[0]
    assert all_equal(begun["discriminator"], inherited)


@pytest.mark.parametrize("stage", STUDENTS)
def test_training_a_student_changes_nothing_else(workspace: Workspace, stage: str) -> None:
    """Neither the teacher's files nor those of any other stage."""

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()}

    before = files()
    train(workspace.config(objective={"lambda_distill": 2}), stage)
    changed = {path for path, content in files().items() if before.get(path) != content}
    assert before.keys() == files().keys()
    own = workspace.stage(stage)
    assert {Path(path).parent for path in changed} == {own, own / "samples"}
    assert str(workspace.stage(stage) / "model.safetensors") in changed


# --- once-for-all ------------------------------------------------------------------------------


def test_every_subnet_is_drawn(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each width uniformly and independently: no one of 64 subnets is missing after 1000 steps."""
    drawn: list[tuple[int, ...]] = []

    def step(own: Student, inputs: Any, targets: Any, draw: np.random.Generator) -> dict[str, torch.Tensor]:
        (widths,) = own.choose_widths(draw)
        assert widths is not None
        drawn.append(tuple(widths))
        return dict.fromkeys(own.loss_names, torch.zeros(()))

    monkeypatch.setattr(Student, "step", step)
    train(workspace.config(supernet={"epochs_const": 100, "epochs_decay": 100}), "supernet")
    space = workspace.config().experiments[EXPERIMENT].supernet.space
    assert len(drawn) == 1000
    assert set(drawn) == set(itertools.product(*space))
    for position, choices in enumerate(space):
        counts = Counter(widths[position] for widths in drawn)
        assert all(abs(counts[choice] - 1000 / len(choices)) < 80 for choice in choices)  # five standard deviations
    pairs = Counter((widths[4], widths[5]) for widths in drawn)
    assert all(abs(count - 250) < 70 for count in pairs.values())


def test_sandwich_is_the_largest_the_smallest_and_one_at_random(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    thirds = set()

    def step(own: Student, inputs: Any, targets: Any, draw: np.random.Generator) -> dict[str, torch.Tensor]:
        largest, smallest, third = own.choose_widths(draw)
        assert (largest, smallest) == (supernet.largest, supernet.smallest)
        thirds.add(third)
        return dict.fromkeys(own.loss_names, torch.zeros(()))

    monkeypatch.setattr(Student, "step", step)
    config = workspace.config(supernet={"sampler": "sandwich", "epochs_const": 10})
    supernet = config.experiments[EXPERIMENT].supernet
    train(config, "supernet")
    assert len(thirds) > 10


def test_the_original_may_teach_a_supernet_that_starts_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shorter pipeline of Fast GAN Compression: no teacher and no distillation, the original's discriminator."""
    config = workspace.config(teacher="original", distill=None)
    assert not {"teacher", "distill"} & set(stages_of(config, EXPERIMENT))
    begun = first_networks(config, "supernet", monkeypatch)
    inherited, _ = load_tensors(workspace.stage("original") / "discriminator.safetensors")
    assert all_equal(begun["discriminator"], inherited)
    for stage in ("teacher", "distill"):
        shutil.rmtree(workspace.stage(stage))
    train(config, "supernet")
    largest = load_generator(workspace.stage("supernet") / "model.safetensors")
    assert largest.spec.widths == config.experiments[EXPERIMENT].supernet.largest


def test_from_scratch_has_the_winners_widths_and_nothing_else_of_it(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = load_generator(finished.stage("subnet") / "model.safetensors")
    begun = first_networks(workspace.config(), "scratch", monkeypatch)
    assert not all_equal(begun["generator"], winner.state_dict())
    train(workspace.config(), "scratch")
    assert load_generator(workspace.stage("scratch") / "model.safetensors").spec == winner.spec


def test_supernet_judges_its_extremes(finished: Workspace) -> None:
    metrics = read(finished.stage("supernet") / "metrics.json", SupernetMetrics, "supernet")
    whole = load_generator(finished.stage("supernet") / "model.safetensors")
    pictures = Pictures(finished.folder / "data" / DATASET, ("train-2",), "AtoB")
    inputs, targets = (to_float(side) for side in pictures.batch(range(len(pictures))))
    for widths, judged in (((4, 4, 4, 3, 4, 4, 4, 3), metrics.largest), ((4, 3, 2, 3, 2, 1, 2, 2), metrics.smallest)):
        with torch.inference_mode():
            error = (extract(whole, widths)(inputs) - targets).abs().mean().item() / 2
        assert judged.end["l1"] == pytest.approx(error, rel=1e-4)
        assert judged.start["l1"] != judged.end["l1"]
    assert metrics.improved == (metrics.smallest.end["l1"] < metrics.smallest.start["l1"])
    assert metrics.improved, "ten steps suffice on these pictures"


@pytest.mark.parametrize(("end", "failed"), [(0.4, True), (0.3, True), (0.2, False)])
def test_training_that_failed_says_so(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: float,
    failed: bool,
) -> None:
    judged = iter([0.5, 0.3, 0.1, end])  # largest and smallest, at the start and at the end
    monkeypatch.setattr(stages, "_judge", lambda *_: next(judged))
    train(workspace.config(supernet={"epochs_const": 0.2, "epochs_decay": 0}), "supernet")
    told = capsys.readouterr().out
    assert "largest subnet, L1 on train-2: 0.5000 → 0.1000" in told
    assert f"smallest subnet, L1 on train-2: 0.3000 → {end:.4f}" in told
    assert ("TRAINING FAILED: the smallest subnet did not improve" in told) == failed
    metrics = read_json(workspace.stage("supernet") / "metrics.json")
    assert metrics["improved"] is not failed
    assert metrics["smallest"] == {"start": {"l1": 0.3}, "end": {"l1": end}}
    assert metrics["largest"] == {"start": {"l1": 0.5}, "end": {"l1": 0.1}}


# --- the winner --------------------------------------------------------------------------------


def test_winner_is_the_supernet_at_its_widths(finished: Workspace) -> None:
    winner = Selection.model_validate(read_json(finished.stage("search") / "selection.json")).winner
    whole = load_generator(finished.stage("supernet") / "model.safetensors")
    subnet = load_generator(finished.stage("subnet") / "model.safetensors")
    assert subnet.spec == whole.spec.with_widths(winner.widths)
    elastic = Elastic(whole, lambda widths: build_generator(whole.spec.with_widths(widths)))
    pictures = Pictures(finished.folder / "data" / DATASET, ("val",), "AtoB")
    x = to_float(pictures.batch(range(len(pictures)))[0])
    with torch.inference_mode():
        difference = (elastic(x, winner.widths) - subnet(x)).abs().max()
        assert difference < 1e-5
        assert (whole(x) - subnet(x)).abs().max() > 1e-3, "another subnet gives other pictures"


def test_winner_inherits_maps_and_discriminator(finished: Workspace) -> None:
    whole, subnet = finished.stage("supernet"), finished.stage("subnet")
    name = "discriminator.safetensors"
    assert (subnet / name).read_bytes() == (whole / name).read_bytes()

    maps, own = (load_tensors(folder / "maps.safetensors")[0] for folder in (whole, subnet))
    assert maps.keys() == own.keys()
    for key, tensor in own.items():
        assert torch.equal(tensor, maps[key][tuple(slice(length) for length in tensor.shape)])
    widths = read_header(subnet / "model.safetensors").spec.widths
    student = MappedGenerator(load_generator(subnet / "model.safetensors"), [24] * 4)
    student.maps.load_state_dict(own)
    assert [weight.shape[1] for key, weight in own.items() if key.endswith("weight")] == [4 * widths[2]] * 4


def test_another_winner_is_another_subnet(workspace: Workspace) -> None:
    path = workspace.stage("search") / "selection.json"
    selection = Selection.model_validate(read_json(path))
    other = selection.winner.model_copy(update={"widths": (4, 3, 2, 3, 2, 1, 2, 2)})
    path.write_text(selection.model_copy(update={"winner": other}).model_dump_json())
    stages.extract_winner(workspace.config(), EXPERIMENT)
    assert read_header(workspace.stage("subnet") / "model.safetensors").spec.widths == (4, 3, 2, 3, 2, 1, 2, 2)


@pytest.mark.parametrize("stage", ["finetune", "supernet"])
def test_log_rows_are_numbers(finished: Workspace, stage: str) -> None:
    with (finished.stage(stage) / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert float(rows[-1]["lr"]) < float(rows[0]["lr"]) == 1e-3
    seconds = [float(row["elapsed_seconds"]) for row in rows]
    assert seconds == sorted(seconds)


# --- devices -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_stages_train_on_a_gpu(workspace: Workspace, precision: str) -> None:
    """Without a change, also from what a processor trained."""
    config = workspace.config(precision=precision)
    for stage, function in TRAINS.items():
        getattr(stages, function)(config, EXPERIMENT, "cuda")
        assert read_json(workspace.stage(stage) / "metrics.json")["device"].startswith("cuda")
        tensors = load_tensors(workspace.stage(stage) / "model.safetensors")[0]
        assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize(
    ("stage", "place", "foreign"),
    [("distill", "teacher", "original"), ("supernet", "distill", "teacher"), ("finetune", "subnet", "supernet")],
)
def test_the_file_of_another_stage_is_refused(workspace: Workspace, stage: str, place: str, foreign: str) -> None:
    """It ended in a traceback, or in a training that began from other weights."""
    shutil.copyfile(workspace.stage(foreign) / "model.safetensors", workspace.stage(place) / "model.safetensors")
    with pytest.raises(GancompError, match=f"{place}/model.safetensors: contains .*'{foreign}' instead of '{place}'"):
        train(workspace.config(), stage)


# --- fine-tuning --------------------------------------------------------------------------------


#: What fine-tuning's own settings do not change.
NOT_OF_FINETUNING = ("original", "teacher", "distill", "supernet", "scores", "search", "subnet", "narrow")


def test_fine_tuning_may_weigh_the_terms_otherwise(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights there alone, so that what comes before it is not trained anew."""
    config = workspace.config(finetune={"terms": {"gan": 10, "distill": 0}})
    for stage in NOT_OF_FINETUNING:
        assert signature(config, EXPERIMENT, stage) == signature(workspace.config(), EXPERIMENT, stage)
    assert signature(config, EXPERIMENT, "finetune") != signature(workspace.config(), EXPERIMENT, "finetune")
    seen: dict[str, dict[str, float]] = {}
    steps = Student.step

    def step(own: Student, *args: Any) -> dict[str, torch.Tensor]:
        seen.setdefault(stage, dict(own.weights))
        return steps(own, *args)

    monkeypatch.setattr(Student, "step", step)
    for stage in ("distill", "finetune"):
        train(config, stage)
    assert seen == {"distill": {"gan": 1, "recon": 100, "distill": 1}, "finetune": {"gan": 10, "recon": 100}}


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"gram": 1}, "gram is no term of the objective"),
        ({"gan": 0, "recon": 0, "distill": 0}, "no term has a weight, so the winner would learn nothing"),
    ],
)
def test_fine_tuning_can_compute_its_terms(workspace: Workspace, terms: dict[str, float], why: str) -> None:
    with pytest.raises(GancompError, match=f"experiments.{EXPERIMENT}.finetune.terms: {why}"):
        workspace.config(finetune={"terms": terms})


# --- snapshots ---------------------------------------------------------------------------------


def test_snapshots_are_the_generator_on_the_way(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it was then, whether or not the training was stopped in between; the last is the stage's own."""
    config = workspace.config(distill={"snapshots": 5})
    assert signature(config, EXPERIMENT, "distill") != signature(workspace.config(), EXPERIMENT, "distill")
    seen: dict[int, dict[str, torch.Tensor]] = {}
    steps = Student.step

    def step(own: Student, *args: Any) -> dict[str, torch.Tensor]:
        losses = steps(own, *args)
        whole = own.networks["student"].generator.state_dict()
        seen[4 * (len(seen) + 1)] = {name: tensor.clone() for name, tensor in whole.items()}
        return losses

    monkeypatch.setattr(Student, "step", step)
    train(config, "distill")
    files = sorted((workspace.stage("distill") / "snapshots").iterdir())
    assert [int(file.stem) for file in files] == [8, 16, 24, 32], "of ten steps of four pictures"
    for file in files:
        kept = load_generator(file).state_dict()
        assert all(torch.equal(kept[name], tensor) for name, tensor in seen[int(file.stem)].items())
    assert load_generator(files[0]).spec == load_generator(workspace.stage("distill") / "model.safetensors").spec


def test_snapshots_of_a_training_by_int8_numbers_are_plain(workspace: Workspace) -> None:
    config = workspace.config(finetune={"quantise": "int8", "snapshots": 2})
    train(config, "finetune")
    files = [*(workspace.stage("finetune") / "snapshots").iterdir(), workspace.stage("finetune") / "model.safetensors"]
    before = load_generator(workspace.stage("subnet") / "model.safetensors").state_dict()
    assert len(files) == 2
    for file in files:
        own = load_generator(file).state_dict()
        assert own.keys() == before.keys()
        assert any(not torch.equal(own[name], value) for name, value in before.items())


def test_the_best_of_the_snapshots_is_told_beside_the_last(workspace: Workspace) -> None:
    from gancomp.measure.evaluate import evaluate
    from gancomp.report.records import Evaluation

    config = workspace.config(distill={"snapshots": 2})
    train(config, "distill")
    evaluate(config, EXPERIMENT, "distill", "cpu")
    record = read(workspace.stage("distill") / "evaluation.json", Evaluation, "distill")
    assert set(record.snapshots) == {20}
    assert record.best("fid") == min(record.fid, record.snapshots[20].fid)
    evaluate(config, EXPERIMENT, "teacher", "cpu")
    without = read(workspace.stage("teacher") / "evaluation.json", Evaluation, "teacher")
    assert without.best("fid") is None


def test_a_supernet_has_no_snapshots(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match="snapshots: do not apply to a once-for-all network"):
        workspace.config(supernet={"snapshots": 3})
