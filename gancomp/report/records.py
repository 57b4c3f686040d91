"""Records of measurements, which stages write and tables and figures read. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gancomp.config.values import HIGHER_IS_BETTER
from gancomp.spec import GeneratorSpec, Widths

REAL, COPIED, PAINTED, MEAN = "real against real", "input copied", "class colours", "mean colour"
#: Baselines that a trained generator must beat: the input itself, or for label maps each class in its mean colour.
BASELINES: tuple[str, ...] = (COPIED, PAINTED)

#: A score; None (an empty cell in CSV) if it was not measured.
Score = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Record(BaseModel):
    """A frozen model of a JSON file: unknown keys, NaN and infinities are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scores(Record):
    """Quality against real pictures; `gancomp.report.metrics` has the direction of each.

    `kid` is the unbiased MMD² itself (polynomial kernel of degree 3), never scaled, and may be negative.
    `l1` is the mean absolute difference as a share of the 8-bit range, `lpips` the mean perceptual distance, `ssim` the
    mean structural similarity, `psnr` the mean of the pictures' ratios in dB; None if the truth is not known.
    `miou` is a share, from a segmentation network's predictions on the pictures; None without one. `precision`,
    `recall`, `density` and `coverage` use the 5 nearest neighbours in Inception's features. `fid_infinity` is FID
    extrapolated linearly in 1/n to 0, `swd` the sliced Wasserstein distance of the same features, `fid_clean` FID with
    clean-fid's resizing. `dists`, `fd_dinov2` and `cmmd` (times 1,000, as published) use networks whose weights were
    given. Files of earlier versions lack the last twelve.
    """

    fid: float
    kid: float
    l1: Score = None
    miou: Score = None
    lpips: Score = None
    ssim: Score = None
    psnr: Score = None
    precision: Score = None
    recall: Score = None
    density: Score = None
    coverage: Score = None
    fid_infinity: Score = None
    swd: Score = None
    fid_clean: Score = None
    dists: Score = None
    fd_dinov2: Score = None
    cmmd: Score = None


class Cost(Record):
    """A generator's parameters, and its exact MACs and MACs by the paper's convention for one picture."""

    params: Positive
    macs: Positive
    macs_paper: Positive


class Evaluation(Cost, Scores):
    """`{stage}/evaluation.json`: one generator's scores on the validation pictures.

    `samples` has the names of the pictures in `{stage}/samples.png`, top to bottom. `each` has each picture's
    contribution to some of the scores, which are their means; it is empty in files of earlier versions.
    """

    stage: Literal["original", "narrow", "subnet", "finetune", "teacher", "distill", "scratch"]
    experiment: str
    spec: GeneratorSpec
    images: Positive
    seed: int
    data_hash: str
    code_version: str
    samples: Annotated[tuple[str, ...], Field(min_length=1)]
    each: dict[str, tuple[float, ...]] = {}
    provenance: dict[str, Any] = {}
    #: Scores of the training's snapshots, by the number of pictures seen.
    snapshots: dict[int, Scores] = {}

    def best(self, metric: str) -> float | None:
        """The best *metric* of this generator and its snapshots, selected on the same validation pictures, as papers
        report; None without snapshots, or if it was not measured."""
        scored: tuple[Scores, ...] = (self, *self.snapshots.values())
        values: list[float] = [value for one in scored if (value := getattr(one, metric)) is not None]
        if not self.snapshots or not values:
            return None
        return max(values) if metric in HIGHER_IS_BETTER else min(values)

    @model_validator(mode="after")
    def _each_picture_once(self) -> Evaluation:
        for metric, values in self.each.items():
            if len(values) != self.images:
                raise ValueError(f"each.{metric}: {len(values)} values of {self.images} pictures")
        return self


class JudgeMetrics(Record):
    """The part of a data set's `judge/metrics.json` for the report: the segmentation network's mean IoU on real
    validation pictures, and that of always predicting the most frequent class. `usable`: the former is at least twice
    the latter."""

    model_config = ConfigDict(extra="ignore")

    miou: float
    majority: float
    usable: bool


class Reference(Record):
    """`reference/evaluation.json`: the reference rows, scored on the same validation pictures.

    `samples` has the names of the pictures in `reference/inputs.png`, top to bottom; if `paired`, those in
    `reference/targets.png` are their truth. `absent` has the reasons for metrics that no row has. `bands` are the
    95% intervals of real pictures against other real ones, by split and metric, for as many as are scored there.
    """

    experiment: str = ""
    rows: dict[str, Scores]
    images: Positive
    seed: int
    data_hash: str
    code_version: str
    samples: Annotated[tuple[str, ...], Field(min_length=1)]
    paired: bool = True
    judge: JudgeMetrics | None = None
    absent: dict[str, str] = {}
    bands: dict[Literal["val", "train-2"], dict[str, tuple[float, float]]] = {}
    provenance: dict[str, Any] = {}

    @model_validator(mode="after")
    def _has_every_row(self) -> Reference:
        if missing := [name for name in (REAL, MEAN) if name not in self.rows]:
            raise ValueError(f"rows: {', '.join(missing)} missing")
        if len([name for name in BASELINES if name in self.rows]) != 1:
            raise ValueError(f"rows: expected one of {', '.join(BASELINES)}")
        return self

    @property
    def baseline(self) -> str:
        """The row that a generator must beat."""
        return next(name for name in BASELINES if name in self.rows)


class Latency(Record):
    """Milliseconds for one picture at batch 1."""

    mean: float
    median: Annotated[float, Field(gt=0)]
    std: float
    p95: float
    min: float


class BenchmarkRow(Cost):
    """One generator's measured cost."""

    activation_bytes: Count
    latency_ms: Latency
    peak_rss_bytes: Count | None = None


class Benchmark(Record):
    """`benchmark/benchmark.json`: latency by the paper's protocol (Section 4.3), in PyTorch."""

    machine: dict[str, Any]
    threads: Positive
    warmup: Count
    runs: Positive
    rows: dict[str, BenchmarkRow]


class Apart(Record):
    """Differences from PyTorch's outputs, in 8-bit steps."""

    pictures: Positive
    max: float
    mean: float


class RuntimeRow(Record):
    """A generator on a runtime: its latency, or why it did not run. `threads` is 0 on a GPU."""

    network: Literal["original", "compressed"]
    runtime: str
    precision: str
    threads: Count
    macs: Positive
    params: Positive
    latency_ms: Latency | None = None
    peak_rss_bytes: Count | None = None
    difference: Apart | None = None
    fid: float | None = None
    kid: float | None = None
    failed: str = ""


class SampledLatency(Record):
    """A sampled subnet for latency against MACs; median in ms."""

    widths: Widths
    macs: Positive
    runtime: str
    ms: Annotated[float, Field(gt=0)]


class Runtimes(Record):
    """`latency/latency.json`: the paper's Table 2 on this machine."""

    experiment: str
    machine: dict[str, Any]
    warmup: Count
    runs: Positive
    rows: Annotated[tuple[RuntimeRow, ...], Field(min_length=1)]
    sample: tuple[SampledLatency, ...] = ()

    def baseline(self, row: RuntimeRow, *, runtime: str = "", precision: str = "") -> RuntimeRow | None:
        """The original on as many threads as *row*, in *runtime* and *precision* (default: those of *row*)."""
        return next(
            (
                one
                for one in self.rows
                if one.network == "original"
                and one.threads == row.threads
                and one.runtime == (runtime or row.runtime)
                and one.precision == (precision or row.precision)
                and one.latency_ms
            ),
            None,
        )


class StartEnd(Record):
    """A subnet's scores before and after once-for-all training."""

    model_config = ConfigDict(extra="ignore")

    start: dict[str, float]
    end: dict[str, float]

    @model_validator(mode="after")
    def _has_l1(self) -> StartEnd:
        for moment, scores in (("start", self.start), ("end", self.end)):
            if "l1" not in scores:
                raise ValueError(f"{moment}.l1 missing")
        return self


class Imported(Record):
    """The source of a stage's generator that was imported instead of trained."""

    model_config = ConfigDict(extra="ignore")

    checkpoint: str
    sha256: str
    discriminator: str | None = None


class TrainingMetrics(Record):
    """The part of `{stage}/metrics.json` for the report; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    imported: Imported | None = None


class SupernetMetrics(Record):
    """The part of `supernet/metrics.json` for the report; other keys are ignored.

    If L1 is not part of the objective (GauGAN), its increase does not mean that training failed.
    """

    model_config = ConfigDict(extra="ignore")

    l1_against: Literal["truth", "teacher"] = "truth"
    l1_trained: bool = True
    largest: StartEnd
    smallest: StartEnd
    improved: bool
