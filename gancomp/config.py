"""The typed configuration: data sets, experiments and their stages. Imports no torch."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gancomp import builders
from gancomp.data.settings import (
    Dataset,
    DatasetBase,
    Kind,
)
from gancomp.errors import did_you_mean
from gancomp.network import Network, read_description
from gancomp.objectives.recipes import PERCEPTUAL, Distillation, Term, weights_of
from gancomp.profile.macs import profile
from gancomp.spec import (
    NORM_PER_FAMILY,
    WIDTH_NAMES,
    Block,
    Family,
    GeneratorSpec,
    Hidden,
    Norm,
    PositiveInt,
    Statistics,
    Upsampling,
    Widths,
    format_widths,
    parse_widths,
)
from gancomp.strict import Strict

#: Folders beside the data sets.
RESERVED_DATASET_NAMES = {"downloads", "inception", "logs", "lpips", "perceptual"}
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Epochs = Annotated[float, Field(ge=0, le=100_000)]
NonNegative = Annotated[float, Field(ge=0, le=1e6)]


class Training(Strict):
    """How long and in which steps one network is trained (the paper's Table 5)."""

    epochs_const: Epochs = Field(5, description="epochs at the full learning rate")
    epochs_decay: Epochs = Field(15, description="epochs over which it falls linearly to zero")
    batch: PositiveInt = 4
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-4
    lr_discriminator: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="the discriminator's own, where it differs (GauGAN's two time scales)"
    )

    snapshots: Annotated[int, Field(gt=0, le=1000)] | None = Field(
        None, description="generators kept on the way, evenly, so that the best of them on validation can be told, too"
    )

    @model_validator(mode="after")
    def _trains(self) -> Training:
        if self.epochs_const + self.epochs_decay == 0:
            raise ValueError("epochs_const + epochs_decay must be more than 0")
        return self


class GeneratorTraining(Training):
    """Training of a generator of its own width: original, teacher, student."""

    widths: Widths = (64,)


class ImportableTraining(GeneratorTraining):
    """A generator that is trained, or taken from a checkpoint instead."""

    checkpoint: str | None = Field(
        None, description="a generator to take instead of training: gancomp's .safetensors, or a file that it converts"
    )
    key: str | None = Field(None, description="which entry of the checkpoint, such as netG, where there are several")
    discriminator: str | None = Field(None, description="the discriminator that belongs to the checkpoint")
    block: Block | None = Field(None, description="dense or separable, where it differs from the stage's usual one")
    statistics: Statistics | None = Field(
        None, description="of a checkpoint's BatchNorm: running, or batch (each picture's own); running if unset"
    )

    hidden: Hidden | None = Field(
        None, description="of a SPADE checkpoint: hidden channels of each SPADE layer, where they are not 2c"
    )

    @model_validator(mode="after")
    def _discriminator_of_a_checkpoint(self) -> ImportableTraining:
        if self.discriminator and not self.checkpoint:
            raise ValueError("discriminator: names a file, but checkpoint does not; name both or neither")
        if self.statistics and not self.checkpoint:
            raise ValueError("statistics: are a checkpoint's; name the checkpoint, or remove them")
        for name in ("key", "hidden"):
            if getattr(self, name) and not self.checkpoint:
                raise ValueError(f"{name}: is a checkpoint's; name the checkpoint, or remove it")
        return self


#: A teacher is trained, or it is the original; which of both is meant is plain, so that a fault is told once.
Teacher = Annotated[
    Annotated[ImportableTraining, Tag("training")] | Annotated[Literal["original"], Tag("original")],
    pydantic.Discriminator(lambda value: "original" if isinstance(value, str) else "training"),
]


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


class Threshold(Strict):
    """Pruning in one step, as CAT's: one threshold of the scales (γ) of all of the teacher's norms tells each width of
    the student, which then is known when the teacher is."""

    budget: Annotated[str, AfterValidator(_checked_budget)] = Field(
        "10x", description="exact MACs the student may have: 10x fewer than the original, or 5.7G"
    )
    least: PositiveInt = Field(
        16, description="channels that a layer keeps at least; branches of inception blocks may vanish"
    )
    inherit: bool = Field(
        True, description="begin from the teacher's weights of what is kept; false: from fresh ones at those widths"
    )


class DistillTraining(GeneratorTraining):
    """Distillation of the student (Eq. 4); the switches are the ablations of the paper's Table 3."""

    prune: Annotated[
        Annotated[bool, Tag("filters")] | Annotated[Threshold, Tag("threshold")],
        pydantic.Discriminator(lambda value: "threshold" if isinstance(value, (dict, Threshold)) else "filters"),
    ] = Field(
        True,
        description="initialise the student from the teacher's filters of largest L1 norm; or, in place of `widths`, "
        "prune the teacher by a threshold of its norms' scales, such as {budget: 10x}",
    )
    inherit_discriminator: bool = Field(True, description="start from the teacher's discriminator")


class SupernetTraining(Training):
    """Once-for-all training (Section 3.3)."""

    sampler: Literal["uniform", "sandwich"] = Field(
        "uniform", description="uniform: one subnet a step; sandwich: the largest, the smallest and one at random"
    )
    adam: Literal["all", "drawn"] = Field(
        "all", description="all: Adam's momentum moves channels that were not drawn, too; drawn: they keep still"
    )
    space: Annotated[
        tuple[tuple[PositiveInt, ...], ...],
        Field(
            min_length=1,
            description="the choices of each width, such as [48, 32], in order; or by name, such as {trunk: [48, 32]}, "
            "where those that are not named keep the student's",
            json_schema_extra={"type": ["array", "object"]},
        ),
    ]

    @model_validator(mode="after")
    def _no_snapshots(self) -> SupernetTraining:
        if self.snapshots:
            raise ValueError("snapshots: are of one generator, and a once-for-all network is many; remove them")
        return self

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


class Evolution(Strict):
    """Evolution of subnets, for spaces that cannot be walked; the defaults suit tens of thousands of subnets."""

    population: PositiveInt = Field(100, description="subnets of a generation")
    parents: PositiveInt = Field(25, description="the best so far, of which the next generation is made")
    mutants: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="share of mutants; the rest is crossed")
    mutation_rate: Annotated[float, Field(gt=0, le=1)] = Field(0.2, description="share of a mutant's widths drawn anew")
    generations: Annotated[int, Field(ge=0, le=100_000)] = 20


class Halving(Strict):
    """Successive halving over pictures: all subnets are scored on few, the best of them on more, the last ones on all.

    The pictures scored are rounds / factor^(rounds - 1) of those of an exhaustive search: half by default.
    """

    rounds: Annotated[int, Field(ge=2, le=10)] = Field(2, description="the last one scores on all pictures")
    factor: Annotated[int, Field(ge=2, le=100)] = Field(
        4, description="of the subnets of a round the best 1/factor go on, to factor times as many pictures"
    )

    @property
    def strides(self) -> list[int]:
        """Of how many pictures each round scores one."""
        return [self.factor**left for left in reversed(range(self.rounds))]


class Search(Strict):
    """Search of the best subnet under the budget (Section 3.3)."""

    budget: Annotated[str, AfterValidator(_checked_budget)] = Field(
        "10x", description="exact MACs a subnet may have: 10x fewer than the original, or 5.7G"
    )
    images: PositiveInt = Field(2048, description="at most this many pictures of train-2 score a subnet")
    shards: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1, description="independent jobs; the result does not depend on it"
    )
    chunk: PositiveInt = Field(32, description="pictures that run through the network together")
    scored: Annotated[str, AfterValidator(_checked_budget)] | None = Field(
        None, description="score subnets up to here, where it is more than the budget: several budgets share the scores"
    )
    at_least: Annotated[str, AfterValidator(_checked_budget)] | None = Field(
        None, description="exact MACs that a subnet must have, as a budget is given: chooses within a window"
    )
    bootstrap: Annotated[int, Field(ge=0, le=10_000)] = Field(
        100, description="draws of the pictures that tell how sure each score is; 0: none"
    )
    method: Literal["exhaustive", "halving", "evolution"] = Field(
        "exhaustive",
        description="score every subnet on all pictures, or only the best so far on all, or evolve subnets where there "
        "are too many",
    )
    halving: Halving = Halving()
    evolution: Evolution = Evolution()
    ties: Literal["fewest-macs", "fastest", "best"] = Field(
        "fewest-macs",
        description="of the subnets that cannot be told from the best, the one with the fewest MACs, or the least "
        "latency on this machine",
    )
    latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="besides the budget, at most this many ms a picture, in PyTorch on this machine's CPU"
    )

    @property
    def asks_latency(self) -> bool:
        """Whether the winner depends on measured latency."""
        return self.latency_ms is not None or self.ties == "fastest"


class Omgd(Strict):
    """The teachers of OMGD (online multi-granularity distillation), of which students imitate the pictures."""

    teachers: Literal["wide-and-deep", "wide", "frozen"] = Field(
        "wide-and-deep",
        description="wide: a generator like the teacher, from scratch, that trains along; deep: one like the student "
        "with more layers, too; frozen: the teacher as it is",
    )
    shared: Annotated[int, Field(ge=0, le=8)] = Field(
        3, description="first convolutions of the discriminator that both teachers have in common"
    )
    every: PositiveInt = Field(1, description="the student's steps for each one of the teachers")
    teacher_epochs: Annotated[float, Field(gt=0, le=100_000)] = Field(
        10, description="without pairs: epochs that the teacher trains before each turn of the student"
    )
    student_epochs: Annotated[float, Field(gt=0, le=100_000)] = Field(
        40, description="without pairs: epochs of that turn, of the best teacher so far"
    )


class Objective(Strict):
    """Eq. 4: L = L_cGAN + λ_recon L_recon + λ_distill L_distill, or another composition of terms."""

    gan: Literal["hinge", "lsgan"] = "hinge"
    lambda_recon: NonNegative = Field(100.0, description="of L1; in GauGAN of the perceptual loss, as in Table 5")
    lambda_distill: NonNegative = 1.0
    distillation: Annotated[Distillation, BeforeValidator(lambda v: "intermediate" if v == "features" else v)] = Field(
        "intermediate",
        description="how students learn: from the teacher's activations (intermediate, or features: Eq. 3), its "
        "pictures (Aguinaldo et al.), its flow between layers (Yim et al.), the kernel of its activations (ka: CAT), "
        "teachers that train along, without a truth (omgd), or what the discriminator sees in its activations (dcd)",
    )
    terms: dict[Term, NonNegative] = Field(
        default_factory=dict, description="weights of single terms over those that distillation names; 0: without it"
    )
    omgd: Omgd = Omgd()
    lambda_cycle: NonNegative = Field(10.0, description="CycleGAN: of the way there and back, in both directions")
    lambda_identity: NonNegative = Field(0.5, description="CycleGAN: share of lambda_cycle for pictures already there")
    pool: Annotated[int, Field(ge=0, le=10_000)] = Field(
        50, description="CycleGAN teachers: fakes kept for the critics"
    )
    pseudo_pairs: bool = Field(
        True, description="CycleGAN students learn from the teacher's output; false: naive unpaired training (Fig. 7a)"
    )
    lambda_feature: NonNegative = Field(10.0, description="GauGAN: of the discriminator's features")
    perceptual: Literal["vgg19", "vgg16", "efficientnet-lite0"] = Field(
        "vgg19", description="the network of GauGAN's perceptual loss, and of the terms gram and content"
    )

    @property
    def online(self) -> bool:
        """Whether teachers train while they teach."""
        return self.distillation == "omgd" and self.omgd.teachers != "frozen"

    @property
    def looks(self) -> bool:
        """Whether a student's terms look through the perceptual network."""
        return bool(PERCEPTUAL & weights_of(self).keys())


class Discriminator(Strict):
    """PatchGAN: base width (ndf), number of stride-2 layers, and at how many scales it looks (GauGAN: 2)."""

    ndf: PositiveInt = 128
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    scales: Annotated[int, Field(ge=1, le=4)] = 1


class Architecture(Strict):
    """What the experiment's generators share."""

    family: Family = Field("resnet", description="module: a network of one's own, which generator.network describes")
    network: Annotated[
        Network | None,
        BeforeValidator(lambda value: read_description(value) if isinstance(value, str) else value),
        PlainSerializer(lambda network: network and network.key, when_used="json"),
        WithJsonSchema({"type": "string"}),
    ] = Field(None, description="module: the file that `gancomp compress` or `gancomp groups --save` wrote")
    builder: str | None = Field(
        None, description="module: the function that makes the network (package.module:function), which will be run"
    )
    blocks: Annotated[int, Field(ge=3, le=99)] = 9
    norm: Norm | None = Field(
        None, description="instance, affine (instance with scales), batch or none; the family's own if unset"
    )
    downs: Annotated[int, Field(ge=3, le=12)] = Field(8, description="unet: stride-2 convolutions (8 for 256x256)")
    upsampling: Upsampling = Field("more", description="spade: six doublings, or five (normal) for small pictures")
    block: Block = Field(
        "separable",
        description="of the teacher and its students; dense is Figure 7b's ablation, inception CAT's (resnet)",
    )

    @model_validator(mode="after")
    def _builder_is_named(self) -> Architecture:
        """What a description says is run because the configuration says so too."""
        if (self.family == "module") != (self.network is not None):
            raise ValueError("network: goes with family: module, and that with a network")
        if self.network and self.builder is None and self.network.builder not in builders.OWN:
            raise ValueError(
                f"builder: missing; the network is made by {self.network.builder}, which is code that will run. If you "
                "trust it, name it here"
            )
        if self.builder and (not self.network or self.builder != self.network.builder):
            made_by = self.network.builder if self.network else "no function"
            raise ValueError(f"builder: is {self.builder}, and the network is made by {made_by}")
        return self

    @property
    def width_names(self) -> tuple[str, ...]:
        """The names by which widths can be given choices in `supernet.space`."""
        return self.network.names if self.network else WIDTH_NAMES[self.family]

    @property
    def usual_norm(self) -> Norm:
        """The norm that the generators have: the declared one, or the network's or the family's own."""
        return self.norm or (self.network.norm if self.network else NORM_PER_FAMILY[self.family])


class Calibration(Strict):
    """Pictures over which BatchNorm statistics are estimated anew, by cumulative averages, for every network."""

    images: PositiveInt = 512
    batch: Annotated[int, Field(ge=2, le=4096)] = 16


class Benchmark(Strict):
    """Latency at batch 1, by the paper's protocol (Section 4.3)."""

    warmup: Annotated[int, Field(ge=0)] = 100
    runs: PositiveInt = 100
    threads: PositiveInt | None = Field(None, description="threads of the runtime; all physical cores if unset")


def _text(value: Any) -> Any:
    """`precision: 32` is as good as `precision: "32"`."""
    return str(value) if isinstance(value, int) else value


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Precision = Literal["auto", "32", "bf16"]
Model = Literal["pix2pix", "cyclegan", "gaugan"]
Metric = Literal["fid", "kid", "l1", "ssim", "psnr", "lpips", "miou", "precision", "recall", "density", "coverage"]
#: Metrics of which more is better; of all others less is.
HIGHER_IS_BETTER: frozenset[str] = frozenset({"ssim", "psnr", "miou", "precision", "recall", "density", "coverage"})
#: Metrics that compare each picture with its own target.
OF_PAIRS: frozenset[str] = frozenset({"l1", "ssim", "psnr", "lpips"})
#: The kind of data set that each model learns from.
KIND_OF_MODEL: dict[str, Kind] = {"pix2pix": "pairs", "cyclegan": "unpaired", "gaugan": "labels"}
#: The stages of a compression. An experiment declares all of them, or none and trains its original alone; one without
#: a supernet ends with the distilled student, one without distill trains the once-for-all network from the teacher.
COMPRESSION = ("teacher", "distill", "supernet")


class Experiment(Strict):
    """One compression, from the original to the exported subnet; without teacher, distill and supernet, an original
    that is trained and scored alone (the U-Net of Table 6)."""

    base: str | None = Field(None, description="another experiment whose keys this one overrides")
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="further experiments NAME.VARIANT, each with these keys over this one's"
    )
    seeds: tuple[Seed, ...] = Field(
        (), description="train all of it once for each; tables then give mean and standard deviation"
    )
    title: str = ""
    note: str = Field("", description="printed under the experiment's table, such as a warning that it is undertrained")
    dataset: str
    model: Model = Field("pix2pix", description="pix2pix: pairs; cyclegan: unpaired pictures; gaugan: label maps")
    metric: Metric = Field("fid", description="what the search optimises; tables and plots follow it")
    lpips: bool = Field(False, description="also measure LPIPS, whose backbone is fetched (about 240 MB)")
    seed: Seed = 0
    precision: Annotated[Precision, BeforeValidator(_text)] = Field(
        "auto", description="auto: bf16 where the processor has it; 32: for exactness"
    )
    generator: Architecture = Architecture()
    discriminator: Discriminator = Discriminator()
    objective: Objective = Objective()
    original: ImportableTraining
    teacher: Teacher | None = Field(None, description="original: no network of its own, the original teaches")
    distill: DistillTraining | None = None
    supernet: SupernetTraining | None = None
    search: Search = Search()
    calibration: Calibration = Calibration()
    finetune: Training = Training()
    narrow: Training = Field(Training(), description="of what is trained from scratch to compare with")
    benchmark: Benchmark = Benchmark()

    @model_validator(mode="before")
    @classmethod
    def _space_in_order(cls, data: Any) -> Any:
        """Choices that are given by the names of widths, in the order of the widths."""
        supernet = data.get("supernet") if isinstance(data, dict) else None
        space = supernet.get("space") if isinstance(supernet, dict) else None
        if not isinstance(supernet, dict) or not isinstance(space, dict):
            return data
        try:
            architecture = Architecture.model_validate(data.get("generator") or {})
        except ValidationError:
            return data  # told of the generator itself
        names = architecture.width_names
        for name in space:
            if name not in names:
                raise ValueError(f"supernet.space.{name}: no such width{did_you_mean(str(name), names)}")
        distill = data.get("distill")
        own = parse_widths(distill.get("widths")) if isinstance(distill, dict) and "widths" in distill else None
        if own is None and architecture.network:
            own = architecture.network.full
        if isinstance(own, (tuple, list)):
            own = dict(zip(names, tuple(own) * (len(names) if len(own) == 1 else 1), strict=False))
        if missing := [name for name in names if name not in space and name not in (own or {})]:
            raise ValueError(f"supernet.space: has no choices for {', '.join(missing)}; give some, or distill.widths")
        ordered = [space[name] if name in space else [(own or {})[name]] for name in names]
        return {**data, "supernet": {**supernet, "space": ordered}}

    @property
    def compressed(self) -> bool:
        """Whether the original is compressed, or trained and scored alone."""
        return self.supernet is not None

    @property
    def threshold(self) -> Threshold | None:
        """What tells the student's widths once the teacher is trained; None where they are declared."""
        prune = self.distill.prune if self.distill else None
        return prune if isinstance(prune, Threshold) else None

    @property
    def students(self) -> tuple[str, ...]:
        """The stages that train students of a teacher, in order."""
        return tuple(stage for stage in ("distill", "supernet") if getattr(self, stage) is not None)

    @model_validator(mode="after")
    def _whole_compression(self) -> Experiment:
        if bool(self.students) != (self.teacher is not None):
            raise ValueError(
                "a compression declares a teacher, and distill or supernet or both; without any of them the original "
                "is trained and scored alone"
            )
        return self


class Study(Strict):
    """What takes the place of the paper's models and data sets in its tables and figures, at one scale."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    title: str = ""
    experiments: dict[str, str] = Field(
        default_factory=dict, description="the experiment for each of the paper's, such as edges2shoes: emoji-laptop"
    )


class Comparison(Strict):
    """Methods side by side, each at several sizes (`snakemake comparison`)."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    title: str = ""
    original: str = Field(description="what all are held against, as EXPERIMENT:STAGE, such as fluent:original")
    methods: dict[str, tuple[str | None, ...]] = Field(
        min_length=1,
        description="for each method its experiments and their stage, one a size, the largest first; null where it "
        "has none. Every method is tested against the first one at the same size",
    )

    @model_validator(mode="after")
    def _same_sizes(self) -> Comparison:
        counts = {method: len(places) for method, places in self.methods.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{method} {count}" for method, count in counts.items())
            raise ValueError(f"methods: need as many sizes each (null where a method has none), not {told}")
        return self

    @property
    def places(self) -> list[str]:
        """The original and every method at every size."""
        return [self.original, *(place for places in self.methods.values() for place in places if place)]


class Config(Strict):
    """The whole configuration, as `config.yaml` writes it."""

    run: tuple[str, ...] = Field((), description="experiments that plain `snakemake` runs")
    devices: int = Field(
        1, ge=1, le=64, description="over how many GPUs of one machine each training is spread (its batch is shared)"
    )
    study: Study | None = Field(None, description="the experiments behind `snakemake paper`")
    comparison: Comparison | None = Field(None, description="the experiments behind `snakemake comparison`")
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
                raise ValueError(f"run: no experiment {name!r}{did_you_mean(name, self.experiments)}")
        for role, name in self.study.experiments.items() if self.study else ():
            if name not in self.experiments:
                raise ValueError(
                    f"study.experiments.{role}: no experiment {name!r}{did_you_mean(name, self.experiments)}"
                )
        for name, experiment in self.experiments.items():
            where = f"experiments.{name}"
            if experiment.dataset not in self.datasets:
                raise ValueError(
                    f"{where}.dataset: no data set {experiment.dataset!r}"
                    f"{did_you_mean(experiment.dataset, self.datasets)}"
                )
            _check_model(where, experiment, self.datasets[experiment.dataset])
            _check_widths(where, experiment, self.datasets[experiment.dataset])
        return self


def spec_of(experiment: Experiment, dataset: DatasetBase, stage: str) -> GeneratorSpec:
    """The generator of *stage* (original, teacher or distill), from what the experiment and its data set declare.

    Where nothing is distilled, the student is the once-for-all network; where a threshold prunes, all that is known of
    it before is that it is a part of the teacher, whose spec stands for it.
    """
    section: GeneratorTraining
    if stage == "distill" and experiment.threshold:
        stage = "teacher"
    if stage == "teacher" and experiment.teacher == "original":
        stage = "original"
    if stage == "distill" and experiment.distill is None and experiment.supernet is not None:
        section = GeneratorTraining(widths=experiment.supernet.largest)
    else:
        section = getattr(experiment, stage)
    architecture = experiment.generator
    widths = section.widths
    if architecture.network and "widths" not in section.model_fields_set:
        widths = architecture.network.full
    own = section.block if isinstance(section, ImportableTraining) else None
    imported = section.model_dump(include={"statistics", "hidden"}) if isinstance(section, ImportableTraining) else {}
    return GeneratorSpec.model_validate(
        {
            **{name: value for name, value in architecture if name not in ("block", "builder")},
            "block": own or ("dense" if stage == "original" else architecture.block),
            "widths": widths,
            "size": dataset.size,
            "in_channels": dataset.input_channels,
            "out_channels": dataset.output_channels,
            **{name: value for name, value in imported.items() if value is not None},
        }
    )


def _check_model(where: str, experiment: Experiment, dataset: DatasetBase) -> None:
    """Model, data, family and metric must belong together."""
    needed = KIND_OF_MODEL[experiment.model]
    if dataset.kind != needed:
        raise ValueError(
            f"{where}.dataset: {experiment.model} learns from {needed}, and {experiment.dataset!r} holds "
            f"{dataset.kind}; choose another data set or model"
        )
    if (experiment.model == "gaugan") != (experiment.generator.family == "spade"):
        raise ValueError(
            f"{where}.generator.family: {experiment.generator.family} does not go with {experiment.model}; gaugan has "
            "a spade generator, the others have not"
        )
    if experiment.students and experiment.generator.family in ("unet", "module") and experiment.search.asks_latency:
        raise ValueError(
            f"{where}.search: the latency of a {experiment.generator.family} generator's subnets is not the sum of its "
            "segments', as its connections run through all of them; search by MACs"
        )
    own_objective = experiment.model == "gaugan" or not experiment.objective.pseudo_pairs
    if own_objective and (experiment.objective.distillation != "intermediate" or experiment.objective.terms):
        raise ValueError(
            f"{where}.objective.distillation: {experiment.objective.distillation} is for students of pairs or "
            "pseudo-pairs, and terms are too; here only intermediate is"
        )
    if experiment.students:
        _check_objective(where, experiment)
    if own_objective and experiment.supernet and experiment.supernet.sampler != "uniform":
        raise ValueError(f"{where}.supernet.sampler: {experiment.supernet.sampler} is for pairs or pseudo-pairs")
    if experiment.metric == "miou" and dataset.judge is None:
        raise ValueError(f"{where}.metric: miou needs datasets.{experiment.dataset}.judge")
    if experiment.metric in OF_PAIRS and dataset.kind == "unpaired":
        raise ValueError(
            f"{where}.metric: {experiment.metric} needs the truth of each picture, and these are unpaired; "
            "use fid or kid"
        )
    if experiment.metric == "lpips" and not experiment.lpips:
        raise ValueError(f"{where}.metric: lpips needs {where}.lpips: true, by which its networks are fetched")


def _check_objective(where: str, experiment: Experiment) -> None:
    """The terms of the students' loss must be what their training can compute."""
    objective = experiment.objective
    weights = weights_of(objective)
    if not weights:
        raise ValueError(f"{where}.objective: no term has a weight, so that students would learn nothing")
    if not objective.online:
        return
    family = experiment.generator.family
    if experiment.model == "cyclegan" and objective.omgd.teachers == "wide-and-deep":
        raise ValueError(f"{where}.objective.omgd.teachers: without pairs there is no deep teacher; set wide")
    if objective.omgd.teachers == "wide-and-deep" and family not in ("resnet", "unet"):
        raise ValueError(f"{where}.objective.omgd.teachers: a {family} generator has no deep teacher; set wide")
    if own := [term for term in ("gan", "critic") if term in weights]:
        raise ValueError(
            f"{where}.objective.terms: {own[0]} asks for a discriminator of the student's own, and there is none "
            "where teachers train along; set omgd.teachers: frozen"
        )


def _check_widths(where: str, experiment: Experiment, dataset: DatasetBase) -> None:
    """Every generator of the experiment must be buildable, and the space must lie within the student."""
    specs = {}
    for stage in ("original", "teacher", "distill") if experiment.students else ("original",):
        try:
            specs[stage] = spec_of(experiment, dataset, stage)
        except ValidationError as error:
            raise ValueError(f"{where}.{stage}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    _check_discriminator(where, experiment.discriminator, dataset.size)
    if not experiment.students:
        return
    if experiment.threshold:
        _check_threshold(where, experiment, specs["teacher"])
        return
    student = specs["distill"].widths
    if experiment.supernet is not None:
        space = experiment.supernet.space
        if len(space) != len(student):
            raise ValueError(f"{where}.supernet.space: needs {len(student)} lists of choices, not {len(space)}")
        for position, (choices, width) in enumerate(zip(space, student, strict=True)):
            if choices[0] > width:
                raise ValueError(
                    f"{where}.supernet.space[{position}]: {choices[0]} is wider than the student's {width}; "
                    "lower it, or raise distill.widths"
                )
            if position in specs["distill"].unused and len(choices) > 1:
                raise ValueError(
                    f"{where}.supernet.space[{position}]: no layer of a unet of {specs['distill'].downs} downs has "
                    "this width; give it one choice"
                )
        _check_budget(where, experiment, experiment.supernet, specs["original"], specs["distill"])
    if experiment.distill is not None and experiment.distill.prune:
        _check_pruning(where, specs["teacher"], specs["distill"])


def _check_threshold(where: str, experiment: Experiment, teacher: GeneratorSpec) -> None:
    """There must be scales to prune by, and nothing that needs the student's widths before."""
    if experiment.supernet is not None:
        raise ValueError(
            f"{where}.supernet: searches among declared widths, and distill.prune.budget leaves the student's to the "
            "teacher's norms; remove supernet (supernet: null), or set distill.prune: true"
        )
    if teacher.family == "spade":
        raise ValueError(
            f"{where}.distill.prune: the norms of a spade generator have no scales of their own by which a threshold "
            "could prune; set distill.prune: true"
        )
    if experiment.objective.online and experiment.objective.omgd.teachers == "wide-and-deep":
        raise ValueError(
            f"{where}.objective.omgd.teachers: the deep one has the student's widths, which a threshold finds "
            "later (distill.prune); set wide or frozen"
        )
    if not teacher.network and teacher.norm not in ("affine", "batch"):
        raise ValueError(
            f"{where}.generator.norm: {teacher.norm} has no scales (γ) by which a threshold could prune "
            "(distill.prune); set affine or batch, or distill.prune: true"
        )


def _check_pruning(where: str, teacher: GeneratorSpec, student: GeneratorSpec) -> None:
    """The teacher's filters must fit the student's layers."""
    if teacher.block != student.block:
        raise ValueError(
            f"{where}.distill.prune: the teacher is {teacher.block} and the student {student.block}, so its filters do "
            f"not fit; set distill.prune: false or generator.block: {teacher.block}"
        )
    for position, (wide, narrow) in enumerate(zip(teacher.widths, student.widths, strict=True)):
        if narrow > wide:
            raise ValueError(
                f"{where}.distill.widths: width {position} is {narrow}, more than the teacher's {wide}; "
                "pruning can only narrow it (or set distill.prune: false)"
            )
    widest = max(student.widths)
    if teacher.hidden and student.hidden_of(widest) > teacher.hidden:
        raise ValueError(
            f"{where}.distill.widths: {widest} takes {student.hidden_of(widest)} hidden channels in a SPADE layer, "
            f"more than the teacher's {teacher.hidden}; pruning can only narrow them (or set distill.prune: false)"
        )


def _check_discriminator(where: str, discriminator: Discriminator, size: tuple[int, int]) -> None:
    """Its last two convolutions, of stride 1, take one pixel each, and leave at least one patch to judge."""
    halvings = discriminator.layers + discriminator.scales - 1
    if min(size) // 2**halvings < 3:
        scales = f" at {discriminator.scales} scales" if discriminator.scales > 1 else ""
        raise ValueError(
            f"{where}.discriminator.layers: {discriminator.layers} layers{scales} leave no "
            f"patch of {size[0]}x{size[1]} pictures; sides of {3 * 2**halvings} or more do, or fewer layers"
        )


def _check_budget(
    where: str, experiment: Experiment, supernet: SupernetTraining, original: GeneratorSpec, student: GeneratorSpec
) -> None:
    """The smallest subnet must meet the budget, within what is scored; checked before anything is trained."""
    search = experiment.search
    limit = budget_macs(search.budget, original)
    if search.scored and budget_macs(search.scored, original) < limit:
        raise ValueError(
            f"{where}.search.scored: {search.scored} is fewer MACs than the budget, {search.budget}; subnets in "
            "between would not be scored"
        )
    if search.at_least and budget_macs(search.at_least, original) >= limit:
        raise ValueError(f"{where}.search.at_least: {search.at_least} leaves nothing under {search.budget}")
    smallest = supernet.smallest
    least = profile(student.with_widths(smallest)).macs
    if least > limit:
        raise ValueError(
            f"{where}.search.budget: {experiment.search.budget} allows {limit / 1e9:.3f}G exact MACs, and the smallest "
            f"subnet of the space ({format_widths(smallest)}) has {least / 1e9:.3f}G; raise the budget or add smaller "
            "choices to supernet.space"
        )
