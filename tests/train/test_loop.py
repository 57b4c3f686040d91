"""The training loop: schedule, order of batches, log, saves and losses that are no longer finite."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import DATASET, EXPERIMENT, SETTINGS, Workspace, one_thread, train
from torch import Tensor, nn

from gancomp import rng
from gancomp.config.training import Training, steps_per_epoch, total_steps
from gancomp.data.datasets import Pictures
from gancomp.data.settings import AlignedDataset
from gancomp.errors import GancompError
from gancomp.nets import load_generator, save_generator
from gancomp.nets.int8 import add_int8
from gancomp.pipeline.checkpoints import load_tensors, read_header
from gancomp.train import loop, loss_log
from gancomp.train.device import Machine
from gancomp.train.loop import fit, learning_rate_factor
from gancomp.train.stages import train_distilled
from gancomp.train.state import Progressed

EPOCHS = st.floats(0, 30)
trainings = st.builds(Training, epochs_const=EPOCHS, epochs_decay=EPOCHS.filter(bool), batch=st.integers(1, 40))


# --- schedule ----------------------------------------------------------------------------------


@given(trainings, st.integers(1, 500))
def test_learning_rate_is_constant_then_falls_to_zero(training: Training, pictures: int) -> None:
    total, per_epoch = total_steps(training, pictures), steps_per_epoch(training, pictures)
    factors = [learning_rate_factor(step, training, per_epoch) for step in range(min(total, 400))]
    assert all(0 < factor <= 1 for factor in factors), "every step learns"
    assert factors == sorted(factors, reverse=True)
    const = training.epochs_const * per_epoch
    assert all((factor == 1) == (step <= const) for step, factor in enumerate(factors))
    assert learning_rate_factor(total + per_epoch, training, per_epoch) == 0


def test_learning_rate_by_hand() -> None:
    training = Training(epochs_const=2, epochs_decay=4)
    assert [learning_rate_factor(step, training, 1) for step in range(7)] == [1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert learning_rate_factor(10**6, Training(epochs_const=1, epochs_decay=0), 5) == 1


@given(trainings, st.integers(1, 500))
def test_steps(training: Training, pictures: int) -> None:
    total, per_epoch = total_steps(training, pictures), steps_per_epoch(training, pictures)
    assert total >= 1
    assert per_epoch >= 1
    assert abs(total - (training.epochs_const + training.epochs_decay) * per_epoch) <= 1
    assert per_epoch * training.batch <= max(pictures, training.batch)


# --- the loop with a recipe that does next to nothing ------------------------------------------


class Count:
    """A recipe that adds the mean of its batch to one weight, and remembers what it saw."""

    loss_names = ("loss",)

    def __init__(self, spoil: Callable[[Count], None] = lambda recipe: None) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.5)
        self.networks, self.optimizers = {"generator": self.network}, {"generator": self.optimizer}
        self.spoil, self.stop_at = spoil, 0
        self.seen: list[tuple[float, Tensor, float]] = []
        self.loss = torch.tensor(1.0)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        assert inputs.shape == targets.shape == (4, 3, 16, 16)
        self.seen.append((self.optimizer.param_groups[0]["lr"], inputs, float(draw.random())))
        self.network.weight.data += inputs.mean()
        self.spoil(self)
        return {"loss": self.loss}


@pytest.fixture
def run(finished: Workspace, tmp_path: Path) -> Callable[..., Progressed]:
    """`run(recipe, epochs)` trains in the folder `tmp_path / "resume"`."""
    dataset = AlignedDataset.model_validate(SETTINGS["datasets"][DATASET])
    pictures = Pictures(finished.folder / "data" / DATASET, ("train-1",), "AtoB")

    def call(recipe: Count, epochs: float = 4, **named: Any) -> Progressed:
        training = Training(epochs_const=epochs / 2, epochs_decay=epochs / 2, batch=4, lr=0.5)
        about: dict[str, Any] = {"seed": 3, "stage": "count", "signature": "s", "device": torch.device("cpu")}
        about["folder"] = tmp_path / "resume"
        with one_thread():
            return fit(recipe, pictures, dataset, training, **about | named)

    return call


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "resume" / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_steps_log_and_learning_rate(run: Callable[..., Progressed], tmp_path: Path) -> None:
    recipe = Count()
    training = Training(epochs_const=2, epochs_decay=2, batch=4, lr=0.5)
    per_epoch = 23 // 4
    assert run(recipe).step == len(recipe.seen) == 4 * per_epoch
    factors = [learning_rate_factor(step, training, per_epoch) for step in range(4 * per_epoch)]
    assert [lr for lr, _, _ in recipe.seen] == [0.5 * factor for factor in factors]
    rows = read_log(tmp_path)
    assert list(rows[0]) == ["step", "images", "lr", "loss", "images_per_second", "elapsed_seconds"]
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert [int(row["images"]) for row in rows] == list(range(4, 84, 4))
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.5 * factor for factor in factors], rel=1e-3)


def test_every_optimizer_goes_from_its_own_rate(
    run: Callable[..., Progressed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a state brings the rates of its step along."""

    class TwoRates(Count):
        def __init__(self) -> None:
            super().__init__()
            self.other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
            self.optimizers = {"generator": self.optimizer, "discriminator": self.other}
            self.rates: list[float] = []

        def step(self, *batch: Any) -> dict[str, Tensor]:
            self.rates.append(self.other.param_groups[0]["lr"])
            if len(self.rates) == 17:
                raise KeyboardInterrupt
            return super().step(*batch)

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    recipes = TwoRates(), TwoRates()
    with pytest.raises(KeyboardInterrupt):
        run(recipes[0])
    run(recipes[1])
    training = Training(epochs_const=2, epochs_decay=2, batch=4)
    expected = [2.0 * learning_rate_factor(step, training, 5) for step in range(20)]
    assert recipes[0].rates[:16] + recipes[1].rates == expected
    assert [lr for lr, _, _ in recipes[1].seen] == [rate / 4 for rate in expected[16:]]


def test_randomness_is_a_function_of_seed_and_step(run: Callable[..., Progressed], tmp_path: Path) -> None:
    recipes = [Count(), Count(), Count()]
    for recipe, seed in zip(recipes, (3, 3, 4), strict=True):
        run(recipe, seed=seed, folder=tmp_path / str(id(recipe)))
    first, again, other = (recipe.seen for recipe in recipes)
    assert all(torch.equal(one[1], two[1]) and one[2] == two[2] for one, two in zip(first, again, strict=True))
    assert not any(torch.equal(one[1], two[1]) for one, two in zip(first, other, strict=True))
    assert len({draw for _, _, draw in first}) == len(first)
    # What a step gets is its own generator's, after the augmentation took its part.
    assert first[7][2] != rng.generator(3, "count", 7).random()


def test_layers_that_draw_go_on_as_if_nothing_had_stopped_them(run: Callable[..., Progressed], tmp_path: Path) -> None:
    """Dropout draws from torch itself, of whose state nothing is saved."""

    def dropping(recipe: Count) -> None:
        recipe.network.weight.data += nn.functional.dropout(torch.ones(1, 1))
        if recipe.stop_at == len(recipe.seen):
            raise KeyboardInterrupt

    def dropout(stop_at: int) -> Count:
        recipe = Count(dropping)
        recipe.stop_at = stop_at
        return recipe

    whole, killed, resumed = dropout(0), dropout(9), dropout(0)
    run(whole, folder=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    torch.manual_seed(1)
    run(resumed)
    assert len(resumed.seen) == len(whole.seen) - 8
    assert torch.equal(resumed.network.weight, whole.network.weight)


def test_long_log_is_thinned(run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_log, "LOG_ROWS", 5)
    run(Count(), epochs=4.4)  # 22 steps
    assert [int(row["step"]) for row in read_log(tmp_path)] == [4, 8, 12, 16, 20, 22]


def stop_at(step: int) -> Callable[[Count], None]:
    def spoil(recipe: Count) -> None:
        if len(recipe.seen) == step:
            raise KeyboardInterrupt

    return spoil


@pytest.mark.parametrize(
    "rest", ["", "1", "7", "8,32,", "\0\0\0\0", "x,y,z\n", "6,24,5.000e-01,1,1.0,1.0,7\n"], ids=repr
)
def test_log_of_an_interrupted_run_is_cut_to_the_state(
    run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    """Whatever a dying process left at the end of the log, no step is doubled and none is missing."""
    save_state = loop.save_state
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(loop, "save_state", lambda *state: save_state(*state) if state[2].step == 6 else None)
    with pytest.raises(KeyboardInterrupt):
        run(Count(stop_at(10)))
    assert len(read_log(tmp_path)) == 9
    with (tmp_path / "resume" / "log.csv").open("a") as stream:
        stream.write(rest)

    monkeypatch.setattr(loop, "save_state", save_state)
    recipe, whole = Count(), Count()
    run(recipe)
    assert len(recipe.seen) == 20 - 6
    rows = read_log(tmp_path)
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert all(None not in row and None not in row.values() for row in rows)
    run(whole, folder=tmp_path / "whole")
    assert torch.equal(recipe.network.weight, whole.network.weight)


def test_a_training_that_is_asked_to_stop_loses_no_step(
    run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a time limit of a cluster: no save was due, and yet the next attempt goes on where this one stopped."""
    asked = Count()

    @contextmanager
    def after_seven_steps() -> Iterator[Callable[[], bool]]:
        yield lambda: len(asked.seen) == 7

    with monkeypatch.context() as patch:
        patch.setattr(loop, "asked_to_stop", after_seven_steps)
        with pytest.raises(SystemExit) as stopped:
            run(asked)
    assert stopped.value.code == 143
    recipe, whole = Count(), Count()
    run(recipe)
    assert len(recipe.seen) == 20 - 7
    run(whole, folder=tmp_path / "whole")
    assert torch.equal(recipe.network.weight, whole.network.weight)


def test_log_of_undecodable_bytes(
    run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(Count(stop_at(10)))
    with (tmp_path / "resume" / "log.csv").open("ab") as stream:
        stream.write(b"\xff\xfe\x80")
    run(Count())
    assert [int(row["step"]) for row in read_log(tmp_path)] == list(range(1, 21))


def test_notes_are_taken_once_and_kept(run: Callable[..., Progressed], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def before() -> dict[str, Any]:
        taken.append("notes")
        return {"largest": 0.125}

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(Count(stop_at(5)), before=before)
    assert run(Count(), before=before).notes == {"largest": 0.125}
    assert taken == ["notes"]


def test_elapsed_time_counts_all_runs(run: Callable[..., Progressed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(Count(stop_at(5)))
    monkeypatch.setattr(loop, "load_state", lambda *_: Progressed(4, 1000.0, {}))
    monkeypatch.setattr(loop, "save_state", lambda *_: None)
    assert 1000 < run(Count()).elapsed < 1100


# --- no longer finite --------------------------------------------------------------------------


def lose(value: float) -> Callable[[Count], None]:
    def spoil(recipe: Count) -> None:
        recipe.loss = torch.tensor(value if len(recipe.seen) == 5 else 1.0)

    return spoil


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_loss_that_is_not_finite(
    run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    with pytest.raises(GancompError, match=r"count: loss is no longer finite at step 5; no state .* Lower count\.lr"):
        run(Count(lose(value)))
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(GancompError, match=r"at step 5; the last good state is .*state\.pt"):
        run(Count(lose(value)), folder=tmp_path / "saving")
    assert torch.load(tmp_path / "saving" / "state.pt", weights_only=True)["step"] == 4


def test_a_convolution_that_nothing_passes_spoils_no_state_by_its_int8_range(
    run: Callable[..., Progressed], tmp_path: Path
) -> None:
    """Such as a head that only other code uses; its range stays as it began, infinite."""
    recipe = Count()
    recipe.network.register_module("head", nn.Conv2d(3, 3, 1))
    add_int8(recipe.network)
    run(recipe)


def test_weights_that_are_not_finite_are_never_saved(
    run: Callable[..., Progressed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two rows of the log nobody looks at the losses, yet the state is saved."""

    def spoil(recipe: Count) -> None:
        if len(recipe.seen) == 7:
            recipe.network.weight.data.fill_(math.nan)

    monkeypatch.setattr(loss_log, "LOG_ROWS", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(GancompError, match="a weight of the generator is no longer finite at step 7"):
        run(Count(spoil))
    state = torch.load(tmp_path / "resume" / "state.pt", weights_only=True)
    assert state["step"] == 6
    assert state["parts"]["generator"]["weight"].isfinite().all()


def test_stage_stops_and_can_go_on(finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss turns NaN in the middle of a stage; when the cause is gone, the same command continues."""
    from gancomp.train import pix2pix

    generator_loss = pix2pix.generator_loss
    calls = 0

    def spoilt(kind: Any, fake: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return generator_loss(kind, fake) * (math.nan if calls == 6 else 1.0)

    before = (workspace.stage("teacher") / "model.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
        patch.setattr(pix2pix, "generator_loss", spoilt)
        with pytest.raises(GancompError, match=r"teacher: g_gan is no longer finite at step 6; .*teacher/state\.pt"):
            train(workspace.config(), "teacher")
    assert (workspace.stage("teacher") / "model.safetensors").read_bytes() == before
    train(workspace.config(), "teacher")
    for name in ("model.safetensors", "discriminator.safetensors"):
        mine, theirs = (load_tensors(own.stage("teacher") / name)[0] for own in (workspace, finished))
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_a_student_goes_on_only_with_the_teacher_that_it_began_with(workspace: Workspace) -> None:
    """The settings are the same: an imported network's file may have been replaced meanwhile."""
    path = workspace.stage("teacher") / "model.safetensors"
    header, teacher = read_header(path), load_generator(path)
    with pytest.raises(SystemExit):
        train_distilled(workspace.config(), EXPERIMENT, Machine("cpu", until=time.monotonic()))
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter += 0.1
    save_generator(path, teacher, experiment=header.experiment, stage=header.stage, signature=header.signature)
    with pytest.raises(GancompError, match=r"distill/state\.pt: .* on other pictures or from other networks"):
        train(workspace.config(), "distill")
