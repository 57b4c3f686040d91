"""The experiments that represent the paper's models and data sets, their variants and seeds. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gancomp.config.settings import Config, Study
from gancomp.errors import GancompError, did_you_mean
from gancomp.pipeline.stages import stages_of

#: `role.variant:stage`, or `role:stage` for the experiment itself; of `one|other` the first role that the study has.
REFERENCE = re.compile(r"(?P<roles>[A-Za-z0-9_|-]+)(?:\.(?P<variant>[A-Za-z0-9_-]+))?:(?P<stage>[a-z]+)")

#: Separates the experiments in the name of a comparison; names of experiments do not contain it.
JOINT = "+"


def study_of(config: Config) -> Study:
    """The declared study; GancompError if there is none."""
    if config.study is None:
        raise GancompError(
            "study: the configuration declares none; add one over it, such as --configfile config/laptop.yaml"
        )
    return config.study


def replicas(config: Config, experiment: str) -> list[str]:
    """*experiment* at each of its seeds, in order."""
    return [experiment, *(f"{experiment}.seed{seed}" for seed in config.experiments[experiment].seeds[1:])]


def runs_of(config: Config, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The runs of each experiment in *names*: all of its seeds, or only those that are named.

    Named seeds of one experiment (NAME.seed1, NAME.seed2) are one entry. Raises GancompError for unknown experiments.
    """
    parents = {run: name for name in config.experiments for run in replicas(config, name)[1:]}
    named: dict[str, list[str]] = {}
    for name in names:
        if name not in config.experiments:
            raise GancompError(f"compare: no experiment {name!r}{did_you_mean(name, config.experiments)}")
        named.setdefault(parents.get(name, name), []).append(name)
    found = {}
    for parent, members in named.items():
        every = replicas(config, parent)
        runs = every if parent in members else [run for run in every if run in members]
        found[parent if len(runs) > 1 else runs[0]] = tuple(runs)
    return found


def resolve(config: Config, reference: str) -> tuple[str, str] | None:
    """The experiment and stage of `role.variant:stage`; None if the study does not have it.

    Raises GancompError if *reference* has another form.
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
