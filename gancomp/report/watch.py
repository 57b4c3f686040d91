"""Show all stages of an experiment on the terminal while other processes run them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gancomp.config.settings import Config
from gancomp.pipeline.progress import clock
from gancomp.pipeline.standing import Standing, standings

COLOURS = {"done": "green", "running": "cyan", "stopped": "yellow", "other settings": "yellow", "waiting": "dim"}
BLOCKS = "▁▂▃▄▅▆▇█"
#: Columns of a loss's line, and of the whole view if the output is not a terminal.
LINE, PLAIN = 48, 110


def watch(config: Config, experiment: str, *, once: bool, every: float, console: Console | None = None) -> None:
    """Show the state of *experiment*, updated until all stages are done; with *once* a single time; if the output is
    not a terminal, after each change of a stage's state. Only reads files, so it does not disturb trainings."""
    console = console or Console()
    if not console.is_terminal:
        console.width = PLAIN
    found = standings(config, experiment)
    if once or not console.is_terminal:
        console.print(view(experiment, found))
        while not once and not finished(found):
            time.sleep(every)
            before, found = found, standings(config, experiment)
            if [one.state for one in found] != [one.state for one in before]:
                console.print(view(experiment, found))
        return
    with Live(view(experiment, found), console=console, auto_refresh=False) as live:
        while not finished(found):
            time.sleep(every)
            found = standings(config, experiment)
            live.update(view(experiment, found), refresh=True)


def finished(found: Sequence[Standing]) -> bool:
    return all(one.state == "done" for one in found)


def view(experiment: str, found: Sequence[Standing]) -> RenderableType:
    """One line per stage, and below them the losses of running trainings."""
    table = Table(title=f"{experiment}: {_summary(found)}", title_justify="left", box=None, pad_edge=False)
    for name, right in (("stage", False), ("state", False), ("", False), ("images", True), ("images/s", True)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("")
    for one in found:
        whose = "" if one.owner == experiment or one.stage == "pictures" else f"of {one.owner}"
        table.add_row(
            one.stage,
            Text(one.state, style=COLOURS[one.state]),
            "" if one.share is None or not one.log.images else ProgressBar(100, 100 * one.share, width=16),
            _images(one),
            f"{one.log.rates[-1]:,.1f}" if one.log.rates else "",
            _time(one),
            Text(", ".join(part for part in (one.about, whose) if part), style="dim"),
        )
    return Group(table, *(_losses(one) for one in found if one.state in ("running", "stopped") and one.log.steps))


def _summary(found: Sequence[Standing]) -> str:
    if finished(found):
        return "all is done"
    return f"{sum(one.state == 'done' for one in found)} of {len(found)} stages done"


def _images(one: Standing) -> str:
    if not one.log.images:
        return ""
    seen = one.log.images[-1]
    return f"{seen:,}" if one.total in (None, seen) else f"{seen:,} / {one.total:,}"


def _time(one: Standing) -> str:
    if one.seconds_left is not None:
        return f"{clock(one.seconds_left)} left"
    return clock(one.log.elapsed[-1]) if one.log.elapsed else ""


def _losses(one: Standing) -> RenderableType:
    table = Table(title=f"\n{one.stage}: losses", title_justify="left", box=None, show_header=False, pad_edge=False)
    for name, values in one.log.losses.items():
        table.add_row(name, Text(sparkline(values), style="cyan"), f"{values[-1]:.4g}")
    if sample := one.latest_sample:  # never wrapped, so that it can be copied
        return Group(table, Text(f"pictures: {sample}", no_wrap=True, overflow="ignore"))
    return table


def sparkline(values: Sequence[float], width: int = LINE) -> str:
    """*values* as at most *width* blocks: the mean of each part, scaled between the lowest and highest mean."""
    parts = min(width, len(values))
    edges = [len(values) * part // parts for part in range(parts + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)
