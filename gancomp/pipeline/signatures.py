"""The settings that a stage depends on, and their hash: equal signatures mean equal files. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gancomp.config.experiment import Experiment
from gancomp.config.objective import Objective
from gancomp.config.searching import Latency
from gancomp.config.settings import Config
from gancomp.config.strict import Strict
from gancomp.config.training import Threshold
from gancomp.pipeline.stages import READS, STAGES, generator_spec, upstream_of
from gancomp.spec import GeneratorSpec

#: Raised when a stage's code changes what it computes, so that old files are made anew.
STAGE_VERSION: dict[str, int] = dict.fromkeys(STAGES, 1) | {"scores": 2}

#: Keys of the objective that only the training of students reads.
_OF_STUDENTS = {"lambda_distill", "distillation", "terms", "omgd", "pseudo_pairs"}
#: Keys of a data set that came later, and their defaults, at which what was made before them stands.
NEWER_OF_DATA = {"target_channels": 3, "range": None, "target_range": None, "skin_tones": False}
#: What chooses among the scored subnets, and nothing of what is scored.
OF_SELECTION = {"budget", "at_least", "ties", "latency", "winner"}
NOT_OF_SCORES = {"shards", "scored", *OF_SELECTION}
_SHARED_BY_TRAINING = ("model", "seed", "precision", "generator", "discriminator", "objective", "calibration")


def stage_settings(config: Config, experiment: str, stage: str) -> dict[str, Any]:
    """All settings that *stage* of *experiment* depends on, also by earlier stages, as plain data (`config.json`)."""
    return {
        "stage": stage,
        "settings": {"version": STAGE_VERSION[stage]} | _own_settings(config, experiment, stage),
        "upstream": {name: stage_settings(config, experiment, name) for name in upstream_of(config, experiment, stage)},
    }


def _own_settings(config: Config, experiment: str, stage: str) -> dict[str, Any]:
    """The settings that *stage* reads, without those of earlier stages."""
    declared = config.experiments[experiment]
    if stage == "dataset":
        dataset = config.datasets[declared.dataset]
        unset = {key for key, value in NEWER_OF_DATA.items() if getattr(dataset, key, value) == value}
        # Cityscapes keeps its truth at full resolution where it is judged.
        return {
            "dataset": dataset.model_dump(mode="json", exclude={"judge", *unset}),
            "judged": dataset.judge is not None,
        }
    if stage == "judge":
        judge = config.datasets[declared.dataset].judge
        return {"judge": judge.model_dump(mode="json") if judge else None}
    if stage in ("statistics", "export"):
        return {}
    if stage == "subnet":
        return {"calibration": _calibration(declared)}
    if stage == "scores":
        scored = declared.search.scored or declared.search.budget
        # Only where pictures are halved: without it scores stand as before there was such a search.
        unused = set[str]() if declared.search.method == "halving" else {"halving"}
        return {
            "search": declared.search.model_dump(mode="json", exclude=NOT_OF_SCORES | unused) | {"scored": scored},
            "original": _told(generator_spec(config, experiment, "original")),
            "calibration": _calibration(declared),
            "seed": declared.seed,
            "precision": declared.precision,
            "metric": declared.metric,
            # Only of the metric that chooses: another one's weights change no score of the search.
            **({"weights": given} if (given := declared.metric_weights.folders.get(declared.metric)) else {}),
        }
    if stage == "search":
        # Without them as before there were such keys: what was chosen then stands.
        absent = {key for key in ("latency", "winner") if getattr(declared.search, key) is None}
        return {"search": declared.search.model_dump(mode="json", include=OF_SELECTION - absent)}
    own, reads = {}, READS[stage]
    for key in (*_SHARED_BY_TRAINING, reads.section):
        value = _calibration(declared) if key == "calibration" else getattr(declared, key)
        exclude = {"block"} if reads.dense and key == "generator" else set[str]()
        # As before there were such choices.
        newer = ("statistics", "key", "hidden", "network", "builder", "snapshots", "quantise", "terms", "up")
        exclude |= {name for name in newer if getattr(value, name, "") is None}
        if isinstance(value, Objective):
            value, unread = _read_of_objective(declared, taught=reads.taught)
            exclude |= unread
        own[key] = value.model_dump(mode="json", exclude=exclude) if isinstance(value, Strict) else value
    by_threshold = stage == "distill" and declared.distill and isinstance(declared.distill.prune, Threshold)
    if by_threshold:
        # Its budget may be a fraction of the original, which need not be the teacher.
        own["original"] = _told(generator_spec(config, experiment, "original"))
    if by_threshold or declared.generator.family == "module":
        own["built"] = 2  # version 1 trained what a graph builds in evaluation mode, and free of `up`
    return own


def _read_of_objective(declared: Experiment, *, taught: bool) -> tuple[Objective, set[str]]:
    """The objective as a stage reads it, *taught* or not, and the keys to leave out: those that it does not read, and
    those without effect, which older versions did not have."""
    objective = declared.objective
    unread = set[str]() if taught else set(_OF_STUDENTS)
    if objective.distillation != "omgd":
        unread.add("omgd")
    if not objective.terms:
        unread.add("terms")
    if declared.model != "gaugan" and not (taught and objective.looks):
        objective = objective.model_copy(update={"perceptual": Objective().perceptual})
    return objective, unread


def _told(spec: GeneratorSpec) -> dict[str, Any]:
    """*spec* as part of a signature: a custom network is represented by its hash."""
    told = spec.model_dump(mode="json")
    return told | {"network": spec.network.key} if spec.network else told


def _calibration(declared: Experiment) -> dict[str, Any]:
    """The settings that estimate BatchNorm statistics. Generators without BatchNorm keep the signature of version 1."""
    estimated = declared.generator.usual_norm == "batch"
    return declared.calibration.model_dump(mode="json") | ({"version": 2} if estimated else {})


def signature(config: Config, experiment: str, stage: str) -> str:
    """Hash of everything that *stage* of *experiment* depends on."""
    return _hash(stage_settings(config, experiment, stage))


def latency_signature(config: Config, experiment: str) -> str:
    """Hash of what the times of subnets depend on: the student, the space, the runtime and its device."""
    declared = config.experiments[experiment]
    asked = declared.search.latency or Latency()
    student = _told(generator_spec(config, experiment, "distill"))
    space = declared.supernet.space if declared.supernet else []
    return _hash({"student": student, "space": space, "runtime": asked.runtime, "device": asked.device})


def _hash(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
