"""This run's measurements at the places of the paper's tables and figures: mean and spread over seeds. No torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gancomp.config.settings import Config
from gancomp.config.study import replicas, resolve
from gancomp.measure.macs import profile
from gancomp.pipeline.places import folder
from gancomp.pipeline.stages import DECLARED, generator_spec
from gancomp.report.metrics import METRICS
from gancomp.report.reading import read
from gancomp.report.records import Cost, Evaluation


@dataclass(frozen=True)
class Value:
    """A mean over seeds with its sample standard deviation, None for one seed."""

    mean: float
    sd: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Value:
        """Raises statistics.StatisticsError if there are no values."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean by Student's t; None for one seed."""
        from scipy import stats

        if self.sd is None:
            return None
        half = float(stats.t.ppf(0.975, self.seeds - 1)) * self.sd / math.sqrt(self.seeds)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Measured:
    """One place: its experiment and stage, the evaluations of the seeds that were run, and the cost."""

    experiment: str
    stage: str
    evaluations: tuple[Evaluation, ...]
    cost: Cost | None

    def value(self, metric: str) -> Value | None:
        """The *metric* over the seeds; None if it was not measured."""
        values = [value for record in self.evaluations if (value := getattr(record, metric)) is not None]
        return Value.of(values) if values else None

    @property
    def values(self) -> dict[str, Value]:
        """Every metric that was measured."""
        return {metric.key: value for metric in METRICS if (value := self.value(metric.key)) is not None}


def files_of(config: Config, reference: str) -> list[Path]:
    """The evaluation files of all seeds at a place, run or not; empty if the study has no experiment there."""
    found = resolve(config, reference)
    return evaluations_of(config, *found) if found else []


def evaluations_of(config: Config, experiment: str, stage: str) -> list[Path]:
    """The evaluation files of *stage* at all seeds of *experiment*, run or not."""
    return [folder(config, seed, stage) / "evaluation.json" for seed in replicas(config, experiment)]


def measure(config: Config, reference: str) -> Measured | None:
    """The measurements at the place *reference*; None if the study has no experiment there."""
    found = resolve(config, reference)
    return measured(config, *found) if found else None


def measured(config: Config, experiment: str, stage: str) -> Measured:
    """The measurements of *stage* of *experiment* at its seeds.

    The cost is known without a run, except for stages whose widths a search or a threshold chooses.
    """
    files = [file for file in evaluations_of(config, experiment, stage) if file.is_file()]
    evaluations = tuple(read(file, Evaluation, stage) for file in files)
    cost: Cost | None = evaluations[0] if evaluations else None
    found_later = stage == "distill" and config.experiments[experiment].threshold
    declared = next((known for known in DECLARED if known == stage), None)
    if cost is None and declared and not found_later:
        counted = profile(generator_spec(config, experiment, declared))
        cost = Cost(params=counted.params, macs=counted.macs, macs_paper=counted.macs_paper)
    return Measured(experiment, stage, evaluations, cost)
