"""One experiment: its generators and the settings of its stages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gancomp import builders
from gancomp.config.objective import Objective
from gancomp.config.searching import Search
from gancomp.config.strict import Strict
from gancomp.config.training import (
    DistillTraining,
    Finetuning,
    ImportableTraining,
    SupernetTraining,
    Teacher,
    Threshold,
    Training,
)
from gancomp.config.values import Metric, Model, Precision, Seed, as_text
from gancomp.errors import did_you_mean
from gancomp.network import Network, read_description
from gancomp.spec import (
    NORM_PER_FAMILY,
    WIDTH_NAMES,
    Block,
    Family,
    Norm,
    PositiveInt,
    Up,
    Upsampling,
    parse_widths,
)


class Discriminator(Strict):
    """PatchGAN: base width (ndf), number of stride-2 layers, and number of scales (GauGAN: 2)."""

    ndf: PositiveInt = 128
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    scales: Annotated[int, Field(ge=1, le=4)] = 1


class Architecture(Strict):
    """Settings that the experiment's generators share."""

    family: Family = Field("resnet", description="module: a custom network, described by generator.network")
    network: Annotated[
        Network | None,
        BeforeValidator(lambda value: read_description(value) if isinstance(value, str) else value),
        PlainSerializer(lambda network: network and network.key, when_used="json"),
        WithJsonSchema({"type": "string"}),
    ] = Field(None, description="module: the file that `gancomp compress` or `gancomp groups --save` wrote")
    builder: str | None = Field(
        None, description="module: the function that builds the network (package.module:function), which will be run"
    )
    blocks: Annotated[int, Field(ge=3, le=99)] = 9
    norm: Norm | None = Field(
        None, description="instance, affine (instance with scales), batch or none; the family's default if unset"
    )
    downs: Annotated[int, Field(ge=3, le=12)] = Field(8, description="unet: stride-2 convolutions (8 for 256x256)")
    upsampling: Upsampling = Field(
        "more", description="spade: six upsamplings by 2, or five (normal) for small pictures"
    )
    up: Up | None = Field(
        None,
        description="resize: hold transposed convolutions to what resizing and a convolution would compute, at equal "
        "MACs, so that flat areas have no checkerboard; unset, they are free",
    )
    block: Block = Field(
        "separable",
        description="of the teacher and its students; dense is Figure 7b's ablation, inception is CAT's (resnet)",
    )

    @model_validator(mode="after")
    def _builder_is_named(self) -> Architecture:
        """The configuration must name the builder of the description, because it will be run."""
        if (self.family == "module") != (self.network is not None):
            raise ValueError("network: is needed for family: module, and for no other")
        if self.network and self.builder is None and self.network.builder not in builders.OWN:
            raise ValueError(
                f"builder: missing; the network is built by {self.network.builder}, which is code that will run. If "
                "you trust it, name it here"
            )
        if self.builder and (not self.network or self.builder != self.network.builder):
            made_by = self.network.builder if self.network else "no function"
            raise ValueError(f"builder: is {self.builder}, but the network is built by {made_by}")
        return self

    @property
    def width_names(self) -> tuple[str, ...]:
        """The names of the widths in `supernet.space`."""
        return self.network.names if self.network else WIDTH_NAMES[self.family]

    @property
    def usual_norm(self) -> Norm:
        """The generators' norm: the declared one, or the network's or the family's default."""
        return self.norm or (self.network.norm if self.network else NORM_PER_FAMILY[self.family])


class Calibration(Strict):
    """Pictures on which every network's BatchNorm statistics are re-estimated, by cumulative averages."""

    images: PositiveInt = 512
    batch: Annotated[int, Field(ge=2, le=4096)] = 16


class Benchmark(Strict):
    """Latency at batch 1, by the paper's protocol (Section 4.3)."""

    warmup: Annotated[int, Field(ge=0)] = 100
    runs: PositiveInt = 100
    threads: PositiveInt | None = Field(None, description="threads of the runtime; all physical cores if unset")


Folder = Annotated[str, Field(min_length=1)]


class MetricWeights(Strict):
    """Folders of weights that nothing fetches. A metric is measured where its folder is given."""

    dists: Folder | None = Field(
        None, description="DISTS: vgg16-397923af.pth of torchvision and weights.pt of DISTS's authors, or .safetensors"
    )
    fd_dinov2: Folder | None = Field(
        None, description="FD-DINOv2: config.json and model.safetensors of facebook/dinov2-large, -base or -small"
    )
    cmmd: Folder | None = Field(
        None,
        description="CMMD: config.json and model.safetensors (or pytorch_model.bin) of "
        "openai/clip-vit-large-patch14-336",
    )

    @property
    def folders(self) -> dict[str, str]:
        """Those that are given, by metric."""
        return {metric: folder for metric, folder in self if folder is not None}


#: The stages of a compression. An experiment that declares none only trains its original; without supernet it ends with
#: the distilled student, without distill it trains the once-for-all network from the teacher.
COMPRESSION = ("teacher", "distill", "supernet")


class Experiment(Strict):
    """One compression, from the original to the exported subnet; without teacher, distill and supernet, only an
    original that is trained and scored (the U-Net of Table 6)."""

    base: str | None = Field(None, description="another experiment whose keys this one overrides")
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="further experiments NAME.VARIANT, each overriding these keys of this one"
    )
    seeds: tuple[Seed, ...] = Field(
        (), description="train everything once per seed; tables then give mean and standard deviation"
    )
    title: str = ""
    note: str = Field("", description="printed under the experiment's table, such as a warning that it is undertrained")
    dataset: str
    model: Model = Field("pix2pix", description="pix2pix: pairs; cyclegan: unpaired pictures; gaugan: label maps")
    metric: Metric = Field("fid", description="what the search optimises; tables and plots follow it")
    fid_clean: bool = Field(
        False, description="also measure FID with clean-fid's resizing, by a second run of Inception over every picture"
    )
    lpips: bool = Field(False, description="also measure LPIPS, whose backbone is fetched (about 240 MB)")
    metric_weights: MetricWeights = MetricWeights()
    seed: Seed = 0
    precision: Annotated[Precision, BeforeValidator(as_text)] = Field(
        "auto", description="auto: bf16 where the processor supports it; 32: for exactness"
    )
    generator: Architecture = Architecture()
    discriminator: Discriminator = Discriminator()
    objective: Objective = Objective()
    original: ImportableTraining
    teacher: Teacher | None = Field(None, description="original: the original is the teacher")
    distill: DistillTraining | None = None
    supernet: SupernetTraining | None = None
    search: Search = Search()
    calibration: Calibration = Calibration()
    finetune: Finetuning = Finetuning()
    narrow: Training = Field(Training(), description="of the baselines trained from scratch")
    benchmark: Benchmark = Benchmark()

    @model_validator(mode="before")
    @classmethod
    def _space_in_order(cls, data: Any) -> Any:
        """Put choices that are given by names of widths into the order of the widths."""
        supernet = data.get("supernet") if isinstance(data, dict) else None
        space = supernet.get("space") if isinstance(supernet, dict) else None
        if not isinstance(supernet, dict) or not isinstance(space, dict):
            return data
        try:
            architecture = Architecture.model_validate(data.get("generator") or {})
        except ValidationError:
            return data  # the generator's own validation reports it
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
        """Whether the original is compressed, or only trained and scored."""
        return self.supernet is not None

    @property
    def threshold(self) -> Threshold | None:
        """How the student's widths are determined once the teacher is trained; None if they are declared."""
        prune = self.distill.prune if self.distill else None
        return prune if isinstance(prune, Threshold) else None

    @property
    def students(self) -> tuple[str, ...]:
        """The stages that train students of a teacher, in order."""
        return tuple(stage for stage in ("distill", "supernet") if getattr(self, stage) is not None)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice, which would count one run as two")
        return seeds

    @model_validator(mode="after")
    def _whole_compression(self) -> Experiment:
        if bool(self.students) != (self.teacher is not None):
            raise ValueError(
                "a compression declares a teacher, and distill or supernet or both; without all of them only the "
                "original is trained and scored"
            )
        return self
