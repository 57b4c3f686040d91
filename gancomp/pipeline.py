"""The stages: what each reads and depends on, and which experiment's files serve it. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, get_args

from gancomp.config import Config, spec_of
from gancomp.spec import GeneratorSpec, Strict

Stage = Literal[
    "dataset",
    "statistics",
    "judge",
    "original",
    "teacher",
    "distill",
    "supernet",
    "search",
    "subnet",
    "finetune",
    "narrow",
    "export",
]
STAGES: tuple[str, ...] = get_args(Stage)

#: What each stage reads. A change anywhere upstream changes a stage's signature.
UPSTREAM: dict[str, tuple[str, ...]] = {
    "dataset": (),
    "statistics": ("dataset",),
    "judge": ("dataset",),
    "original": ("dataset",),
    "teacher": ("dataset",),
    "distill": ("dataset", "teacher"),
    "supernet": ("distill",),
    "search": ("statistics", "judge", "supernet"),
    "subnet": ("search",),
    "finetune": ("subnet",),
    "narrow": ("search",),
    "export": ("finetune",),
}

#: Raised when a stage's code changes what it computes, so that old files are made anew.
STAGE_VERSION: dict[str, int] = dict.fromkeys(STAGES, 1)

#: What a stage reads of its experiment besides the section of its own name.
_SHARED_BY_TRAINING = ("model", "seed", "precision", "generator", "discriminator", "objective", "calibration")


def generator_spec(config: Config, experiment: str, stage: Literal["original", "teacher", "distill"]) -> GeneratorSpec:
    """The generator that *stage* of *experiment* trains."""
    declared = config.experiments[experiment]
    return spec_of(declared, config.datasets[declared.dataset], stage)


def stage_settings(config: Config, experiment: str, stage: str) -> dict[str, Any]:
    """What *stage* of *experiment* depends on, itself and upstream, as plain data (its `config.json`)."""
    declared = config.experiments[experiment]
    own: dict[str, Any] = {"version": STAGE_VERSION[stage]}
    if stage == "dataset":
        dataset = config.datasets[declared.dataset]
        own["dataset"] = dataset.model_dump(mode="json", exclude={"judge"})
        own["judged"] = dataset.judge is not None  # Cityscapes then keeps its truth at full resolution
    elif stage == "judge":
        judge = config.datasets[declared.dataset].judge
        own["judge"] = judge.model_dump(mode="json") if judge else None
    elif stage in ("statistics", "export"):
        pass
    elif stage == "subnet":
        own["calibration"] = declared.calibration.model_dump(mode="json")
    elif stage == "search":
        own["search"] = declared.search.model_dump(mode="json", exclude={"shards"})
        own["original"] = generator_spec(config, experiment, "original").model_dump(mode="json")
        own["calibration"] = declared.calibration.model_dump(mode="json")
        own |= {"seed": declared.seed, "precision": declared.precision, "metric": declared.metric}
    else:
        for key in (*_SHARED_BY_TRAINING, stage):
            value = getattr(declared, key)
            own[key] = value.model_dump(mode="json") if isinstance(value, Strict) else value
    return {
        "stage": stage,
        "settings": own,
        "upstream": {name: stage_settings(config, experiment, name) for name in UPSTREAM[stage]},
    }


def signature(config: Config, experiment: str, stage: str) -> str:
    """Hash of everything that *stage* of *experiment* depends on: equal signatures, equal files."""
    text = json.dumps(stage_settings(config, experiment, stage), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stages_of(config: Config, experiment: str) -> tuple[str, ...]:
    """The stages that *experiment* has: all, or those of an original that is trained and scored alone."""
    if config.experiments[experiment].compressed:
        return STAGES
    return tuple(stage for stage in STAGES if stage in ("dataset", "statistics", "judge", "original"))


def owner(config: Config, experiment: str, stage: str) -> str:
    """The experiment whose files serve *stage* of *experiment*: the furthest base with the same signature."""
    owned_by = experiment
    ancestor = config.experiments[experiment].base
    wanted = signature(config, experiment, stage)
    while ancestor is not None:
        if signature(config, ancestor, stage) == wanted:
            owned_by = ancestor
        ancestor = config.experiments[ancestor].base
    return owned_by
