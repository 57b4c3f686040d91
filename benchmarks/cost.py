"""The costs of an experiment as the Markdown table of docs/gpu.md: what `gancomp cost` says that no machine changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancomp.config.loading import load
from gancomp.config.settings import Config
from gancomp.measure.reckoning import Reckoning


def table(config: Config, experiment: str, train_1: int, train_2: int, val: int) -> str:
    """Every stage that runs networks, and the sum."""
    counts = {"train-1": train_1, "train-2": train_2, "val": val}
    rows = [cost for cost in Reckoning(config, experiment, counts).costs() if cost.images]
    lines = ["| Stage | Steps | Images | MACs an image | In all |", "| :-- | --: | --: | --: | --: |"]
    for row in rows:
        steps = f"{row.steps:,}" if row.steps else "–"
        lines.append(f"| {row.stage} | {steps} | {row.images:,} | {row.macs / 1e9:.1f} G | {row.total / 1e15:.2f} P |")
    total = sum(row.total for row in rows)
    return "\n".join([*lines, f"| **all** | {sum(row.steps for row in rows):,} | | | {total / 1e15:.0f} P |"])


def main(
    experiment: Annotated[str, typer.Option(help="an experiment of the configuration")] = "emoji-256",
    train_1: Annotated[int, typer.Option(help="pictures")] = 1578,
    train_2: Annotated[int, typer.Option(help="pictures")] = 277,
    val: Annotated[int, typer.Option(help="pictures")] = 313,
    configfile: Annotated[list[Path] | None, typer.Option(help="YAML file, repeatable")] = None,
) -> None:
    """Count what an experiment costs, from its configuration and the number of its pictures."""
    typer.echo(table(load(configfile or [Path("config.yaml")]), experiment, train_1, train_2, val))


if __name__ == "__main__":
    typer.run(main)
