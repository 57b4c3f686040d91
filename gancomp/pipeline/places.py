"""The experiment whose files a stage uses, and their paths. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import stages_of


def owner(config: Config, experiment: str, stage: str) -> str:
    """The experiment that owns *stage* of *experiment*: the furthest base with the same signature."""
    owned_by = experiment
    ancestor = config.experiments[experiment].base
    if ancestor is None:
        return owned_by
    wanted = signature(config, experiment, stage)
    while ancestor is not None:
        if stage in stages_of(config, ancestor) and signature(config, ancestor, stage) == wanted:
            owned_by = ancestor
        ancestor = config.experiments[ancestor].base
    return owned_by


def source(config: Config, experiment: str, stage: str) -> tuple[str, str]:
    """The experiment and the stage whose files are *stage* of *experiment*.

    The teacher may be the original.
    """
    if stage == "teacher" and config.experiments[experiment].teacher == "original":
        stage = "original"
    return owner(config, experiment, stage), stage


def folder(config: Config, experiment: str, stage: str) -> Path:
    """The folder with the files of *stage* of *experiment*."""
    return paths.stage(*source(config, experiment, stage))


def file_of(config: Config, experiment: str, stage: str, name: str) -> Path:
    """The file *name* of *stage* of *experiment*. Raises GancompError if it is missing."""
    path = folder(config, experiment, stage) / name
    if not path.is_file():
        raise GancompError(f"{path}: missing; run `gancomp {stage} {experiment}` first")
    return path


def model_of(config: Config, experiment: str, stage: str) -> Path:
    """The generator of *stage* of *experiment*. Raises GancompError if it is missing, or another stage's."""
    path = file_of(config, experiment, stage, "model.safetensors")
    written_by = source(config, experiment, stage)[1]
    if (header := read_header(path)).stage != written_by:
        raise GancompError(
            f"{path}: contains the generator of the stage {header.stage!r} instead of {written_by!r}; copy the "
            f"right file there, or delete it and run `gancomp {written_by} {experiment}` again"
        )
    return path
