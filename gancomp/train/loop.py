"""The training loop of every stage: schedule, log, saves and resume. To resume, run the same command again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gancomp import ranks, rng
from gancomp.config.training import Training, steps_per_epoch, total_steps
from gancomp.data.augment import augment
from gancomp.data.datasets import Pictures, to_float
from gancomp.data.settings import DatasetBase
from gancomp.errors import GancompError
from gancomp.pipeline.progress import Progress
from gancomp.train.loss_log import LossLog, check_finite
from gancomp.train.samples import sample_steps
from gancomp.train.state import Progressed, load_state, save_state
from gancomp.train.stopping import EXIT_STATUS, Allotted, asked_to_stop

SAVE_EVERY_SECONDS = 60.0


class Recipe(Protocol):
    """One way to train: what it trains, and one step of it."""

    @property
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """All that a step changes and the next one needs: networks, and modules that only remember (an image pool)."""
        ...

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Each at its initial learning rate, which the schedule scales."""
        ...

    @property
    def loss_names(self) -> tuple[str, ...]: ...

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """Update the networks by one batch of encoded inputs (n, c, h, w) and targets (n, c, h, w) in [-1, 1].

        Unpaired, the two have nothing to do with each other. *draw* is the step's own randomness.
        """
        ...


def learning_rate_factor(step: int, training: Training, steps_per_epoch: int) -> float:
    """1 over the constant epochs, then falling linearly to zero over the decay epochs (Appendix 6.1)."""
    const = training.epochs_const * steps_per_epoch
    decay = training.epochs_decay * steps_per_epoch
    if step < const or decay == 0:
        return 1.0
    return max(0.0, 1.0 - (step - const) / decay)


def fit(
    recipe: Recipe,
    pictures: Pictures,
    dataset: DatasetBase,
    training: Training,
    *,
    seed: int,
    stage: str,
    signature: str,
    folder: Path,
    device: torch.device,
    until: float | None = None,
    before: Callable[[], dict[str, Any]] = dict,
    keep: Callable[[int], None] = lambda images: None,
    sample_every: int | None = 0,
    sample: Callable[[int], None] = lambda images: None,
) -> Progressed:
    """Train *recipe* to the end of its schedule, from wherever an earlier run stopped.

    An epoch is as many pictures as the larger side of *pictures* has. *folder* keeps `state.pt` and the growing
    `log.csv`. *before* is called before the very first step, and what it returns stays in the notes through every
    resume; *keep* is called with the pictures seen wherever `training.snapshots` asks for one, and *sample* after each
    of `sample_steps`. Of several ranks each trains on its share of every batch, and the first one writes. Raises
    GancompError, keeping the last good state, when a loss is no longer finite; SystemExit, having saved, when SIGTERM
    asked a rank to stop or the time *until* (`time.monotonic()`) is near.
    """
    if training.batch % ranks.count():
        raise GancompError(f"{stage}.batch: {training.batch} pictures cannot be shared by {ranks.count()} devices")
    # Before a state is restored, which brings the rates of its step along.
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in recipe.optimizers.items()}
    saves = _Saves(recipe, stage, folder / "state.pt", signature, until)
    progressed = saves.progressed
    if progressed.step == 0:
        progressed.notes = before()
    total, per_epoch = (count(training, pictures.per_epoch) for count in (total_steps, steps_per_epoch))
    snapshots = training.snapshots or 1
    kept = {round(total * part / snapshots) for part in range(1, snapshots)}  # the last one is what is left at the end
    sampled = sample_steps(sample_every, total)
    log = LossLog(folder, stage, recipe.loss_names, total, training.batch, progressed.step)
    began = time.monotonic() - progressed.elapsed
    done = progressed.step * training.batch
    with (
        Progress(stage, total * training.batch, "images", done=done, shown=ranks.is_first()) as progress,
        asked_to_stop() as stop,
    ):
        while progressed.step < total:
            step = progressed.step
            factor = learning_rate_factor(step, training, per_epoch)
            _set_rates(recipe, {name: rate * factor for name, rate in rates.items()})
            draw = rng.generator(seed, stage, step)
            rng.seed_torch(seed, f"{stage}.layers of rank {ranks.rank()}", step)  # dropout draws from torch
            losses = recipe.step(*_batch(pictures, dataset, step, training.batch, seed, draw, device), draw)
            saves.allotted.stepped()
            progressed.step, progressed.elapsed = step + 1, time.monotonic() - began
            progress.advance(training.batch, log.add(losses, progressed, training.lr * factor, progress.rate))
            for steps, leave in ((kept, keep), (sampled, sample)):
                if progressed.step in steps and ranks.is_first():
                    leave(progressed.step * training.batch)
            stopping = ranks.anywhere(stop() or saves.allotted.is_over(), device)
            if stopping or saves.due():
                saves.save()
            if stopping and progressed.step < total:
                if ranks.is_first():
                    print(f"{stage}: stopped and saved after step {progressed.step} of {total}; run again to go on")
                raise SystemExit(EXIT_STATUS if ranks.is_first() else 0)
    saves.save()
    return progressed


class _Saves:
    """The resume state of a training: restored at the start if there is one, saved about every minute."""

    def __init__(self, recipe: Recipe, stage: str, path: Path, signature: str, until: float | None) -> None:
        self._recipe, self._stage, self._path, self._signature = recipe, stage, path, signature
        self._parts: dict[str, torch.nn.Module | torch.optim.Optimizer] = {**recipe.networks}
        self._parts |= {f"{name}.optimizer": optimizer for name, optimizer in recipe.optimizers.items()}
        self.progressed = load_state(path, signature, self._parts)
        self.allotted = Allotted(until)
        self._saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._saved >= SAVE_EVERY_SECONDS

    def save(self) -> None:
        """Write the state, on the first rank. Raises GancompError, keeping the last one, if a weight is not finite."""
        if ranks.is_first():
            check_finite(_weights(self._recipe), self.progressed.step, self._stage, self._path)
            save_state(self._path, self._signature, self.progressed, self._parts)
        self._saved = time.monotonic()
        self.allotted.saved()


def _set_rates(recipe: Recipe, rates: Mapping[str, float]) -> None:
    for name, optimizer in recipe.optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = rates[name]


def _batch(
    pictures: Pictures,
    dataset: DatasetBase,
    step: int,
    batch: int,
    seed: int,
    draw: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """This rank's share of a step's inputs and targets as networks read them, enlarged, cropped and mirrored by *draw*,
    the same on every rank."""
    share = ranks.share(batch)
    drawn = pictures.training_batch(step, batch, seed, share)
    return augment(
        pictures.encode(drawn[0]).to(device),
        to_float(drawn[1]).to(device),
        draw,
        dataset.load_size,
        dataset.flip,
        paired=pictures.paired,
        labels=pictures.kind == "labels",
        share=share,
        batch=batch,
    )


def _weights(recipe: Recipe) -> dict[str, float]:
    """A number for each network that is finite only if all that it holds is: no saved state may be spoilt."""
    norms = {
        name: [
            tensor.norm()
            for key, tensor in network.state_dict().items()
            # The range of a convolution that nothing has passed yet is infinite (`gancomp.nets.int8`).
            if tensor.is_floating_point() and ".activation_post_process." not in key
        ]
        for name, network in recipe.networks.items()
    }
    return {f"a weight of the {name}": float(torch.stack(found).norm()) for name, found in norms.items() if found}
