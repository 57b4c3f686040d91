"""The experiments that stand for the paper's models and data sets, their variants and their seeds. Imports no torch."""

from __future__ import annotations

import re

from gancomp.config.settings import Config, Study
from gancomp.errors import GancompError
from gancomp.pipeline.stages import stages_of

#: `role.variant:stage`, or `role:stage` for the experiment itself; of `one|other` the first role that the study has.
REFERENCE = re.compile(r"(?P<roles>[A-Za-z0-9_|-]+)(?:\.(?P<variant>[A-Za-z0-9_-]+))?:(?P<stage>[a-z]+)")


def study_of(config: Config) -> Study:
    """The declared study; GancompError if there is none."""
    if config.study is None:
        raise GancompError(
            "study: the configuration declares none; add one over it, such as --configfile config/laptop.yaml"
        )
    return config.study


def replicas(config: Config, experiment: str) -> list[str]:
    """*experiment* at each of its seeds, the first first."""
    return [experiment, *(f"{experiment}.seed{seed}" for seed in config.experiments[experiment].seeds[1:])]


def resolve(config: Config, reference: str) -> tuple[str, str] | None:
    """The experiment and stage that `role.variant:stage` stands for; None if the study has nothing in that place.

    GancompError if *reference* has another form.
    """
    match = REFERENCE.fullmatch(reference)
    if not match:
        raise GancompError(f"{reference!r}: expected role:stage or role.variant:stage, such as edges2shoes:finetune")
    declared = study_of(config).experiments
    name = next((declared[role] for role in match["roles"].split("|") if role in declared), None)
    if name is None:
        return None
    experiment = f"{name}.{match['variant']}" if match["variant"] else name
    if experiment not in config.experiments or match["stage"] not in stages_of(config, experiment):
        return None
    return experiment, match["stage"]
