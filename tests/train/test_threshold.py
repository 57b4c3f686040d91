"""CAT's way through the stages: a teacher of inception blocks, and a student that a threshold leaves of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import EXPERIMENT, Workspace, train
from typer.testing import CliRunner

from gancomp.cli.main import app
from gancomp.elastic.threshold import above_threshold
from gancomp.measure.evaluate import evaluate
from gancomp.measure.macs import profile
from gancomp.nets import load_generator, save_generator
from gancomp.nets.resize import hold_resize
from gancomp.pipeline.checkpoints import load_tensors, read_header
from gancomp.pipeline.files import read_json
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import generator_spec
from gancomp.train.student import Student
from tests.train.test_ranks import TOLERANCE, run
from tests.train.test_stages import all_equal, first_networks


def cat(norm: str) -> dict[str, Any]:
    """CAT's teacher, and its student by a threshold."""
    return {
        "generator": {"block": "inception", "norm": norm, "up": "resize"},
        "distill": {"prune": {"budget": "8x", "least": 2}},
        "supernet": None,
    }


CAT = cat("affine")


@pytest.fixture
def pruned(workspace: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """A workspace with CAT's teacher, some of whose scales are small: training is too short to make them so."""
    train(workspace.config(**cat(getattr(request, "param", "affine"))), "teacher")
    path = workspace.stage("teacher") / "model.safetensors"
    header, generator = read_header(path), load_generator(path)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.mul_(torch.rand(parameter.shape, generator=draw))
    about = {"experiment": header.experiment, "stage": header.stage, "signature": header.signature}
    save_generator(path, generator, **about)
    return workspace


def test_its_budget_is_a_fraction_of_the_original(workspace: Workspace) -> None:
    """Which is not the teacher, so that another original's student is another."""
    small, large = (workspace.config(**CAT, original={"widths": widths}) for widths in (6, 8))
    assert signature(small, EXPERIMENT, "distill") != signature(large, EXPERIMENT, "distill")
    assert signature(small, EXPERIMENT, "teacher") == signature(large, EXPERIMENT, "teacher")


def test_what_was_trained_in_evaluation_mode_is_made_anew(workspace: Workspace) -> None:
    """What a threshold left, in files without the mark; a uniform student of the same teacher stands."""
    by_threshold, uniform = (workspace.config(**CAT | {"distill": given}) for given in (CAT["distill"], {}))
    assert stage_settings(by_threshold, EXPERIMENT, "distill")["settings"]["built"] == 2
    assert "built" not in stage_settings(uniform, EXPERIMENT, "distill")["settings"]


def test_a_threshold_leaves_a_student_of_the_budget(pruned: Workspace) -> None:
    config = pruned.config(**CAT)
    train(config, "distill")
    path = pruned.stage("distill") / "model.safetensors"
    student, teacher = load_generator(path), load_generator(pruned.stage("teacher") / "model.safetensors")
    budget = profile(generator_spec(config, EXPERIMENT, "original")).macs / 8
    assert 0.8 * budget < profile(student.spec).macs <= budget < profile(teacher.spec).macs
    metrics = read_json(pruned.stage("distill") / "metrics.json")
    assert metrics["vanished"] == student.spec.widths.count(0) > 0
    assert 0 < metrics["threshold"] < 1
    told = CliRunner().invoke(app, ["profile", str(path), "--json"])
    assert json.loads(told.stdout)["macs"] == profile(student.spec).macs
    evaluate(config, EXPERIMENT, "distill", "cpu")
    assert read_json(pruned.stage("distill") / "evaluation.json")["macs"] == profile(student.spec).macs
    maps = load_tensors(pruned.stage("distill") / "maps.safetensors")[0]
    assert {tensor.shape[1] for tensor in maps.values() if tensor.dim() == 4} == {student.spec.widths[2]}


@pytest.mark.parametrize("inherit", [True, False])
def test_weights_above_the_threshold_are_inherited_where_asked(
    pruned: Workspace, monkeypatch: pytest.MonkeyPatch, inherit: bool
) -> None:
    prune = CAT["distill"]["prune"] | {"inherit": inherit}
    config = pruned.config(**CAT | {"distill": {"prune": prune}})
    teacher = load_generator(pruned.stage("teacher") / "model.safetensors")
    macs = profile(generator_spec(config, EXPERIMENT, "original")).macs / 8
    left = above_threshold(teacher.state_dict(), teacher.spec, macs, 2).tensors
    begun = first_networks(config, "distill", monkeypatch)["student"]
    own = {name.removeprefix("generator."): value for name, value in begun.items() if name.startswith("generator.")}
    assert {name: tensor.shape for name, tensor in own.items()} == {name: t.shape for name, t in left.items()}
    assert all_equal(own, left) == inherit


@pytest.mark.parametrize("pruned", ["batch"], indirect=True)
def test_a_student_is_trained_by_its_batches_statistics(pruned: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is left behind, whose statistics are estimated anew; its transposed convolutions stay what `up` says."""
    steps: list[bool] = []
    step = Student.step

    def watched(self: Student, *batch: Any) -> dict[str, torch.Tensor]:
        steps.append(all(layer.training for layer in self.networks["student"].modules()))
        return step(self, *batch)

    monkeypatch.setattr(Student, "step", watched)
    train(pruned.config(**cat("batch")), "distill")
    assert steps
    assert all(steps)
    student = load_generator(pruned.stage("distill") / "model.safetensors")
    assert student.spec.up == "resize"
    held = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    hold_resize(student)
    for name, tensor in student.state_dict().items():
        torch.testing.assert_close(tensor, held[name], rtol=0, atol=1e-6, msg=name)


@pytest.mark.slow
def test_ranks_do_not_wait_for_what_vanished(pruned: Workspace, tmp_path: Path) -> None:
    found = []
    for devices in (1, 2):
        own = pruned.copy(tmp_path / str(devices))
        done = run(own, "distill", devices, **CAT)
        assert done.returncode == 0, done.stderr
        found.append(load_tensors(own.stage("distill") / "model.safetensors")[0])
    alone, shared = found
    assert any(tensor.numel() == 0 for tensor in alone.values())
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=TOLERANCE, atol=TOLERANCE, msg=name)
