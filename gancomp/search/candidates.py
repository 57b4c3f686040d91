"""The subnets to score, their shards, and the format of their rows. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.config.training import SupernetTraining
from gancomp.elastic.space import Subnet, under_budget
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.stages import generator_spec
from gancomp.report.searched import PLAIN_COLUMNS, REPLICATES, SEARCH_COLUMNS, ShardRow, SubnetRow
from gancomp.spec import format_widths

#: Subnets whose features are in memory together; a constant, so that scores do not depend on the shards.
GROUP = 32


def candidates(config: Config, experiment: str) -> list[Subnet]:
    """The subnets of *experiment*'s space to score, in tree order: those under its budget, or under `search.scored`,
    a higher limit that several budgets share."""
    space = supernet_of(config, experiment).space
    return under_budget(space, generator_spec(config, experiment, "distill"), scored_limit(config, experiment))


def scored_limit(config: Config, experiment: str) -> float:
    """The most exact MACs of a subnet that is scored."""
    search = config.experiments[experiment].search
    return budget_macs(search.scored or search.budget, generator_spec(config, experiment, "original"))


def supernet_of(config: Config, experiment: str) -> SupernetTraining:
    """The settings of *experiment*'s once-for-all network. Raises GancompError if it has none."""
    supernet = config.experiments[experiment].supernet
    if supernet is None:
        raise GancompError(f"experiments.{experiment}: has no key supernet, so there are no subnets to search; add it")
    return supernet


def shard_of(subnets: Sequence[Subnet], index: int, count: int) -> Sequence[Subnet]:
    """Shard *index* of *count*: whole groups, contiguous in tree order."""
    groups = -(-len(subnets) // GROUP)
    first, last = groups * index // count, groups * (index + 1) // count
    return subnets[first * GROUP : last * GROUP]


def shard_path(experiment: str, index: int, count: int) -> Path:
    return paths.stage(experiment, "scores") / "shards" / f"{index}-of-{count}.csv"


def as_text(row: SubnetRow) -> dict[str, str]:
    """The cells of a row of `search.csv`; a score that was not measured is an empty cell."""
    return {
        "index": str(row.index),
        "widths": format_widths(row.widths),
        "macs": str(row.macs),
        "macs_paper": str(row.macs_paper),
        "params": str(row.params),
        "fid": f"{row.fid:.6f}",
        "kid": f"{row.kid:.9f}",
        **{
            name: "" if (value := getattr(row, name)) is None else f"{value:.9f}"
            for name in SEARCH_COLUMNS[PLAIN_COLUMNS.index("l1") :]
        },
    }


def as_shard_text(row: ShardRow) -> dict[str, str]:
    """The cells of a row of a shard."""
    return as_text(row) | {REPLICATES: " ".join(f"{value:.9g}" for value in row.replicates)}
