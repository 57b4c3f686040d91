"""The progress of each stage of an experiment, read from its files. Imports no torch, changes no file."""

from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gancomp.config.settings import Config
from gancomp.config.training import Training, total_steps
from gancomp.data.manifest import NAME as MANIFEST
from gancomp.data.manifest import load_manifest
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.places import owner
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import COMPARED, READS, TRAININGS, stages_of

#: Columns of a log that are no losses.
_COUNTS = ("step", "images", "lr", "images_per_second", "elapsed_seconds")
#: A training of another machine that has written nothing for so long has most likely ended.
FRESH_SECONDS = 180.0

State = Literal["waiting", "running", "stopped", "done", "other settings"]


@dataclass(frozen=True)
class Log:
    """The log of a training so far: images seen, images per second and seconds by row, and each loss."""

    steps: tuple[int, ...] = ()
    images: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    elapsed: tuple[float, ...] = ()
    losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """One stage: the experiment that owns its files, its state, and the progress of a training.

    *total* images is None where the data set is not built yet. *folder* holds the log and the sample pictures.
    """

    stage: str
    owner: str
    state: State
    about: str = ""
    log: Log = Log()
    total: int | None = None
    seconds_left: float | None = None
    folder: Path | None = None

    @property
    def share(self) -> float | None:
        """The completed share of a training, 0 to 1."""
        if self.state == "done":
            return 1.0
        return self.log.images[-1] / self.total if self.log.images and self.total else None

    @property
    def latest_sample(self) -> Path | None:
        """The newest strip of sample pictures."""
        strips = sorted((self.folder / paths.SAMPLES).glob("*.png")) if self.folder else []
        return strips[-1] if strips else None


def standings(config: Config, experiment: str, now: float | None = None) -> list[Standing]:
    """Every stage of *experiment*, in order: from the pictures to the report."""
    had = stages_of(config, experiment)
    now = time.time() if now is None else now
    found = [_by_file("pictures", config.experiments[experiment].dataset, _dataset(config, experiment) / MANIFEST)]
    for stage in TRAININGS:
        if stage not in had:
            continue
        if stage == "scratch" and not _begun(config, experiment, stage):
            continue  # an ablation that nobody asked for
        found.append(_training(config, experiment, stage, now))
        if stage == "supernet":
            found += [_search(config, experiment), _made(config, experiment, "search", "selection.json")]
            found.append(_made(config, experiment, "subnet", "model.safetensors"))
    found.append(_scores(config, experiment))
    if config.experiments[experiment].compressed:
        found.append(_made(config, experiment, "export", "model.safetensors"))
    for name, file in (("benchmark", "benchmark/benchmark.json"), ("report", "report.html")):
        found.append(_by_file(name, experiment, paths.RESULTS / experiment / file))
    return found


def read_log(path: Path) -> Log:
    """The complete rows of a log that may be growing; empty if there is no file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Log()
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = [row for row in csv.DictReader(lines) if None not in row and None not in row.values()]
    try:
        names = [name for name in (rows[0] if rows else ()) if name not in _COUNTS]
        return Log(
            steps=tuple(int(row["step"]) for row in rows),
            images=tuple(int(row["images"]) for row in rows),
            rates=tuple(float(row["images_per_second"]) for row in rows),
            elapsed=tuple(float(row["elapsed_seconds"]) for row in rows),
            losses={name: tuple(float(row[name]) for row in rows) for name in names},
        )
    except (KeyError, ValueError) as error:
        raise GancompError(f"{path}: not a log of a training ({error}); delete it and run its stage again") from None


# --- trainings ---------------------------------------------------------------------------------


def _training(config: Config, experiment: str, stage: str, now: float) -> Standing:
    own = owner(config, experiment, stage)
    folder, resume = paths.stage(own, stage), paths.resume(own, stage)
    total = _total(config, own, stage)
    growing = resume / "log.csv"
    holder = _holder(resume.with_suffix(".lock"))
    running = holder if holder is not None else _written_since(resume, now - FRESH_SECONDS)
    if running or growing.is_file():
        log = read_log(growing)
        left = None
        if running and log.images and total and log.rates[-1] > 0:
            age = max(0.0, now - growing.stat().st_mtime)
            left = max(0.0, (total - log.images[-1]) / log.rates[-1] - age)
        about = "" if running else "the same command goes on from its last save"
        return Standing(stage, own, "running" if running else "stopped", about, log, total, left, resume)
    model = folder / "model.safetensors"
    if not model.is_file():
        return Standing(stage, own, "waiting", total=total)
    log = read_log(folder / "log.csv")
    if read_header(model).signature != signature(config, own, stage):
        return Standing(stage, own, "other settings", "will be trained again", log, total, folder=folder)
    return Standing(stage, own, "done", "" if log.steps else "imported", log, total, folder=folder)


def _begun(config: Config, experiment: str, stage: str) -> bool:
    own = owner(config, experiment, stage)
    return paths.stage(own, stage).is_dir() or paths.resume(own, stage).is_dir()


def _holder(lock: Path) -> bool | None:
    """Whether the process that holds the lock is alive; None if unknown because it runs on another machine."""
    try:
        match = re.match(r"process (\d+) on (\S+)", lock.read_text(encoding="utf-8"))
    except OSError:
        return False
    if match is None or match[2] != os.uname().nodename:
        return None
    import psutil

    return psutil.pid_exists(int(match[1]))


def _written_since(folder: Path, moment: float) -> bool:
    return any(file.is_file() and file.stat().st_mtime > moment for file in (folder / "log.csv", folder / "state.pt"))


def _total(config: Config, experiment: str, stage: str) -> int | None:
    """Images of the whole training; None if the data set is not built yet."""
    root = _dataset(config, experiment)
    if not (root / MANIFEST).is_file():
        return None
    manifest = load_manifest(root)
    sides = (manifest.splits, {**manifest.splits, **manifest.splits_b})
    pictures = max(sum(len(side[split]) for split in READS[stage].splits) for side in sides)
    training = getattr(config.experiments[experiment], READS[stage].section)
    assert isinstance(training, Training)
    return total_steps(training, pictures) * training.batch


# --- the rest ----------------------------------------------------------------------------------


def _dataset(config: Config, experiment: str) -> Path:
    return paths.dataset(config.experiments[experiment].dataset)


def _by_file(name: str, whose: str, file: Path) -> Standing:
    return Standing(name, whose, "done" if file.is_file() else "waiting")


def _made(config: Config, experiment: str, stage: str, file: str) -> Standing:
    own = owner(config, experiment, stage)
    return _by_file(stage, own, paths.stage(own, stage) / file)


def _search(config: Config, experiment: str) -> Standing:
    own = owner(config, experiment, "scores")
    folder = paths.stage(own, "scores")
    if (folder / "search.csv").is_file():
        return Standing("scores", own, "done")
    shards = config.experiments[own].search.shards
    scored = len(list((folder / "shards").glob(f"*-of-{shards}.csv")))
    begun = scored or paths.resume(own, "scores").is_dir()
    return Standing("scores", own, "running" if begun else "waiting", f"{scored} of {shards} shards" if begun else "")


def _scores(config: Config, experiment: str) -> Standing:
    had = stages_of(config, experiment)
    folders = [paths.stage(owner(config, experiment, stage), stage) for stage in COMPARED if stage in had]
    folders.append(paths.stage(experiment, "reference"))
    scored = sum((folder / "evaluation.json").is_file() for folder in folders)
    state: State = "done" if scored == len(folders) else "waiting"
    return Standing("evaluate", experiment, state, "" if state == "done" else f"{scored} of {len(folders)}")
