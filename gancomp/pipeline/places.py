"""Which experiment's files serve a stage, and where they lie. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import stages_of


def owner(config: Config, experiment: str, stage: str) -> str:
    """The experiment whose files serve *stage* of *experiment*: the furthest base with the same signature."""
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
    """The experiment and the stage whose files serve as *stage* of *experiment*.

    The teacher may be the original, and the student that a once-for-all network starts from the teacher itself.
    """
    if stage == "teacher" and config.experiments[experiment].teacher == "original":
        stage = "original"
    return owner(config, experiment, stage), stage


def folder(config: Config, experiment: str, stage: str) -> Path:
    """Where the files of *stage* of *experiment* lie."""
    return paths.stage(*source(config, experiment, stage))


def file_of(config: Config, experiment: str, stage: str, name: str) -> Path:
    """The file *name* that *stage* of *experiment* left; GancompError if it is not there yet."""
    path = folder(config, experiment, stage) / name
    if not path.is_file():
        raise GancompError(f"{path}: missing; run `gancomp {stage} {experiment}` first")
    return path


def model_of(config: Config, experiment: str, stage: str) -> Path:
    """The generator that *stage* of *experiment* left; GancompError if it is not there yet, or is another stage's."""
    path = file_of(config, experiment, stage, "model.safetensors")
    written_by = source(config, experiment, stage)[1]
    if (header := read_header(path)).stage != written_by:
        raise GancompError(
            f"{path}: holds the generator of the stage {header.stage!r} where that of {written_by!r} belongs; copy "
            f"the right file there, or delete it and run `gancomp {written_by} {experiment}` again"
        )
    return path
