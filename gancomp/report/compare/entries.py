"""The runs of experiments, budgets or seeds to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gancomp.config.settings import Config
from gancomp.config.study import JOINT, runs_of
from gancomp.paper.measured import Measured
from gancomp.pipeline import paths
from gancomp.report.metrics import Metric
from gancomp.report.scoreboard import Scoreboard, read_scoreboard
from gancomp.report.stage import folders_of

NAMES = {
    "original": "Original",
    "narrow": "Uniform narrow (from scratch)",
    "subnet": "Ours (w/o fine-tuning)",
    "finetune": "Ours",
}


@dataclass(frozen=True)
class Entry:
    """One experiment: its runs, one per seed, with their scores; and `absent`, its seeds that were not run."""

    name: str
    runs: tuple[str, ...]
    boards: tuple[Scoreboard, ...]
    absent: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[str, object]:
        """Scores are comparable if this is equal: the pictures, and the Inception network."""
        reference = self.boards[0].reference
        return reference.data_hash, reference.provenance.get("inception")

    def measured(self, stage: str) -> Measured | None:
        """The scores of *stage* at every seed; None if the experiment has no such stage."""
        records = [board.evaluations[stage] for board in self.boards if stage in board.evaluations]
        return Measured(self.name, stage, tuple(records), records[0]) if records else None


def folder_of(names: Sequence[str]) -> Path:
    """The folder of the comparison of these experiments: `results/compare/ONE+OTHER`."""
    return paths.RESULTS / "compare" / JOINT.join(names)


def entries_of(config: Config, names: Sequence[str]) -> list[Entry]:
    """The experiments with their runs.

    Seeds that were not run are left out. Raises GancompError if one of *names* is such a seed, or an experiment has no
    runs.
    """
    entries = []
    for name, runs in runs_of(config, names).items():
        asked = [run for run in runs if run in names and run != name]
        scored = [run for run in runs if run in asked or _is_scored(config, run)] or [runs[0]]
        boards = tuple(read_scoreboard(folders_of(config, run)) for run in scored)
        entries.append(Entry(name, tuple(scored), boards, tuple(run for run in runs if run not in scored)))
    return entries


def _is_scored(config: Config, run: str) -> bool:
    folders = folders_of(config, run)
    return all(folders.file(stage, "evaluation.json").is_file() for stage in ("reference", *folders.compared))


def has(entry: Entry, metric: Metric) -> bool:
    return any(metric.of(record) is not None for board in entry.boards for record in board.evaluations.values())
