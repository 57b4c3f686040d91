"""From shards to the winner: merge, Pareto front, selection."""

from __future__ import annotations

from collections.abc import Sequence

from gancomp import paths
from gancomp.artifacts import write_csv, write_json
from gancomp.config import Config, budget_macs
from gancomp.data.build import load_manifest
from gancomp.errors import GancompError
from gancomp.metrics.inception import inception_key
from gancomp.pipeline import generator_spec, stage_settings
from gancomp.report.metrics import BY_KEY
from gancomp.report.records import SEARCH_COLUMNS, Selection, SubnetRow, read_search, read_subnets
from gancomp.search.candidates import as_text, candidates, shard_path, supernet_of


def merge(config: Config, experiment: str, shards: int) -> None:
    """Join the shards' rows into `search.csv`, sorted by index: the same file for any number of shards.

    Raises GancompError if a subnet under the budget is missing, doubled or foreign.
    """
    folder = paths.stage(experiment, "search")
    read = [row for index in range(shards) for row in read_subnets(shard_path(experiment, index, shards))]
    rows = sorted(read, key=lambda row: row.index)
    wanted = [(subnet.index, subnet.widths) for subnet in candidates(config, experiment)]
    if [(row.index, row.widths) for row in rows] != wanted:
        raise GancompError(
            f"{folder / 'shards'}: the {shards} shards hold {len(rows)} subnets, which are not the {len(wanted)} under "
            "the budget; delete that folder and run the search again"
        )
    write_csv(folder / "search.csv", SEARCH_COLUMNS, [as_text(row) for row in rows])


def pareto_front(rows: Sequence[SubnetRow], metric: str) -> list[SubnetRow]:
    """The subnets that no other beats by *metric* at as few exact MACs, by rising MACs."""
    front: list[SubnetRow] = []
    for row in sorted(rows, key=lambda row: (row.macs, _cost(row, metric), row.index)):
        if not front or _cost(row, metric) < _cost(front[-1], metric):
            front.append(row)
    return front


def winner(rows: Sequence[SubnetRow], metric: str) -> SubnetRow:
    """The best subnet by *metric*; of equals the one with the fewest exact MACs."""
    return min(rows, key=lambda row: (_cost(row, metric), row.macs, row.index))


def _cost(row: SubnetRow, metric: str) -> float:
    """The score of *row*, turned so that less is better; GancompError where it was not measured."""
    value = BY_KEY[metric].of(row)
    if value is None:
        raise GancompError(
            f"search.csv: subnet {row.index} has no {metric}, which the experiment's metric asks for; delete the "
            "search's folder and run it again"
        )
    return BY_KEY[metric].cost(value)


def select(config: Config, experiment: str) -> None:
    """Choose the winner from `search.csv` by the experiment's metric and write `selection.json`.

    Raises GancompError when `search.csv` is missing, damaged, or lacks that metric.
    """
    settings = config.experiments[experiment]
    folder = paths.stage(experiment, "search")
    rows = read_search(folder / "search.csv")
    available = len(load_manifest(paths.dataset(settings.dataset)).splits["train-2"])
    selection = Selection(
        metric=settings.metric,
        winner=winner(rows, settings.metric),
        pareto=tuple(row.index for row in pareto_front(rows, settings.metric)),
        budget_macs=int(budget_macs(settings.search.budget, generator_spec(config, experiment, "original"))),
        subnets_in_space=supernet_of(config, experiment).subnets,
        subnets_scored=len(rows),
        images=min(available, settings.search.images),
        fid_precision=inception_key(settings.precision),
    )
    write_json(folder / "config.json", stage_settings(config, experiment, "search"))
    write_json(folder / "selection.json", selection.model_dump(mode="json"))
