"""The compared generators of an experiment, with their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gancomp.config.values import Metric
from gancomp.errors import GancompError
from gancomp.pipeline.stages import COMPARED, TRAININGS
from gancomp.report.reading import read
from gancomp.report.records import Evaluation, Reference
from gancomp.spec import format_widths


@dataclass(frozen=True)
class Folders:
    """The folders of an experiment's stages: its own, or those of the base that owns the stage.

    Unless `compressed`, the experiment has only the original.
    """

    results: Path
    experiment: str
    owners: Mapping[str, str] = field(default_factory=dict)
    compressed: bool = True

    @property
    def compared(self) -> tuple[str, ...]:
        return COMPARED if self.compressed else ("original",)

    @property
    def trained(self) -> tuple[str, ...]:
        # The winner from scratch is no part of an experiment's report.
        reported = [stage for stage in TRAININGS if stage != "scratch"]
        had = [stage for stage in reported if not self.owners or stage in self.owners]
        return tuple(had) if self.compressed else ("original",)

    def file(self, stage: str, name: str) -> Path:
        return self.results / self.owners.get(stage, self.experiment) / stage / name

    def output(self, kind: str, name: str) -> Path:
        return self.results / self.experiment / kind / name


@dataclass(frozen=True)
class Subject:
    """The configuration of the reported experiment; `perceptual` is the network of its perceptual loss, if any, and
    with `all_targets` FID and KID use every real target."""

    folders: Folders
    title: str = ""
    note: str = ""
    metric: Metric = "fid"
    perceptual: str | None = None
    all_targets: bool = False


@dataclass(frozen=True)
class Scoreboard:
    """The compared generators and the reference rows, all scored on the same pictures."""

    evaluations: Mapping[str, Evaluation]
    reference: Reference


def read_scoreboard(folders: Folders) -> Scoreboard:
    """Read all scores. Raises GancompError if a file is missing, or two were scored on different pictures."""
    reference_path = folders.file("reference", "evaluation.json")
    reference = read(reference_path, Reference, "reference")
    evaluations = {}
    for stage in folders.compared:
        path = folders.file(stage, "evaluation.json")
        evaluation = evaluations[stage] = read(path, Evaluation, stage)
        for key in ("data_hash", "images", "samples"):
            if getattr(evaluation, key) != getattr(reference, key):
                raise GancompError(
                    f"{path}: {key} differs from that of {reference_path}: they were scored on different pictures; "
                    f"evaluate {stage!r} and 'reference' again"
                )
        # Features in different precisions differ by several points of FID, even for equal pictures.
        for key, score in (("inception", "FID"), ("judge", "mIoU")):
            mine, theirs = (record.provenance.get(key) for record in (evaluation, reference))
            if mine != theirs:
                raise GancompError(
                    f"{path}: provenance.{key} is {mine!r}, but {theirs!r} in {reference_path}: their {score} cannot "
                    f"be compared; evaluate {stage!r} and 'reference' again on one machine"
                )
    return Scoreboard(evaluations, reference)


def label(evaluation: Evaluation) -> str:
    """The name of a compared generator in tables and figures."""
    if evaluation.stage == "narrow":
        widths = evaluation.spec.widths
        own = f"ngf {widths[0]}" if len(set(widths)) == 1 else f"widths {format_widths(widths)}"
        return f"Uniform narrow, {own} (from scratch)"
    return {"original": "Original", "subnet": "Ours (w/o fine-tuning)", "finetune": "Ours"}[evaluation.stage]


def reduction(original: float, compressed: float) -> float:
    """The factor from *compressed* to *original*."""
    return original / compressed
