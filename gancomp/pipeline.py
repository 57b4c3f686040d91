"""The stages: what each reads and depends on, and which experiment's files serve it. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

from gancomp import paths
from gancomp.artifacts import read_header
from gancomp.config import Config, Experiment, Objective, spec_of
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec
from gancomp.strict import Strict

Stage = Literal[
    "dataset",
    "statistics",
    "judge",
    "original",
    "teacher",
    "distill",
    "supernet",
    "scores",
    "search",
    "subnet",
    "finetune",
    "narrow",
    "scratch",
    "export",
]
STAGES: tuple[str, ...] = get_args(Stage)
#: The stages whose generator the configuration declares.
Declared = Literal["original", "teacher", "distill"]
DECLARED: tuple[Declared, ...] = get_args(Declared)

#: What each stage reads. A change anywhere upstream changes a stage's signature.
UPSTREAM: dict[str, tuple[str, ...]] = {
    "dataset": (),
    "statistics": ("dataset",),
    "judge": ("dataset",),
    "original": ("dataset",),
    "teacher": ("dataset",),
    "distill": ("dataset", "teacher"),
    "supernet": ("distill",),
    "scores": ("statistics", "judge", "supernet"),
    "search": ("scores",),
    "subnet": ("search",),
    "finetune": ("subnet",),
    "narrow": ("search",),
    "scratch": ("search",),
    "export": ("finetune",),
}

#: Raised when a stage's code changes what it computes, so that old files are made anew.
STAGE_VERSION: dict[str, int] = dict.fromkeys(STAGES, 1) | {"scores": 2}

#: What a stage reads of its experiment besides the section of its own name.
#: The section of the configuration that a stage reads, where it is not that of its own name.
SECTION = {"scratch": "narrow"}
#: What a stage that trains without a teacher does not read of the sections that it shares with students.
_OF_STUDENTS = {"lambda_distill", "distillation", "terms", "omgd", "pseudo_pairs"}
UNUSED: dict[str, dict[str, set[str]]] = {
    "original": {"objective": _OF_STUDENTS, "generator": {"block"}},
    "narrow": {"objective": _OF_STUDENTS, "generator": {"block"}},
    "teacher": {"objective": _OF_STUDENTS},
    "scratch": {"objective": _OF_STUDENTS},
}
#: Keys of a data set that came later, and their defaults, at which what was made before them stands.
NEWER_OF_DATA = {"target_channels": 3, "range": None, "target_range": None}
#: What chooses among the scored subnets, and nothing of what is scored.
OF_SELECTION = {"budget", "at_least", "ties", "latency_ms"}
NOT_OF_SCORES = {"shards", "scored", *OF_SELECTION}
_SHARED_BY_TRAINING = ("model", "seed", "precision", "generator", "discriminator", "objective", "calibration")


def generator_spec(config: Config, experiment: str, stage: Declared) -> GeneratorSpec:
    """The generator that *stage* of *experiment* trains."""
    declared = config.experiments[experiment]
    return spec_of(declared, config.datasets[declared.dataset], stage)


def upstream_of(config: Config, experiment: str, stage: str) -> tuple[str, ...]:
    """What *stage* of *experiment* reads: where the original teaches, or nothing is distilled, other stages do it."""
    declared = config.experiments[experiment]
    reads = UPSTREAM[stage]
    if stage == "supernet" and declared.distill is None:
        reads = UPSTREAM["distill"]
    return tuple("original" if name == "teacher" and declared.teacher == "original" else name for name in reads)


def stage_settings(config: Config, experiment: str, stage: str) -> dict[str, Any]:
    """What *stage* of *experiment* depends on, itself and upstream, as plain data (its `config.json`)."""
    return {
        "stage": stage,
        "settings": {"version": STAGE_VERSION[stage]} | _own_settings(config, experiment, stage),
        "upstream": {name: stage_settings(config, experiment, name) for name in upstream_of(config, experiment, stage)},
    }


def _own_settings(config: Config, experiment: str, stage: str) -> dict[str, Any]:
    """What *stage* itself depends on."""
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
        }
    if stage == "search":
        # Without a limit of latency as before there was one: what was chosen then stands.
        absent = {"latency_ms"} if declared.search.latency_ms is None else set[str]()
        return {"search": declared.search.model_dump(mode="json", include=OF_SELECTION - absent)}
    own = {}
    for key in (*_SHARED_BY_TRAINING, SECTION.get(stage, stage)):
        value = _calibration(declared) if key == "calibration" else getattr(declared, key)
        exclude = set(UNUSED.get(stage, {}).get(key) or ())
        # As before there were such choices.
        newer = ("statistics", "key", "hidden", "network", "builder", "snapshots")
        exclude |= {name for name in newer if getattr(value, name, "") is None}
        if isinstance(value, Objective):
            value, unread = _read_of_objective(declared, stage)
            exclude |= unread
        own[key] = value.model_dump(mode="json", exclude=exclude) if isinstance(value, Strict) else value
    return own


def _read_of_objective(declared: Experiment, stage: str) -> tuple[Objective, set[str]]:
    """The objective as *stage* reads it, and the keys that it does not read, or that have said nothing since before
    they were there."""
    objective = declared.objective
    unread = {"omgd"} if objective.distillation != "omgd" else set[str]()
    if not objective.terms:
        unread.add("terms")
    of_students = stage in ("distill", "supernet", "finetune")
    if declared.model != "gaugan" and not (of_students and objective.looks):
        objective = objective.model_copy(update={"perceptual": Objective().perceptual})
    return objective, unread


def _told(spec: GeneratorSpec) -> dict[str, Any]:
    """*spec* as a signature knows it: a network of one's own by its hash."""
    told = spec.model_dump(mode="json")
    return told | {"network": spec.network.key} if spec.network else told


def _calibration(declared: Experiment) -> dict[str, Any]:
    """How BatchNorm's statistics are estimated. Generators without any stand as before the version changed."""
    estimated = declared.generator.usual_norm == "batch"
    return declared.calibration.model_dump(mode="json") | ({"version": 2} if estimated else {})


def signature(config: Config, experiment: str, stage: str) -> str:
    """Hash of everything that *stage* of *experiment* depends on: equal signatures, equal files."""
    text = json.dumps(stage_settings(config, experiment, stage), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


#: The stages behind a once-for-all network.
_OF_A_SEARCH = frozenset({"supernet", "scores", "search", "subnet", "finetune", "narrow", "scratch", "export"})


def stages_of(config: Config, experiment: str) -> tuple[str, ...]:
    """The stages that *experiment* has: all, or those that its sections lead to."""
    declared = config.experiments[experiment]

    def has(stage: str) -> bool:
        if stage == "teacher":
            return declared.teacher not in (None, "original")
        if stage in _OF_A_SEARCH:
            return declared.compressed
        return stage != "distill" or declared.distill is not None

    return tuple(stage for stage in STAGES if has(stage))


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
