"""The stages: what each reads, and which of them an experiment has. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gancomp.config.checks import spec_of
from gancomp.config.settings import Config
from gancomp.data.settings import Split
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


@dataclass(frozen=True)
class Reads:
    """What a stage depends on. A change of any of it changes the stage's signature, and those of later stages."""

    #: Earlier stages whose files it reads.
    stages: tuple[str, ...] = ()
    #: Its section of the experiment.
    section: str = ""
    #: The parts of the data set that it trains on.
    splits: tuple[Split, ...] = ()
    #: Whether it trains a student by Eq. 4; the others ignore the keys of the objective that are about students.
    taught: bool = False
    #: Whether its generator has dense blocks, whatever `generator.block` says.
    dense: bool = False


_ALL: tuple[Split, ...] = ("train-1", "train-2")
READS: dict[str, Reads] = {
    "dataset": Reads(),
    "statistics": Reads(("dataset",)),
    "judge": Reads(("dataset",)),
    "original": Reads(("dataset",), "original", _ALL, dense=True),
    "teacher": Reads(("dataset",), "teacher", _ALL),
    "distill": Reads(("dataset", "teacher"), "distill", ("train-1",), taught=True),
    "supernet": Reads(("distill",), "supernet", ("train-1",), taught=True),
    "scores": Reads(("statistics", "judge", "supernet"), "search"),
    "search": Reads(("scores",), "search"),
    "subnet": Reads(("search",), splits=("train-1",)),
    "finetune": Reads(("subnet",), "finetune", _ALL, taught=True),
    "narrow": Reads(("search",), "narrow", _ALL, dense=True),
    "scratch": Reads(("search",), "narrow", _ALL),
    "export": Reads(("finetune",)),
}

#: The stages that train, in order.
TRAININGS = tuple(stage for stage, reads in READS.items() if reads.section and reads.splits)
#: The generators that tables and figures compare, in the order of the paper's Table 1.
COMPARED: tuple[str, ...] = ("original", "narrow", "subnet", "finetune")
#: Those of them whose architectures, hence costs, differ.
MEASURED: tuple[str, ...] = ("original", "narrow", "finetune")


def generator_spec(config: Config, experiment: str, stage: Declared) -> GeneratorSpec:
    """The generator that *stage* of *experiment* trains."""
    declared = config.experiments[experiment]
    return spec_of(declared, config.datasets[declared.dataset], stage)


def upstream_of(config: Config, experiment: str, stage: str) -> tuple[str, ...]:
    """What *stage* of *experiment* reads: where the original teaches, or nothing is distilled, other stages do it."""
    declared = config.experiments[experiment]
    reads = READS[stage].stages
    if stage == "supernet" and declared.distill is None:
        reads = READS["distill"].stages
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
