"""What must hold of every stage whichever model is trained: bytes, resume, statistics, and what is inherited."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import DATASET, EXPERIMENT, TRAINS, Workspace, fake_inception, fake_perceptual, one_thread, train

from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures, to_float
from gancomp.elastic.calibrate import calibrate
from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import load_generator
from gancomp.nets.generator import Generator
from gancomp.objectives import terms
from gancomp.pipeline.checkpoints import load_tensors, read_header
from gancomp.pipeline.files import file_sha256, read_json
from gancomp.report.reading import read, read_log
from gancomp.report.records import SupernetMetrics
from gancomp.report.searched import Selection
from gancomp.search.tree import TreeWalk
from gancomp.train import cyclegan, gaugan, loop, run, stages
from tests.train.test_resume import same

MODELS = ("cyclegan", "gaugan")
STUDENTS = ("distill", "supernet", "finetune")
LOSSES = {
    ("cyclegan", False): ["d_loss", "g_gan", "g_cycle", "g_identity"],
    ("cyclegan", True): ["d_loss", "g_gan", "g_recon", "g_distill"],
    ("gaugan", False): ["d_loss", "g_gan", "g_feature", "g_perceptual"],
    ("gaugan", True): ["d_loss", "g_gan", "g_feature", "g_perceptual", "g_distill"],
}
WAYS_BACK = {"reverse.safetensors", "reverse_discriminator.safetensors"}


@pytest.fixture
def finished_of(request: pytest.FixtureRequest) -> Callable[[str], Workspace]:
    return lambda model: request.getfixturevalue(f"finished_{model}")


@pytest.fixture
def of_model(
    finished_of: Callable[[str], Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Workspace]]:
    """A copy of a model's finished experiment as the current folder, on one thread."""

    def copy(model: str) -> Workspace:
        own = finished_of(model).copy(tmp_path / "workspace")
        monkeypatch.chdir(own.folder)
        return own

    fake_inception(monkeypatch)
    fake_perceptual(monkeypatch)
    with one_thread():
        yield copy


def pictures_of(workspace: Workspace, split: Any) -> Pictures:
    config = workspace.config()
    return Pictures(workspace.folder / "data" / DATASET, (split,), config.datasets[DATASET].direction)


# --- what a stage writes -----------------------------------------------------------------------


@pytest.mark.parametrize("stage", TRAINS)
@pytest.mark.parametrize("model", MODELS)
def test_stage_folder(finished_of: Callable[[str], Workspace], model: str, stage: str) -> None:
    folder = finished_of(model).stage(stage)
    names = {"config.json", "log.csv", "metrics.json", "model.safetensors", "discriminator.safetensors"}
    if stage in STUDENTS:
        names |= {"maps.safetensors"}
    elif model == "cyclegan":
        names |= WAYS_BACK
    assert {path.name for path in folder.iterdir()} == names | {"samples"}
    assert list(read_log(folder / "log.csv", stage)[1]) == LOSSES[model, stage in STUDENTS]
    for name in names - {"config.json", "log.csv", "metrics.json"}:
        tensors = load_tensors(folder / name)[0]
        assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("stage", TRAINS)
@pytest.mark.parametrize("model", MODELS)
def test_interrupted_training_ends_in_the_same_bytes(
    finished_of: Callable[[str], Workspace],
    of_model: Callable[[str], Workspace],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    stage: str,
) -> None:
    """Pools, spectral norms, batch statistics and both learning rates included."""
    own = of_model(model)
    shutil.rmtree(own.stage(stage))
    steps = read_json(finished_of(model).stage(stage) / "metrics.json")["steps"]
    save_state = loop.save_state

    def save_and_stop(path: Path, signature: str, progressed: Any, parts: Any) -> None:
        save_state(path, signature, progressed, parts)
        if progressed.step == steps - 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
        patch.setattr(loop, "save_state", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(own.config(), stage)
    assert not own.stage(stage).exists()
    train(own.config(), stage)
    same(own.stage(stage), finished_of(model).stage(stage))
    assert not own.resume(stage).exists()


@pytest.mark.parametrize("model", MODELS)
def test_state_of_another_configuration_is_refused(
    of_model: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    own = of_model(model)
    monkeypatch.setattr(run, "forget_state", lambda folder: None)
    train(own.config(), "teacher")
    change = {"pool": 5} if model == "cyclegan" else {"lambda_feature": 1}
    with pytest.raises(GancompError, match="another configuration"):
        train(own.config(objective=change), "teacher")


@pytest.mark.parametrize(
    ("model", "stage", "module", "loss", "name"),
    [
        ("cyclegan", "teacher", cyclegan, "generator_loss", "g_gan"),
        ("cyclegan", "distill", terms, "distillation", "g_distill"),
        ("gaugan", "teacher", gaugan, "feature_matching_loss", "g_feature"),
        ("gaugan", "supernet", gaugan, "multiscale_discriminator_loss", "d_loss"),
    ],
)
def test_loss_that_is_not_finite_stops_the_stage(
    of_model: Callable[[str], Workspace],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    stage: str,
    module: Any,
    loss: str,
    name: str,
) -> None:
    own = of_model(model)
    before = file_sha256(own.stage(stage) / "model.safetensors")
    monkeypatch.setattr(module, loss, lambda *_: torch.tensor(math.nan, requires_grad=True))
    with pytest.raises(GancompError, match=rf"{stage}: .*{name}.* no longer finite at step 1"):
        train(own.config(), stage)
    assert file_sha256(own.stage(stage) / "model.safetensors") == before


def test_weights_of_a_pool_may_not_be_spoilt_either(
    of_model: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = of_model("cyclegan")
    step = cyclegan.CycleGan.step

    def spoil(recipe: Any, *batch: Any) -> Any:
        losses = step(recipe, *batch)
        recipe.networks["pool"].pictures[0] = math.nan
        return losses

    monkeypatch.setattr(cyclegan.CycleGan, "step", spoil)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(GancompError, match="a weight of the pool is no longer finite at step 1"):
        train(own.config(), "teacher")


# --- what is compared, and inherited -----------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_supernet_judges_its_extremes(finished_of: Callable[[str], Workspace], model: str) -> None:
    """As the search sees them; where no truth is known, against the teacher's pictures."""
    own = finished_of(model)
    metrics = read(own.stage("supernet") / "metrics.json", SupernetMetrics, "supernet")
    assert read_json(own.stage("supernet") / "metrics.json")["l1_against"] == (
        "teacher" if model == "cyclegan" else "truth"
    )
    whole, teacher = (load_generator(own.stage(name) / "model.safetensors") for name in ("supernet", "teacher"))
    pictures = pictures_of(own, "train-2")
    inputs = pictures.encode(pictures.inputs(range(len(pictures))))
    smallest = tuple(min(choices) for choices in own.config().experiments[EXPERIMENT].supernet.space)
    for widths, judged in ((whole.spec.widths, metrics.largest), (smallest, metrics.smallest)):
        with torch.inference_mode(), one_thread():
            out = calibrated(own, extract(whole, widths))(inputs)
            wanted = teacher(inputs) if model == "cyclegan" else to_float(pictures.targets(range(len(pictures))))
        assert judged.end["l1"] == pytest.approx((out - wanted).abs().mean().item() / 2, rel=1e-4)


def calibrated(workspace: Workspace, generator: Generator) -> Generator:
    config = workspace.config()
    settings = config.experiments[EXPERIMENT].calibration
    root = workspace.folder / "data" / DATASET
    calibrate(generator, calibration_batches(root, config.datasets[DATASET], settings, 7, "cpu")())
    return generator


def test_saved_networks_have_statistics_of_their_own_and_no_spectral_norm(finished_gaugan: Workspace) -> None:
    for stage in (*TRAINS, "subnet"):
        saved = load_generator(finished_gaugan.stage(stage) / "model.safetensors")
        tensors = saved.state_dict()
        assert not [name for name in tensors if "parametrizations" in name]
        with one_thread():
            again = calibrated(finished_gaugan, load_generator(finished_gaugan.stage(stage) / "model.safetensors"))
        counters = [tensor for name, tensor in tensors.items() if name.endswith("num_batches_tracked")]
        assert counters
        assert all(int(counter) == 2 for counter in counters), "two batches of 4 calibrate"
        for name, tensor in again.state_dict().items():
            assert torch.allclose(tensor, tensors[name], rtol=1e-3, atol=1e-5), (stage, name)
    discriminator = load_tensors(finished_gaugan.stage("finetune") / "discriminator.safetensors")[0]
    assert any("parametrizations" in name for name in discriminator), "it keeps its own"


@pytest.mark.parametrize("model", MODELS)
def test_winner_is_what_the_search_scored(finished_of: Callable[[str], Workspace], model: str) -> None:
    own = finished_of(model)
    winner = Selection.model_validate(read_json(own.stage("search") / "selection.json")).winner
    whole, subnet = (load_generator(own.stage(name) / "model.safetensors") for name in ("supernet", "subnet"))
    assert subnet.spec.widths == winner.widths
    pictures = pictures_of(own, "train-2")
    inputs = pictures.encode(pictures.inputs(range(4)))
    config = own.config()
    calibration = calibration_batches(
        own.folder / "data" / DATASET, config.datasets[DATASET], config.experiments[EXPERIMENT].calibration, 7, "cpu"
    )
    scored = Subnet(winner.index, winner.widths, profile(subnet.spec))
    with torch.inference_mode(), one_thread():
        ((_, out),) = TreeWalk(whole, calibration)([scored], inputs)
        assert (out - subnet(inputs)).abs().max() < 1e-5
        if model == "gaugan":
            uncalibrated = extract(whole, winner.widths)(inputs)
            assert (uncalibrated - subnet(inputs)).abs().max() > 1e-3


def test_students_of_unpaired_pictures_are_judged_without_their_inputs(finished_cyclegan: Workspace) -> None:
    for stage in ("teacher", *STUDENTS):
        tensors = load_tensors(finished_cyclegan.stage(stage) / "discriminator.safetensors")[0]
        assert tensors["model.0.weight"].shape[1] == 3


def test_narrow_baseline_is_uniform(finished_of: Callable[[str], Workspace]) -> None:
    for model in MODELS:
        narrow = read_header(finished_of(model).stage("narrow") / "model.safetensors").spec
        original = read_header(finished_of(model).stage("original") / "model.safetensors").spec
        assert len(set(narrow.widths)) == 1
        assert narrow.block == "dense"
        assert profile(narrow).macs < profile(original).macs


# --- naive unpaired training -------------------------------------------------------------------


def test_naive_training_goes_on_with_the_teachers_way_back(of_model: Callable[[str], Workspace]) -> None:
    own = of_model("cyclegan")
    config = own.config(objective={"pseudo_pairs": False})
    chain = ("teacher", "distill", "supernet", "subnet", "finetune")
    for stage in chain:
        if stage == "subnet":
            stages.extract_winner(config, EXPERIMENT)
        else:
            train(config, stage)
    assert list(read_log(own.stage("distill") / "log.csv", "distill")[1]) == [
        "d_loss",
        "g_gan",
        "g_cycle",
        "g_identity",
        "g_distill",
    ]
    for name in WAYS_BACK:
        hashes = {stage: file_sha256(own.stage(stage) / name) for stage in chain}
        assert hashes["subnet"] == hashes["supernet"]
        assert len(set(hashes.values())) == len(chain) - 1, "trained along in every other stage"


def test_naive_training_begins_with_the_teachers_networks(
    of_model: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = of_model("cyclegan")
    begun: dict[str, dict[str, torch.Tensor]] = {}

    def fit(recipe: Any, *_: Any, **__: Any) -> None:
        begun.update({name: network.state_dict() for name, network in recipe.networks.items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        train(own.config(objective={"pseudo_pairs": False}), "distill")
    for name in ("discriminator", "reverse", "reverse_discriminator"):
        saved = load_tensors(own.stage("teacher") / f"{name}.safetensors")[0]
        assert saved.keys() == begun[name].keys()
        assert all(torch.equal(saved[key], begun[name][key]) for key in saved)


# --- networks from elsewhere -------------------------------------------------------------------


@pytest.fixture
def elsewhere(workspace: Workspace) -> dict[str, str]:
    """A generator and its discriminator, outside of the experiment."""
    files = {}
    for key, name in (("checkpoint", "model"), ("discriminator", "discriminator")):
        files[key] = f"elsewhere/{name}.safetensors"
        Path("elsewhere").mkdir(exist_ok=True)
        shutil.copyfile(workspace.stage("teacher") / f"{name}.safetensors", files[key])
    return files


@pytest.mark.parametrize("with_discriminator", [True, False])
def test_imported_teacher(
    workspace: Workspace, elsewhere: dict[str, str], capsys: pytest.CaptureFixture[str], with_discriminator: bool
) -> None:
    source = elsewhere if with_discriminator else {"checkpoint": elsewhere["checkpoint"]}
    config = workspace.config(teacher=source)
    train(config, "teacher")
    folder = workspace.stage("teacher")
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "log.csv",
        "metrics.json",
        "model.safetensors",
        "discriminator.safetensors",
    }
    for name in ("model", "discriminator"):
        mine, theirs = (load_tensors(path / f"{name}.safetensors")[0] for path in (folder, Path("elsewhere")))
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs) == (name == "model" or with_discriminator)
    header = read_header(folder / "model.safetensors")
    assert (header.experiment, header.stage) == (EXPERIMENT, "teacher")
    metrics = read_json(folder / "metrics.json")
    assert metrics["imported"] == {
        "checkpoint": elsewhere["checkpoint"],
        "sha256": file_sha256(elsewhere["checkpoint"]),
        "discriminator": source.get("discriminator"),
    }
    assert metrics["steps"] == metrics["images"] == 0
    assert read_log(folder / "log.csv", "teacher") == ([], {})
    assert ("comes without its discriminator" in capsys.readouterr().out) is not with_discriminator

    train(config, "distill")


def test_imported_original_keeps_its_statistics(workspace: Workspace) -> None:
    """Calibration is of what was trained here; a published network's statistics are its own."""
    changes: dict[str, Any] = {"generator": {"norm": "batch"}, "calibration": {"images": 8, "batch": 4}}
    train(workspace.config(**changes), "original")
    Path("elsewhere").mkdir()
    shutil.copyfile(workspace.stage("original") / "model.safetensors", "elsewhere/model.safetensors")
    before = load_tensors("elsewhere/model.safetensors")[0]
    config = workspace.config(**changes | {"original": {"checkpoint": "elsewhere/model.safetensors"}})
    train(workspace.config(**changes | {"calibration": {"images": 4, "batch": 2}}), "original")
    other = load_tensors(workspace.stage("original") / "model.safetensors")[0]
    assert any(not torch.equal(other[name], before[name]) for name in before if name.endswith("running_mean"))
    train(config, "original")
    after = load_tensors(workspace.stage("original") / "model.safetensors")[0]
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": 5}, r"elsewhere/model\.safetensors.*teacher\.widths: 6"),
        ({"checkpoint": "elsewhere/nothing.safetensors"}, r"elsewhere/nothing\.safetensors: no such file"),
        ({"discriminator": "elsewhere/model.safetensors"}, r"elsewhere/model\.safetensors: "),
    ],
)
def test_what_does_not_fit_is_refused(
    workspace: Workspace, elsewhere: dict[str, str], change: dict[str, Any], message: str
) -> None:
    before = file_sha256(workspace.stage("teacher") / "model.safetensors")
    with pytest.raises(GancompError, match=message):
        train(workspace.config(teacher=elsewhere | change), "teacher")
    assert file_sha256(workspace.stage("teacher") / "model.safetensors") == before


def test_imported_teacher_has_no_way_back(of_model: Callable[[str], Workspace]) -> None:
    own = of_model("cyclegan")
    teacher = {"checkpoint": "results/tiny/original/model.safetensors", "block": "dense", "widths": 8}
    config = own.config(objective={"pseudo_pairs": False}, teacher=teacher, distill={"prune": False})
    with pytest.raises(GancompError, match=r"pseudo_pairs: false .* holds none"):
        train(config, "teacher")
    train(own.config(teacher=teacher, distill={"prune": False}), "teacher")


# --- other generators of pix2pix ---------------------------------------------------------------


def test_resnet_with_batch_norm_goes_all_the_way(workspace: Workspace) -> None:
    config = workspace.config(generator={"norm": "batch"}, calibration={"images": 8, "batch": 4})
    for stage in ("teacher", "distill", "supernet"):
        train(config, stage)
    stages.extract_winner(config, EXPERIMENT)
    train(config, "finetune")
    for stage in ("teacher", "distill", "supernet", "subnet", "finetune"):
        tensors = load_tensors(workspace.stage(stage) / "model.safetensors")[0]
        counters = {int(value) for name, value in tensors.items() if name.endswith("num_batches_tracked")}
        assert counters == {2}, stage


def test_unet_is_trained_alone(workspace: Workspace) -> None:
    settings = workspace.settings(
        generator={"family": "unet", "downs": 3}, original={"widths": 3}, calibration={"images": 8, "batch": 4}
    )
    for section in ("teacher", "distill", "supernet"):
        del settings["experiments"][EXPERIMENT][section]
    from gancomp.config.loading import parse

    config = parse(settings)
    train(config, "original")
    saved = load_generator(workspace.stage("original") / "model.safetensors")
    assert saved.spec.family == "unet"
    with pytest.raises(GancompError, match="has no stage teacher"):
        train(config, "teacher")
