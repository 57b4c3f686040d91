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
from gancomp.report.records import SEARCH_COLUMNS, Selection, SubnetRow, read_search, read_subnets
from gancomp.search.candidates import as_text, candidates, shard_path


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


def pareto_front(rows: Sequence[SubnetRow]) -> list[SubnetRow]:
    """The subnets that no other beats in FID at as few exact MACs, by rising MACs."""
    front: list[SubnetRow] = []
    for row in sorted(rows, key=lambda row: (row.macs, row.fid, row.index)):
        if not front or row.fid < front[-1].fid:
            front.append(row)
    return front


def winner(rows: Sequence[SubnetRow]) -> SubnetRow:
    """The subnet of lowest FID; of equals the one with the fewest exact MACs."""
    return min(rows, key=lambda row: (row.fid, row.macs, row.index))


def select(config: Config, experiment: str) -> None:
    """Choose the winner from `search.csv` and write `selection.json`."""
    settings = config.experiments[experiment]
    folder = paths.stage(experiment, "search")
    rows = read_search(folder / "search.csv")
    available = len(load_manifest(paths.dataset(settings.dataset)).splits["train-2"])
    selection = Selection(
        winner=winner(rows),
        pareto=tuple(row.index for row in pareto_front(rows)),
        budget_macs=int(budget_macs(settings.search.budget, generator_spec(config, experiment, "original"))),
        subnets_in_space=settings.supernet.subnets,
        subnets_scored=len(rows),
        images=min(available, settings.search.images),
        fid_precision=inception_key(settings.precision),
    )
    write_json(folder / "config.json", stage_settings(config, experiment, "search"))
    write_json(folder / "selection.json", selection.model_dump(mode="json"))
