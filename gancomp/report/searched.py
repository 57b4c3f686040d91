"""The scored subnets: rows of the search's CSVs, and the selection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from gancomp.config.values import Metric
from gancomp.errors import GancompError
from gancomp.pipeline.files import read_csv
from gancomp.report.reading import RecordType, require, validated
from gancomp.report.records import Cost, Count, Positive, Record, Score, Scores
from gancomp.spec import Widths


class SubnetRow(Cost, Scores):
    """One row of `scores/search.csv`: widths, cost and scores of a subnet on train-2, 95% intervals of some."""

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
    fid_infinity_low: Score = None
    fid_infinity_high: Score = None
    swd_low: Score = None
    swd_high: Score = None
    fid_clean_low: Score = None
    fid_clean_high: Score = None
    dists_low: Score = None
    dists_high: Score = None
    fd_dinov2_low: Score = None
    fd_dinov2_high: Score = None
    cmmd_low: Score = None
    cmmd_high: Score = None


def _ends(*metrics: str) -> tuple[str, ...]:
    return tuple(f"{metric}_{end}" for metric in metrics for end in ("low", "high"))


#: The columns of `scores/search.csv`, in order: those of every version, and later ones.
PLAIN_COLUMNS: tuple[str, ...] = ("index", "widths", "macs", "macs_paper", "params", "fid", "kid", "l1", "miou")
LATER_COLUMNS: tuple[str, ...] = (
    *_ends("fid", "kid", "l1"),
    *("psnr", "ssim", "lpips", "precision", "recall", "density", "coverage"),
    *_ends("psnr", "ssim", "lpips", "precision", "density", "coverage"),
    *("fid_infinity", "swd"),
    *_ends("fid_infinity", "swd"),
    "fid_clean",
    *_ends("fid_clean"),
    *("dists", "fd_dinov2", "cmmd"),
    *_ends("dists", "fd_dinov2", "cmmd"),
)
SEARCH_COLUMNS: tuple[str, ...] = (*PLAIN_COLUMNS, *LATER_COLUMNS)
#: `scores/space.csv` also has the median and the quartiles of the latency of one picture, in ms.
LATENCY_COLUMNS: tuple[str, ...] = ("latency_ms", "latency_ms_low", "latency_ms_high")
SPACE_COLUMNS: tuple[str, ...] = (*SEARCH_COLUMNS, *LATENCY_COLUMNS)
#: A shard also has its subnets' scores in each draw of the pictures, by the experiment's metric.
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


class OnFront(Record):
    """A subnet of the Pareto front: its score by the experiment's metric, with its 95% interval if known.

    `tied`: it does not differ significantly from the best; None without draws.
    """

    index: Count
    widths: Widths
    macs: Positive
    score: float
    low: float | None = None
    high: float | None = None
    tied: bool | None = None


class Selection(Record):
    """`search/selection.json`: by `metric`, the winner under the budget (exact MACs) and the Pareto front.

    `pareto` has the front's indices, `front` its subnets with intervals, which files of earlier versions lack. `best`
    has the best score; `tied` is the number of subnets that do not differ significantly from it, including itself, or
    None without draws. The winner is the tied subnet with the fewest MACs, unless `search.ties` or `search.winner`
    says otherwise.
    """

    metric: Metric = "fid"
    winner: SubnetRow
    pareto: tuple[Count, ...]
    front: tuple[OnFront, ...] = ()
    budget_macs: Positive
    subnets_in_space: Positive
    subnets_scored: Positive
    images: Positive
    fid_precision: str
    best: SubnetRow | None = None
    tied: Count | None = None
    #: If the search used latency: the winner's prediction in ms, and the mean relative error of such predictions.
    latency_ms: float | None = None
    latency_error: float | None = None


def read_search(path: Path) -> list[SubnetRow]:
    """The rows of `search.csv`, at least one. Raises GancompError with file, line and column of an invalid value."""
    rows = read_subnets(path)
    if not rows:
        raise GancompError(f"{path}: contains no subnet; delete the file and run the stage 'search' again")
    return rows


def read_subnets(path: Path) -> list[SubnetRow]:
    """The rows of `search.csv`, possibly none."""
    return _read_rows(path, SubnetRow)


def read_space(path: Path) -> list[SpaceRow]:
    """The rows of `space.csv`, which `gancomp space` writes."""
    return _read_rows(path, SpaceRow, LATENCY_COLUMNS)


def read_shard(path: Path) -> list[ShardRow]:
    """The rows of one shard, possibly none. Raises GancompError for a damaged row."""
    return _read_rows(path, ShardRow, (REPLICATES,))


def _read_rows(path: Path, kind: type[RecordType], more: tuple[str, ...] = ()) -> list[RecordType]:
    """The rows of a file with the columns of `search.csv`, of this or an earlier version, and *more*."""
    columns, rows = read_csv(require(path, "search"))
    had = tuple(column for column in LATER_COLUMNS if column in columns)
    if columns != (*PLAIN_COLUMNS, *had, *more):
        wanted = ", ".join((*SEARCH_COLUMNS, *more))
        raise GancompError(f"{path}: its columns are not {wanted}; delete it and run the search again")
    return [validated(row, kind, f"{path}, line {line}", "search") for line, row in enumerate(rows, start=2)]
