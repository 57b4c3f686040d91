"""The report of one experiment of the configuration."""

from __future__ import annotations

from gancomp.config.settings import Config
from gancomp.pipeline import paths
from gancomp.pipeline.places import owner
from gancomp.pipeline.stages import stages_of
from gancomp.report.figures import write_figures
from gancomp.report.page import write_page
from gancomp.report.scoreboard import Folders, Subject
from gancomp.report.tables import write_tables


def subject_of(config: Config, experiment: str) -> Subject:
    """The report's settings of *experiment*."""
    settings = config.experiments[experiment]
    return Subject(
        folders=folders_of(config, experiment),
        title=settings.title,
        note=settings.note,
        metric=settings.metric,
        perceptual=settings.objective.perceptual if settings.model == "gaugan" else None,
        all_targets=config.datasets[settings.dataset].fid_targets == "all",
    )


def folders_of(config: Config, experiment: str) -> Folders:
    """The folder of each stage: the experiment's own, or its base's."""
    owners = {stage: owner(config, experiment, stage) for stage in stages_of(config, experiment)}
    return Folders(paths.RESULTS, experiment, owners, config.experiments[experiment].compressed)


def write_experiment_tables(config: Config, experiment: str) -> None:
    """Write `tables/table.csv` and `tables/table.md`."""
    write_tables(subject_of(config, experiment))


def write_experiment_figures(config: Config, experiment: str) -> None:
    """Write `figures/{tradeoff,losses,grid}.{svg,png}`."""
    write_figures(folders_of(config, experiment))


def write_experiment_page(config: Config, experiment: str) -> None:
    """Write `report.html`."""
    write_page(paths.RESULTS, experiment, config.experiments[experiment].compressed)
