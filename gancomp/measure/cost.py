"""What a run will cost: time on this machine, memory and disk of every stage, as a table.

Time is MACs by the speed of short training steps of the same networks, measured here (`gancomp.measure.speed`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import torch

from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.measure.passes import RESUMED, SAVED, UNCERTAINTY, Cost
from gancomp.measure.reckoning import Reckoning, counts_of
from gancomp.measure.speed import Speed, described, measure
from gancomp.pipeline import paths
from gancomp.train.device import SingleDevice, single_device


def estimate(config: Config, experiment: str, counts: Mapping[str, int] | None = None, seconds: float = 2) -> str:
    """The stages of *experiment* in order and what each costs here, as a table; measures for some *seconds*.

    Raises GancompError where the pictures cannot be counted and no *counts* of train-1, train-2 and val are given.
    """
    on = single_device(config.experiments[experiment].precision)
    reckoning = Reckoning(config, experiment, counts or counts_of(config, experiment))
    costs, speeds = _measured(reckoning, on, seconds)
    settings = config.experiments[experiment]
    rows: list[tuple[str, ...]] = [("stage", "pictures", "epochs", "MACs", "time", "memory", "disk", "")]
    rows += [_row(cost, speeds) for cost in costs]
    whole = sum(cost.seconds(speeds) for cost in costs)
    most, disk = max(cost.held(speeds) for cost in costs), _disk(costs)
    total = sum(cost.total for cost in costs)
    rows.append(("all", "", "", _scaled(total), _range(whole), f"{_scaled(most, 'B')}", _scaled(disk, "B"), ""))
    lines = [f"{experiment}: what a run of all stages costs, one after the other"]
    if settings.compressed:
        budget = budget_macs(settings.search.budget, reckoning.original)
        lines += [f"  budget {settings.search.budget}: at most {_scaled(budget)} exact MACs a picture"]
    lines += ["  " + line for line in _aligned(rows)]
    lines += [
        f"  Time on {described(on)}, from {seconds:g} s of steps as busy as it is now.",
        "  Memory is rough. Disk: checkpoints, pictures (at most), one resume state; not what is downloaded.",
        "  A stage that is there already, of these settings, costs nothing.",
    ]
    return "\n".join(lines)


def refuse_without_room(config: Config, experiment: str, seconds: float = 1) -> None:
    """Raises GancompError where a run of *experiment* needs more disk than is free, or one of its stages more memory
    than there is, as `estimate` has them. What the run has left here already needs no more room.
    """
    on = single_device(config.experiments[experiment].precision)
    costs, speeds = _measured(Reckoning(config, experiment, counts_of(config, experiment)), on, seconds)
    folders = (paths.dataset(config.experiments[experiment].dataset), paths.RESULTS / experiment)
    there = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    disk, free = _disk(costs) - there, shutil.disk_usage(paths.RESULTS if paths.RESULTS.exists() else Path()).free
    if disk > free:
        raise GancompError(
            f"{experiment}: needs about {_scaled(disk, 'B')} of disk, and {_scaled(free, 'B')} are free here; make "
            "room, or run it on a larger disk"
        )
    largest = max(costs, key=lambda cost: cost.held(speeds))
    on_gpu = on.device.type == "cuda"
    memory = torch.cuda.mem_get_info(on.device)[1] if on_gpu else psutil.virtual_memory().total
    if (most := largest.held(speeds)) > memory:
        raise GancompError(
            f"{experiment}: the stage {largest.stage!r} needs about {_scaled(most, 'B')} of memory, and "
            f"{'the GPU' if on_gpu else 'this machine'} has {_scaled(memory, 'B')}; take smaller pictures, or smaller "
            "batches in a configuration of your own (--dry-run shows one)"
        )


def _measured(reckoning: Reckoning, on: SingleDevice, seconds: float) -> tuple[list[Cost], dict[str, Speed]]:
    """The stages, and the speed of each network that they run, from a measurement of some *seconds*."""
    costs = list(reckoning.costs())
    used = {one.network for cost in costs for one in cost.passes}
    chunk = reckoning.settings.search.chunk
    batches = {one.network: cost.batch or chunk for cost in costs for one in cost.passes}
    return costs, {
        name: measure(reckoning.networks[name], batches[name], on, seconds / len(used)) for name in sorted(used)
    }


def _disk(costs: Sequence[Cost]) -> float:
    """Bytes of what all stages leave, and of the largest resume state."""
    resumed = max((cost.disk / SAVED * RESUMED for cost in costs if cost.steps), default=0)
    return sum(cost.disk for cost in costs) + resumed


def _row(cost: Cost, speeds: Mapping[str, Speed]) -> tuple[str, ...]:
    return (
        cost.stage,
        f"{cost.images:,}" if cost.images else "-",
        f"{cost.epochs:g}" if cost.epochs else "-",
        _scaled(cost.total) if cost.total else "-",
        _range(cost.seconds(speeds)),
        _scaled(cost.held(speeds), "B"),
        _scaled(cost.disk, "B") if cost.disk else "-",
        cost.about,
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: tuple[str, ...]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
        return "  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]).rstrip()

    return [line(row) for row in rows]


def _scaled(value: float, unit: str = "") -> str:
    """1234567 → `1.23M`."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{prefix}{unit}"
    return f"{value:.3g}{unit}"


def _range(seconds: float) -> str:
    """A time and its uncertainty in one unit: `4-9 min`."""
    low, high = seconds / UNCERTAINTY, seconds * UNCERTAINTY
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    name, unit = next((one for one in units if high >= 2 * one[1]), units[-1])
    digits = 1 if low / unit < 2 else 0
    return f"{low / unit:.{digits}f}-{high / unit:.{digits}f} {name}"
