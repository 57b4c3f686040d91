"""The report of one experiment, found through the configuration."""

from __future__ import annotations

from gancomp import paths
from gancomp.config import Config
from gancomp.pipeline import STAGES, owner
from gancomp.report.figures import write_figures
from gancomp.report.tables import write_tables


def _owners(config: Config, experiment: str) -> dict[str, str]:
    """Which experiment's folder holds each trained stage: its own, or its base's."""
    return {stage: owner(config, experiment, stage) for stage in STAGES}


def write_experiment_tables(config: Config, experiment: str) -> None:
    """`tables/table.csv` and `tables/table.md`."""
    settings = config.experiments[experiment]
    title = settings.title or experiment
    write_tables(paths.RESULTS, experiment, title, settings.note, _owners(config, experiment))


def write_experiment_figures(config: Config, experiment: str) -> None:
    """`figures/{tradeoff,losses,grid}.{svg,png}`."""
    write_figures(paths.RESULTS, experiment, _owners(config, experiment))
