"""OMGD: teachers that train while they teach, and a student that sees neither the truth nor a discriminator."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import EXPERIMENT, Workspace, train, working_copy
from torch import Tensor
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.calibrate import calibrate
from gancomp.elastic.slicing import Elastic
from gancomp.errors import GancompError
from gancomp.nets import build_generator, load_generator
from gancomp.nets.deep import build_deep
from gancomp.nets.discriminators import PatchDiscriminator, SharedDiscriminator
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import MappedGenerator
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.objectives.terms import channel_loss, ssim
from gancomp.pipeline.checkpoints import load_tensors
from gancomp.pipeline.stages import stages_of
from gancomp.spec import GeneratorSpec, Norm
from gancomp.train import loop, teaching
from gancomp.train.cyclegan import Reverse
from gancomp.train.device import Machine, make_fabric
from gancomp.train.online import AlternatingStudent, OnlineStudent
from gancomp.train.run import StageRun
from gancomp.train.stages import extract_winner
from gancomp.train.teachers import fid_of_teachers

#: Without the terms that look through a perceptual network.
OMGD: dict[str, Any] = {"distillation": "omgd", "lambda_distill": 5, "terms": {"gram": 0, "content": 0}}


def spec(widths: int, norm: Norm = "instance") -> GeneratorSpec:
    return GeneratorSpec(widths=widths, block="separable", norm=norm, size=16, blocks=3)


def recipe(**omgd: Any) -> OnlineStudent:
    torch.manual_seed(0)
    teachers = {"wide": build_generator(spec(4)), "deep": build_deep(spec(2))}
    channels = teachers["wide"].feature_channels()
    whole = MappedGenerator(build_generator(spec(2)), channels, ("channel",))
    objective = Objective.model_validate(OMGD | {"omgd": omgd})
    discriminator = SharedDiscriminator(6, 4, 2, judged=2, shared=2)
    elastic = Elastic(whole, lambda widths: whole.like(build_generator(spec(2).with_widths(widths))))
    return OnlineStudent(make_fabric("32", "cpu"), elastic, teachers, discriminator, objective, Training(lr=0.02))


def batch() -> tuple[Tensor, Tensor]:
    return tuple(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(part)) * 2 - 1 for part in (1, 2))


def changed(before: Any, now: Any) -> bool:
    return not all(torch.equal(a, b) for a, b in zip(before.parameters(), now.parameters(), strict=True))


def test_a_step_by_the_formulas() -> None:
    own = recipe()
    old = copy.deepcopy(own.networks)
    x, y = batch()
    losses = own.step(x, y, rng.generator(0, "test"))

    wide, activations = old["wide"].with_features(x)
    deep = old["deep"](x)
    made, found = old["student"](x)
    seen = old["discriminator"](torch.stack([conditional(x, wide), conditional(x, deep)]), conditional(x, y))
    d_loss = sum(discriminator_loss("hinge", scores[2:], scores[:2]) for scores in seen)
    expected = {
        "d_loss": d_loss,
        "wide_gan": generator_loss("hinge", seen[0][:2]),
        "deep_gan": generator_loss("hinge", seen[1][:2]),
        "wide_recon": F.l1_loss(wide, y),
        "deep_recon": F.l1_loss(deep, y),
        "g_channel": channel_loss(found["channel"], activations),
        "g_ssim": 2 - ssim(made, wide) - ssim(made, deep),
    }
    assert {name: losses[name].item() for name in expected} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-3
    )
    assert all(changed(old[name], own.networks[name]) for name in ("student", "wide", "deep", "discriminator"))

    # The student's gradient is of the teachers' pictures from before their step.
    total = 5 * expected["g_channel"] + 10 * expected["g_ssim"] + losses["g_tv"].item() * 0
    variation = sum(2 * part.abs().sum() for part in (made.diff(dim=2), made.diff(dim=3)))
    (total + 1e-5 * variation).backward()
    for name, weight in old["student"].named_parameters():
        torch.testing.assert_close(own.networks["student"].get_parameter(name).grad, weight.grad, rtol=1e-3, atol=1e-5)


def test_the_truth_reaches_the_student_through_its_teachers_alone() -> None:
    steps = []
    for flip in (1, -1):
        own = recipe()
        x, y = batch()
        own.step(x, flip * y, rng.generator(0, "test"))
        steps.append(own)
    assert not changed(steps[0].networks["student"], steps[1].networks["student"])
    assert changed(steps[0].networks["wide"], steps[1].networks["wide"])


def test_teachers_step_in_their_turn() -> None:
    own = recipe(every=3)
    moved = []
    for step in range(7):
        before = copy.deepcopy(own.networks)
        own.step(*batch(), rng.generator(0, "test", step))
        assert changed(before["student"], own.networks["student"])
        teachers = [changed(before[name], own.networks[name]) for name in ("wide", "deep", "discriminator")]
        assert len(set(teachers)) == 1
        moved.append(teachers[0])
    assert moved == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("shared", [0, 2, 4, 8])
def test_the_discriminator_shares_its_first_convolutions(shared: int) -> None:
    network = SharedDiscriminator(6, 4, 2, judged=2, shared=shared)
    made, real = torch.randn(2, 3, 6, 16, 16), torch.randn(3, 6, 16, 16)
    scores = network(made, real)
    assert [len(one) for one in scores] == [6, 6]
    if shared >= 4:
        torch.testing.assert_close(scores[0][3:], scores[1][3:])
    for index, head in enumerate(network.heads):
        torch.testing.assert_close(scores[index], head(network.trunk(torch.cat((made[index], real)))))
        torch.testing.assert_close(network(made)[index], scores[index][:3])


# --- as stages ---------------------------------------------------------------------------------


@pytest.fixture
def online(workspace: Workspace) -> Iterator[dict[str, Any]]:
    return {"objective": OMGD, "distill": {"prune": False}, "teacher": "original"}


def test_teachers_go_on_from_stage_to_stage(workspace: Workspace, online: dict[str, Any]) -> None:
    """Distillation, once-for-all training, the winner and its fine-tuning: each takes over what taught the last."""
    config = workspace.config(**online)
    assert "teacher" not in stages_of(config, EXPERIMENT)
    train(config, "distill")
    teachers, _ = load_tensors(workspace.stage("distill") / "teachers.safetensors")
    assert {name.split(".")[0] for name in teachers} == {"wide", "deep"}
    train(config, "supernet")
    after, _ = load_tensors(workspace.stage("supernet") / "teachers.safetensors")
    assert teachers.keys() == after.keys()
    assert not all(torch.equal(teachers[name], after[name]) for name in teachers)
    # They begin there, and not anew: ten steps are not far.
    distances = [(teachers[name] - after[name]).abs().mean() for name in teachers if name.endswith("weight")]
    assert max(distances) < 0.02
    assert load_generator(workspace.stage("supernet") / "model.safetensors").spec.block == "separable"
    extract_winner(config, EXPERIMENT, Machine("cpu"))
    copied, _ = load_tensors(workspace.stage("subnet") / "teachers.safetensors")
    assert all(torch.equal(after[name], copied[name]) for name in after)
    train(config, "finetune")
    last, _ = load_tensors(workspace.stage("finetune") / "teachers.safetensors")
    assert not all(torch.equal(last[name], copied[name]) for name in last)


def test_continued_as_if_never_stopped(
    workspace: Workspace, online: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    online = online | {"objective": OMGD | {"omgd": {"every": 2}}}
    stopped_and_whole(workspace, workspace.config(**online), OnlineStudent, 5, monkeypatch)


def stopped_and_whole(
    workspace: Workspace, config: Any, recipe: Any, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distillation in one piece, and stopped *after* so many steps and continued, leaves the same bytes."""
    train(config, "distill")
    names = ("model.safetensors", "teachers.safetensors", "discriminator.safetensors", "maps.safetensors")
    whole = {name: (workspace.stage("distill") / name).read_bytes() for name in names}
    for name in names:
        (workspace.stage("distill") / name).unlink()

    steps = recipe.step
    done: list[int] = []

    def stops(own: Any, *args: Any) -> dict[str, Tensor]:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        return steps(own, *args)

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    monkeypatch.setattr(recipe, "step", stops)
    with pytest.raises(KeyboardInterrupt):
        train(config, "distill")
    monkeypatch.setattr(recipe, "step", steps)
    train(config, "distill")
    assert {name: (workspace.stage("distill") / name).read_bytes() for name in names} == whole


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ({"distillation": "omgd", "terms": {"gan": 1}}, "gan needs the student's own discriminator"),
        ({"terms": {"gan": 0}, "lambda_recon": 0, "lambda_distill": 0}, "no term has a weight"),
        ({"distillation": "gram"}, "distillation"),
        ({"terms": {"sim": 1}}, "terms"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(
    workspace: Workspace, objective: dict[str, Any], told: str
) -> None:
    with pytest.raises(GancompError, match=told):
        workspace.config(objective=objective)


# --- without pairs -----------------------------------------------------------------------------


@pytest.fixture
def unpaired(finished_cyclegan: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with working_copy(finished_cyclegan, tmp_path / "workspace", monkeypatch) as own:
        yield own


#: A turn of the teacher is half an epoch, of the student a whole one.
ALTERNATING = OMGD | {"gan": "lsgan", "omgd": {"teachers": "wide", "teacher_epochs": 0.5, "student_epochs": 1}}


def test_without_pairs_there_is_no_deep_teacher(finished_cyclegan: Workspace) -> None:
    with pytest.raises(GancompError, match="without pairs there is no deep teacher; set wide"):
        finished_cyclegan.config(objective={"distillation": "omgd"})
    finished_cyclegan.config(objective={"distillation": "omgd", "omgd": {"teachers": "frozen"}})


def test_teacher_and_student_take_turns(unpaired: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the student learns from the best teacher so far, not from the latest."""
    config = unpaired.config(objective=ALTERNATING, distill={"prune": False, "epochs_const": 4})
    scores = itertools.chain((5.0, 7.0, 3.0), itertools.repeat(9.0))
    seen: list[tuple[bool, ...]] = []
    lengths: list[tuple[int, int]] = []
    steps = AlternatingStudent.step

    def step(own: AlternatingStudent, *args: Any) -> dict[str, Tensor]:
        before = copy.deepcopy(own.networks)
        losses = steps(own, *args)
        lengths.append(own._lengths)
        seen.append(tuple(changed(before[name], own.networks[name]) for name in ("generator", "student", "best")))
        return losses

    monkeypatch.setattr(AlternatingStudent, "step", step)
    monkeypatch.setattr(teaching, "fid_of_teachers", lambda run: lambda generator: next(scores))
    train(config, "distill")
    teacher, scored, student = (True, False, False), (True, False, True), (False, True, False)
    expected = []
    for last in (scored, teacher, scored, *[teacher] * 5):
        expected += [*[teacher] * (lengths[0][0] - 1), last, *[student] * lengths[0][1]]
    assert lengths[0][0] > 1
    assert len(seen) > 3 * sum(lengths[0]), "three turns of each"
    assert seen == expected[: len(seen)]
    assert (unpaired.stage("distill") / "teachers.safetensors").is_file()


def test_a_teacher_is_scored_and_shown_calibrated() -> None:
    """Its own statistics are of inputs and, by the identity loss, of targets."""
    torch.manual_seed(0)
    wide, narrow = spec(4, "batch"), spec(2, "batch")
    teacher, back = build_generator(wide), build_generator(wide)
    whole = MappedGenerator(build_generator(narrow), teacher.feature_channels(), ("channel",))
    reference = torch.rand(8, 3, 16, 16) * 2 - 1
    scored = []

    def score(generator: Generator) -> float:
        assert not generator.training
        scored.append(generator(reference))
        return 1.0

    student = AlternatingStudent(
        make_fabric("32", "cpu"),
        Elastic(whole, lambda widths: whole.like(build_generator(narrow.with_widths(widths)))),
        teacher,
        PatchDiscriminator(3, 4, 1),
        Reverse(back, PatchDiscriminator(3, 4, 1)),
        Objective.model_validate(ALTERNATING),
        Training(lr=0.02),
        turns=(1, 1),
        score=score,
        calibrate=lambda generator: calibrate(generator, [reference]),
    )
    student.step(*batch(), rng.generator(0, "test"))
    expected = copy.deepcopy(teacher)
    calibrate(expected, [reference])
    wanted, uncalibrated = expected.eval()(reference), copy.deepcopy(teacher).eval()(reference)
    shown = student._teacher(reference)[0]
    assert torch.allclose(shown, wanted, atol=1e-6)
    assert torch.allclose(scored[0], wanted, atol=1e-6)
    assert not torch.allclose(uncalibrated, wanted, atol=1e-2)


def test_turns_continue_as_if_never_stopped(unpaired: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in a turn of the student, with a best teacher that is not the latest."""
    config = unpaired.config(objective=ALTERNATING, distill={"prune": False, "epochs_const": 2})
    stopped_and_whole(unpaired, config, AlternatingStudent, 13, monkeypatch)


def test_teachers_are_scored_on_train_2(unpaired: Workspace) -> None:
    run = StageRun(unpaired.config(objective=ALTERNATING), EXPERIMENT, "distill", Machine("cpu"))
    teachers = [load_generator(unpaired.stage(stage) / "model.safetensors") for stage in ("original", "teacher")]
    scores = [fid_of_teachers(run)(teacher) for teacher in teachers]
    assert scores[0] != scores[1]
    assert all(0 < score < 1e4 for score in scores)
    run.end_turn()


# --- of a frozen teacher -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective",
    [
        {"distillation": "ka"},
        {"distillation": "omgd", "omgd": {"teachers": "frozen"}, "terms": {"gram": 0, "content": 0}},
        {"distillation": "dcd", "terms": {"gram": 0, "content": 0}},
    ],
    ids=["ka", "frozen omgd", "dcd"],
)
def test_recipes_train_a_student_of_a_frozen_teacher(workspace: Workspace, objective: dict[str, Any]) -> None:
    config = workspace.config(objective=objective, discriminator={"ndf": 4, "layers": 2})
    train(config, "distill")
    log = (workspace.stage("distill") / "log.csv").read_text().splitlines()[0].split(",")
    wanted = {"ka": "g_ka", "omgd": "g_channel", "dcd": "g_critic"}[str(objective["distillation"])]
    assert wanted in log
    assert ("d_loss" in log) == (objective["distillation"] != "omgd")


def test_alignment_of_single_pictures_teaches_nothing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    train(workspace.config(objective={"distillation": "ka"}, distill={"batch": 1, "epochs_decay": 0}), "distill")
    assert "teaches nothing at distill.batch: 1" in capsys.readouterr().out
