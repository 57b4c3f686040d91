"""Merge shards, compute the Pareto front and select the winner."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.data.build import load_manifest
from gancomp.elastic.space import in_space
from gancomp.errors import GancompError
from gancomp.metrics.bootstrap import may_be_equal
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_csv, write_csv, write_json
from gancomp.pipeline.places import folder as stage_folder
from gancomp.pipeline.signatures import stage_settings
from gancomp.pipeline.stages import generator_spec
from gancomp.report.metrics import BY_KEY
from gancomp.report.searched import SEARCH_COLUMNS, OnFront, Selection, ShardRow, SubnetRow, read_search, read_shard
from gancomp.search.candidates import as_text, candidates, shard_path, supernet_of
from gancomp.search.subnet_latency import SubnetLatency, read_latency
from gancomp.spec import Widths, format_widths


def merge(config: Config, experiment: str, shards: int) -> None:
    """Merge the shards' rows into `search.csv` and `replicates.csv`, sorted by index: the same files for any number of
    shards. Then deletes the search's resume state.

    Raises GancompError if a subnet under the budget is missing or duplicate, or a row is of another subnet.
    """
    folder = paths.stage(experiment, "scores")
    read = [row for index in range(shards) for row in read_shard(shard_path(experiment, index, shards))]
    rows = sorted(read, key=lambda row: row.index)
    wanted = [(subnet.index, subnet.widths) for subnet in candidates(config, experiment)]
    if [(row.index, row.widths) for row in rows] != wanted:
        raise GancompError(
            f"{folder / 'shards'}: the {shards} shards contain {len(rows)} subnets, not the {len(wanted)} of the "
            "search; delete that folder and run the search again"
        )
    write_scores(config, experiment, rows)


def write_scores(config: Config, experiment: str, rows: Iterable[ShardRow]) -> None:
    """Write `search.csv` and `replicates.csv` of *rows*, by index, and delete the search's resume state."""
    folder, rows = paths.stage(experiment, "scores"), sorted(rows, key=lambda row: row.index)
    draws = draw_names(len(rows[0].replicates))
    replicates = [
        {"index": str(row.index)} | {draw: f"{value:.9g}" for draw, value in zip(draws, row.replicates, strict=True)}
        for row in rows
    ]
    write_json(folder / "config.json", stage_settings(config, experiment, "scores"))
    write_csv(folder / "replicates.csv", ("index", *draws), replicates, checked=True)
    write_csv(folder / "search.csv", SEARCH_COLUMNS, map(as_text, rows), checked=True)
    shutil.rmtree(paths.resume(experiment, "scores"), ignore_errors=True)


def read_replicates(path: Path) -> dict[int, NDArray[np.float64]]:
    """Each subnet's scores in all draws, by its index. Raises GancompError if a cell is not a number."""
    columns, rows = read_csv(path)
    try:
        if columns != ("index", *draw_names(len(columns) - 1)):
            raise ValueError("its columns are not index, draw0, draw1, …")
        return {int(row.pop("index")): np.asarray(list(row.values()), np.float64) for row in rows}
    except ValueError as error:
        raise GancompError(f"{path}: cannot be read ({error}); delete it and run the search again") from None


def draw_names(count: int) -> list[str]:
    """Names of the columns of *count* draws of the pictures."""
    return [f"draw{place}" for place in range(count)]


def pareto_front(rows: Sequence[SubnetRow], metric: str) -> list[SubnetRow]:
    """The subnets for which none with at most their exact MACs is better by *metric*, by ascending MACs."""
    front: list[SubnetRow] = []
    for row in sorted(rows, key=lambda row: (row.macs, cost_of(row, metric), row.index)):
        if not front or cost_of(row, metric) < cost_of(front[-1], metric):
            front.append(row)
    return front


def ranked(rows: Sequence[SubnetRow], metric: str) -> list[SubnetRow]:
    """The subnets sorted from the best by *metric*; of equal ones, first the one with the fewest exact MACs."""
    return sorted(rows, key=lambda row: (cost_of(row, metric), row.macs, row.index))


def winner(rows: Sequence[SubnetRow], metric: str) -> SubnetRow:
    """The first of the `ranked` subnets."""
    return ranked(rows, metric)[0]


def tied_with(
    best: SubnetRow, rows: Sequence[SubnetRow], metric: str, replicates: Mapping[int, NDArray[np.float64]]
) -> list[SubnetRow]:
    """The subnets that do not differ significantly from *best* by *metric*, including *best*: 0 is in the 95% interval
    of the difference over the same draws of the pictures."""
    turn = BY_KEY[metric].cost

    def may_be(row: SubnetRow) -> bool:
        own, of_best = (np.array([turn(value) for value in replicates[one.index]]) for one in (row, best))
        return row is best or may_be_equal(cost_of(row, metric), cost_of(best, metric), own, of_best)

    return [row for row in rows if may_be(row)]


def cost_of(row: SubnetRow, metric: str) -> float:
    """The score of *row*, negated if higher is better. Raises GancompError if it was not measured."""
    value = BY_KEY[metric].of(row)
    if value is None:
        raise GancompError(
            f"search.csv: subnet {row.index} has no {metric}, the experiment's metric; delete the "
            "search's folder and run it again"
        )
    return BY_KEY[metric].cost(value)


def select(config: Config, experiment: str) -> None:
    """Choose the winner under the budget by the experiment's metric, write `selection.json` and say who won.

    Of the subnets that cannot be told from the best, the one with the fewest MACs wins, unless `search.ties` says
    otherwise or `search.winner` names one. Raises GancompError when the scores are missing, damaged, or lack that
    metric.
    """
    from gancomp.metrics.inception import inception_key  # imports torch, which merging does not need

    settings = config.experiments[experiment]
    folder, scored = paths.stage(experiment, "search"), stage_folder(config, experiment, "scores")
    rows = read_search(scored / "search.csv")
    refuse_foreign(scored / "search.csv", rows, supernet_of(config, experiment).space)
    latency = read_latency(config, experiment) if settings.search.asks_latency else None
    rows = eligible(config, experiment, rows, latency)
    available = len(load_manifest(paths.dataset(settings.dataset)).splits["train-2"])
    best = winner(rows, settings.metric)
    replicates = read_replicates(scored / "replicates.csv")
    if missing := [row.index for row in rows if row.index not in replicates]:
        raise GancompError(
            f"{scored / 'replicates.csv'}: has no row of subnet {missing[0]} of search.csv; delete both and "
            "run the search again"
        )
    tied = None
    if replicates.get(best.index, np.empty(0)).size:
        tied = tied_with(best, rows, settings.metric, replicates)

    def order(row: SubnetRow) -> tuple[float, int, float, int]:
        fastest = latency.of(row.widths) if latency and settings.search.ties == "fastest" else 0.0
        return fastest, row.macs, cost_of(row, settings.metric), row.index

    chosen = best if settings.search.ties == "best" or not tied else min(tied, key=order)
    if settings.search.winner:
        chosen = taken(rows, settings.search.winner, experiment)
    pareto = pareto_front(rows, settings.metric)
    same = None if tied is None else {row.index for row in tied}
    selection = Selection(
        metric=settings.metric,
        winner=chosen,
        best=best,
        tied=len(tied) if tied else None,
        pareto=tuple(row.index for row in pareto),
        front=tuple(on_front(row, settings.metric, same) for row in pareto),
        budget_macs=int(budget_macs(settings.search.budget, generator_spec(config, experiment, "original"))),
        subnets_in_space=supernet_of(config, experiment).subnets,
        subnets_scored=len(rows),
        images=min(available, settings.search.images),
        fid_precision=inception_key(settings.precision),
        latency_ms=latency.of(chosen.widths) if latency else None,
        latency_error=latency.mean_error if latency else None,
    )
    write_json(folder / "config.json", stage_settings(config, experiment, "search"))
    write_json(folder / "selection.json", selection.model_dump(mode="json"))
    metric = BY_KEY[settings.metric]
    score = metric.text(metric.cost(cost_of(chosen, settings.metric)))
    print(
        f"search {experiment}: the winner is {format_widths(chosen.widths)}, {chosen.macs / 1e6:.1f}M exact MACs, "
        f"{metric.head} {score}"
        + (f"; {len(tied)} of {len(rows)} subnets cannot be told apart from the best" if tied else "")
    )


def on_front(row: SubnetRow, metric: str, tied: Container[int] | None) -> OnFront:
    """*row* as a point of the front by *metric*; *tied* has the indices of those tied with the best (`tied_with`)."""
    low, high = (getattr(row, f"{metric}_{end}", None) for end in ("low", "high"))
    score = BY_KEY[metric].cost(cost_of(row, metric))
    return OnFront(
        index=row.index,
        widths=row.widths,
        macs=row.macs,
        score=score,
        low=low,
        high=high,
        tied=None if tied is None else row.index in tied,
    )


def taken(rows: Sequence[SubnetRow], widths: Widths, experiment: str) -> SubnetRow:
    """The row of *widths*, which `search.winner` names. Raises GancompError if it is not among *rows*."""
    found = next((row for row in rows if row.widths == widths), None)
    if found is None:
        raise GancompError(
            f"experiments.{experiment}.search.winner: {format_widths(widths)} is not among the {len(rows)} subnets "
            "that were scored and meet the budget; raise the budget, or name one of search.csv"
        )
    return found


def refuse_foreign(path: Path, rows: Sequence[SubnetRow], space: Sequence[Sequence[int]]) -> None:
    """Raises GancompError if one of *rows* is not a subnet of *space*."""
    for row in rows:
        if not in_space(row.widths, space):
            raise GancompError(
                f"{path}: subnet {row.index} has widths {format_widths(row.widths)}, which are not in the once-for-all "
                "network's space: the file is another experiment's; delete it and run the search again"
            )


def eligible(
    config: Config, experiment: str, rows: Sequence[SubnetRow], latency: SubnetLatency | None
) -> list[SubnetRow]:
    """The *rows* that may win: those within the window of MACs and the limit of latency. Raises GancompError if there
    are none."""
    rows, asked = within(config, experiment, rows), config.experiments[experiment].search.latency
    return fast_enough(rows, latency, asked.limit_ms, experiment) if latency and asked and asked.limit_ms else rows


def fast_enough(rows: Sequence[SubnetRow], latency: SubnetLatency, limit: float, experiment: str) -> list[SubnetRow]:
    """The *rows* of at most *limit* ms. Raises GancompError if there are none."""
    times = {row.index: latency.of(row.widths) for row in rows}
    found = [row for row in rows if times[row.index] <= limit]
    if not found:
        raise GancompError(
            f"experiments.{experiment}.search.latency.limit_ms: none of the {len(rows)} subnets takes at most "
            f"{limit:g} ms on {latency.runtime}, the fastest {min(times.values()):.3g} ms; raise it"
        )
    return found


def within(config: Config, experiment: str, rows: Sequence[SubnetRow]) -> list[SubnetRow]:
    """The *rows* between `search.at_least` and the budget. Raises GancompError if there are none."""
    search = config.experiments[experiment].search
    original = generator_spec(config, experiment, "original")
    most = budget_macs(search.budget, original)
    least = budget_macs(search.at_least, original) if search.at_least else 0
    found = [row for row in rows if least <= row.macs <= most]
    if not found:
        raise GancompError(
            f"experiments.{experiment}.search: none of the {len(rows)} scored subnets has between {least / 1e6:.1f}M "
            f"(at_least) and {most / 1e6:.1f}M (budget) exact MACs; widen that window, or score more (scored)"
        )
    return found
