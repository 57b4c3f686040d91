"""What the stages tell the report: one definition of every JSON and CSV that it reads. Imports no torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gancomp.artifacts import read_csv, read_json
from gancomp.config import HIGHER_IS_BETTER, Metric
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec, Widths, format_widths

REAL, COPIED, PAINTED, MEAN = "real against real", "input copied", "class colours", "mean colour"
#: What a generator must beat to have learned: the input itself, or of label maps each class in its mean colour.
BASELINES: tuple[str, ...] = (COPIED, PAINTED)

#: A score, None (in CSV an empty cell) where it was not measured.
Score = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Record(BaseModel):
    """A frozen model of one JSON file: unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scores(Record):
    """Quality against real pictures; `gancomp.report.metrics` says which way each is better.

    `kid` is the unbiased MMD² itself (polynomial kernel of degree 3), never scaled, and may be negative.
    `l1` is the mean absolute difference as a share of the 8-bit range, `lpips` the mean perceptual distance, `ssim` the
    mean structural similarity, `psnr` the mean of the pictures' ratios in dB; None where the truth is not known.
    `miou` is a share, what a judge reads off the pictures; None without a judge. `precision`, `recall`, `density` and
    `coverage` are of 5 nearest neighbours among Inception's features. Files of earlier versions lack the last six.
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


class Cost(Record):
    """What a generator costs: parameters, exact MACs, and MACs by the paper's convention, for one picture."""

    params: Positive
    macs: Positive
    macs_paper: Positive


class Evaluation(Cost, Scores):
    """`{stage}/evaluation.json`: one generator's scores on the validation pictures.

    `samples` names the pictures of `{stage}/samples.png`, top to bottom. `each` holds what each picture adds to some of
    the scores, which are their means; files of earlier versions have none.
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
    #: Of the generators that were kept on the way, by the pictures that they had seen.
    snapshots: dict[int, Scores] = {}

    def best(self, metric: str) -> float | None:
        """The best *metric* of this generator and of those kept on the way, chosen on the validation pictures that
        score it, as papers report: None where none was kept, or it was not measured."""
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
    """What the report needs of a data set's `judge/metrics.json`: mean IoU on real validation pictures, and that of
    always answering the most frequent class. `usable`: the former is at least twice the latter."""

    model_config = ConfigDict(extra="ignore")

    miou: float
    majority: float
    usable: bool


class Reference(Record):
    """`reference/evaluation.json`: the honesty rows, scored on the same validation pictures.

    `samples` names the pictures of `reference/inputs.png`, top to bottom; where `paired`, those of
    `reference/targets.png` are their truth. `absent` says of metrics that no row has why that is so. `bands` are the
    95% intervals of real pictures against other real ones, by split and metric: as many as are scored there.
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
    """One generator's cost, measured."""

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
    """How far pictures are from PyTorch's, in 8-bit steps."""

    pictures: Positive
    max: float
    mean: float


class RuntimeRow(Record):
    """A generator on a runtime: its latency, or why it did not run. *threads* is 0 on a GPU."""

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
    failed: str = ""


class SampledLatency(Record):
    """A subnet of the sample that shows how MACs and latency go together; median in ms."""

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
        """The original on as many threads as *row*, in that runtime and precision (else in the row's own)."""
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


class SubnetRow(Cost, Scores):
    """One row of `scores/search.csv`: a subnet's widths, cost and scores on train-2, with 95% intervals of some."""

    index: Count
    widths: Widths
    fid_low: Score = None
    fid_high: Score = None
    kid_low: Score = None
    kid_high: Score = None
    l1_low: Score = None
    l1_high: Score = None
    psnr_low: Score = None
    psnr_high: Score = None
    ssim_low: Score = None
    ssim_high: Score = None
    lpips_low: Score = None
    lpips_high: Score = None
    precision_low: Score = None
    precision_high: Score = None
    density_low: Score = None
    density_high: Score = None
    coverage_low: Score = None
    coverage_high: Score = None


def _ends(*metrics: str) -> tuple[str, ...]:
    return tuple(f"{metric}_{end}" for metric in metrics for end in ("low", "high"))


#: The columns of `scores/search.csv`, in order.
PLAIN_COLUMNS: tuple[str, ...] = ("index", "widths", "macs", "macs_paper", "params", "fid", "kid", "l1", "miou")
NEWER_SCORES: tuple[str, ...] = ("psnr", "ssim", "lpips", "precision", "recall", "density", "coverage")
FIRST_INTERVALS: tuple[str, ...] = _ends("fid", "kid", "l1")
NEWER_INTERVALS: tuple[str, ...] = _ends("psnr", "ssim", "lpips", "precision", "density", "coverage")
INTERVAL_COLUMNS: tuple[str, ...] = (*FIRST_INTERVALS, *NEWER_INTERVALS)
SEARCH_COLUMNS: tuple[str, ...] = (*PLAIN_COLUMNS, *FIRST_INTERVALS, *NEWER_SCORES, *NEWER_INTERVALS)
#: What files from before the newer scores, and from before intervals were known, have of them.
OLDER_COLUMNS: tuple[tuple[str, ...], ...] = ((*PLAIN_COLUMNS, *FIRST_INTERVALS), PLAIN_COLUMNS)
#: `scores/space.csv` also has the median and the quartiles of the latency of one picture, in ms.
LATENCY_COLUMNS: tuple[str, ...] = ("latency_ms", "latency_ms_low", "latency_ms_high")
SPACE_COLUMNS: tuple[str, ...] = (*SEARCH_COLUMNS, *LATENCY_COLUMNS)
#: A shard also says what its subnets score in each draw of the pictures, by the metric that chooses.
REPLICATES = "replicates"
SHARD_COLUMNS: tuple[str, ...] = (*SEARCH_COLUMNS, REPLICATES)


class ShardRow(SubnetRow):
    """One row of a shard."""

    replicates: Annotated[
        tuple[float, ...], BeforeValidator(lambda value: value.split() if isinstance(value, str) else value)
    ] = ()


class SpaceRow(SubnetRow):
    """One row of `scores/space.csv`: a subnet with its measured latency, median and quartiles, in ms."""

    latency_ms: Annotated[float, Field(gt=0)]
    latency_ms_low: Annotated[float, Field(gt=0)]
    latency_ms_high: Annotated[float, Field(gt=0)]


class Selection(Record):
    """`search/selection.json`: by *metric*, the winner under the budget (exact MACs) and the Pareto front, by index.

    *best* has the best score; *tied* counts the subnets that cannot be told from it, itself among them, None where
    no draws say so. The winner is the one of those with the fewest MACs, or the best itself.
    """

    metric: Metric = "fid"
    winner: SubnetRow
    pareto: tuple[Count, ...]
    budget_macs: Positive
    subnets_in_space: Positive
    subnets_scored: Positive
    images: Positive
    fid_precision: str
    best: SubnetRow | None = None
    tied: Count | None = None
    #: Where latency was asked for: the winner's in ms, and how far such sums are off on average.
    latency_ms: float | None = None
    latency_error: float | None = None


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
    """Where a stage that was not trained took its generator from."""

    model_config = ConfigDict(extra="ignore")

    checkpoint: str
    sha256: str
    discriminator: str | None = None


class TrainingMetrics(Record):
    """What the report needs of `{stage}/metrics.json`; the file may say more."""

    model_config = ConfigDict(extra="ignore")

    imported: Imported | None = None


class SupernetMetrics(Record):
    """What the report needs of `supernet/metrics.json`; the file may say more.

    Where L1 is no part of the objective (GauGAN), its rise is no sign of a training that failed.
    """

    model_config = ConfigDict(extra="ignore")

    l1_against: Literal["truth", "teacher"] = "truth"
    l1_trained: bool = True
    largest: StartEnd
    smallest: StartEnd
    improved: bool


# --- reading -----------------------------------------------------------------------------------

RecordType = TypeVar("RecordType", bound=Record)


def require(path: Path, stage: str) -> Path:
    """*path* if it is a file; GancompError naming the *stage* to run otherwise."""
    if not path.is_file():
        raise GancompError(f"{path}: missing; run the stage {stage!r} first (snakemake {path})")
    return path


def read(path: Path, kind: type[RecordType], stage: str) -> RecordType:
    """One JSON file as *kind*; GancompError naming file, key and *stage* when it is missing or wrong."""
    return _validated(read_json(require(path, stage)), kind, str(path), stage)


def _validated(data: Any, kind: type[RecordType], where: str, stage: str) -> RecordType:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise GancompError(
            f"{where}: {key + ': ' if key else ''}{message}; delete the file and run the stage {stage!r} again"
        ) from None


def read_search(path: Path) -> list[SubnetRow]:
    """The rows of `search.csv`, at least one; GancompError naming file, line and column at fault."""
    rows = read_subnets(path)
    if not rows:
        raise GancompError(f"{path}: holds no subnet; delete the file and run the stage 'search' again")
    return rows


def read_subnets(path: Path) -> list[SubnetRow]:
    """The rows of `search.csv`, which may hold none."""
    return _read_rows(path, SubnetRow)


def read_space(path: Path) -> list[SpaceRow]:
    """The rows of `space.csv`, which `gancomp space` writes."""
    return _read_rows(path, SpaceRow, LATENCY_COLUMNS)


def read_shard(path: Path) -> list[ShardRow]:
    """The rows of one shard, which may hold none; GancompError where a row is not what was written."""
    return _read_rows(path, ShardRow, (REPLICATES,))


def _read_rows(path: Path, kind: type[RecordType], more: tuple[str, ...] = ()) -> list[RecordType]:
    """The rows of a file that has the columns of `search.csv`, or those of earlier versions, and *more*."""
    columns, rows = read_csv(require(path, "search"))
    if columns not in [(*known, *more) for known in (SEARCH_COLUMNS, *OLDER_COLUMNS)]:
        wanted = ", ".join((*SEARCH_COLUMNS, *more))
        raise GancompError(f"{path}: its columns are not {wanted}; delete it and run the search again")
    return [_validated(row, kind, f"{path}, line {line}", "search") for line, row in enumerate(rows, start=2)]


#: Columns of `log.csv` that are no losses.
NOT_LOSSES: frozenset[str] = frozenset(
    {"step", "epoch", "images", "lr", "images_per_second", "elapsed_seconds", "eta_seconds"}
)


def read_log(path: Path, stage: str) -> tuple[list[float], dict[str, list[float]]]:
    """Images seen and every loss of a training's `log.csv`; GancompError on a value that is no finite number."""
    with require(path, stage).open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        columns: Sequence[str] = reader.fieldnames or ()
        rows = list(reader)
    if "images" not in columns:
        raise GancompError(f"{path}: no column 'images'; delete the file and run the stage {stage!r} again")
    names = ["images", *(name for name in columns if name not in NOT_LOSSES)]
    values: dict[str, list[float]] = {name: [] for name in names}
    for line, row in enumerate(rows, start=2):
        for name in names:
            values[name].append(_finite(row[name], f"{path}, line {line}: {name}", stage))
    return values.pop("images"), values


def _finite(text: str | None, where: str, stage: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise GancompError(f"{where}: {text!r} is no finite number; the training went wrong, run {stage!r} again")
    return value


# --- what is compared --------------------------------------------------------------------------


#: The generators that the report compares, in the order of the paper's Table 1.
COMPARED: tuple[str, ...] = ("original", "narrow", "subnet", "finetune")
#: The stages that train, in order.
TRAINED: tuple[str, ...] = ("original", "teacher", "distill", "supernet", "finetune", "narrow")


@dataclass(frozen=True)
class Folders:
    """Where an experiment's stages wrote: its own folders, or those of the base that owns the stage.

    Unless it is *compressed*, the experiment has the original alone.
    """

    results: Path
    experiment: str
    owners: Mapping[str, str] = field(default_factory=dict)
    compressed: bool = True

    @property
    def compared(self) -> tuple[str, ...]:
        return COMPARED if self.compressed else ("original",)

    @property
    def trained(self) -> tuple[str, ...]:
        had = [stage for stage in TRAINED if not self.owners or stage in self.owners]
        return tuple(had) if self.compressed else ("original",)

    def file(self, stage: str, name: str) -> Path:
        return self.results / self.owners.get(stage, self.experiment) / stage / name

    def output(self, kind: str, name: str) -> Path:
        return self.results / self.experiment / kind / name


@dataclass(frozen=True)
class Subject:
    """What the configuration declares of the experiment that is reported; *perceptual* names the network of its
    perceptual loss, where it has one, and *all_targets* says that FID and KID look at every real target."""

    folders: Folders
    title: str = ""
    note: str = ""
    metric: Metric = "fid"
    perceptual: str | None = None
    all_targets: bool = False


@dataclass(frozen=True)
class Scoreboard:
    """The compared generators and the honesty rows, all scored on the same pictures."""

    evaluations: Mapping[str, Evaluation]
    reference: Reference


def read_scoreboard(folders: Folders) -> Scoreboard:
    """Raises GancompError when a file is missing or when two were scored on different pictures."""
    reference_path = folders.file("reference", "evaluation.json")
    reference = read(reference_path, Reference, "reference")
    evaluations = {}
    for stage in folders.compared:
        path = folders.file(stage, "evaluation.json")
        evaluation = evaluations[stage] = read(path, Evaluation, stage)
        for key in ("data_hash", "images", "samples"):
            if getattr(evaluation, key) != getattr(reference, key):
                raise GancompError(
                    f"{path}: {key} differs from that of {reference_path}: they were scored on different pictures; "
                    f"evaluate {stage!r} and 'reference' again"
                )
        # Features of two precisions lie several points of FID apart, even for equal pictures.
        for key, score in (("inception", "FID"), ("judge", "mIoU")):
            mine, theirs = (record.provenance.get(key) for record in (evaluation, reference))
            if mine != theirs:
                raise GancompError(
                    f"{path}: provenance.{key} is {mine!r}, but {theirs!r} in {reference_path}: their {score} cannot "
                    f"be compared; evaluate {stage!r} and 'reference' again on one machine"
                )
    return Scoreboard(evaluations, reference)


def label(evaluation: Evaluation) -> str:
    """How tables and figures call a compared generator."""
    if evaluation.stage == "narrow":
        widths = evaluation.spec.widths
        own = f"ngf {widths[0]}" if len(set(widths)) == 1 else f"widths {format_widths(widths)}"
        return f"Uniform narrow, {own} (from scratch)"
    return {"original": "Original", "subnet": "Ours (w/o fine-tuning)", "finetune": "Ours"}[evaluation.stage]


def reduction(original: float, compressed: float) -> float:
    """How many times less *compressed* is than *original*."""
    return original / compressed
