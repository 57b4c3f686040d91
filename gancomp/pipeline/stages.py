"""The stages: what each reads, and which of them an experiment has. Imports no torch."""

from __future__ import annotations

from typing import Literal, get_args

from gancomp.config.checks import spec_of
from gancomp.config.settings import Config
from gancomp.spec import GeneratorSpec

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
