"""How fast each training stage, the search and the Inception network run here, on random weights and pictures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from gancomp import rng
from gancomp.config.loading import load
from gancomp.config.settings import Config
from gancomp.config.values import Precision
from gancomp.data.augment import augment
from gancomp.data.datasets import to_float
from gancomp.elastic.slicing import Elastic, Widths, extract
from gancomp.elastic.space import draw_widths
from gancomp.metrics.inception import Inception
from gancomp.nets import build_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.objectives.distill import MappedGenerator
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_text
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.stages import generator_spec
from gancomp.search.candidates import GROUP, candidates
from gancomp.search.tree import TreeWalk
from gancomp.spec import GeneratorSpec
from gancomp.train.device import Device, make_fabric
from gancomp.train.loop import Recipe
from gancomp.train.pix2pix import Pix2pix
from gancomp.train.student import Student, own_widths

PRECISIONS: tuple[Precision, ...] = ("32", "bf16")
COLUMNS = ("measured", "variant", "unit", "median", "lowest", "highest", "times_first", "rounds")

#: Does some work, and returns how many units that was.
Work = Callable[[], float]
#: Tells seconds.
Clock = Callable[[], float]


@dataclass(frozen=True)
class Group:
    """Variants of one measurement; the first is what the others are compared with."""

    measured: str
    unit: str
    variants: Mapping[str, Work]


def training(config: Config, experiment: str, device: Device) -> Iterator[Group]:
    """Whole steps of each training stage: pictures to tensors, augmentation, all updates."""
    for stage in ("original", "teacher", "distill", "supernet", "finetune"):
        steps = {str(precision): _step(config, experiment, stage, precision, device) for precision in PRECISIONS}
        yield Group(f"train {stage}", "images/s", steps)


def _step(config: Config, experiment: str, stage: str, precision: Precision, device: Device) -> Work:
    settings = config.experiments[experiment]
    dataset, own = config.datasets[settings.dataset], getattr(settings, stage)
    fabric = make_fabric(precision, device)
    judge = PatchDiscriminator(6, settings.discriminator.ndf, settings.discriminator.layers)
    teacher = build_generator(generator_spec(config, experiment, "teacher"))
    recipe: Recipe
    if stage in ("original", "teacher"):
        generator = teacher if stage == "teacher" else build_generator(generator_spec(config, experiment, "original"))
        recipe = Pix2pix(fabric, generator, judge, settings.objective, own)
    else:
        spec, channels, space = _student(config, experiment, stage), teacher.feature_channels(), settings.supernet.space

        def mapped(widths: Widths) -> MappedGenerator:
            return MappedGenerator(build_generator(spec.with_widths(widths)), channels)

        choose = (lambda draw: draw_widths(space, draw)) if stage == "supernet" else own_widths
        student = Elastic(mapped(spec.widths), mapped)
        recipe = Student(fabric, student, teacher, judge, settings.objective, own, choose)
    sides, draw = [_pictures(own.batch, dataset.size) for _ in range(2)], rng.generator(settings.seed, stage)

    def step() -> float:
        inputs, targets = (to_float(side).to(fabric.device) for side in sides)
        recipe.step(*augment(inputs, targets, draw, dataset.load_size, dataset.flip), draw)
        return float(own.batch)

    return step


def _student(config: Config, experiment: str, stage: str) -> GeneratorSpec:
    """What a student stage trains; for fine-tuning, the subnet of median cost stands for the winner."""
    spec = generator_spec(config, experiment, "distill")
    if stage == "finetune":
        by_cost = sorted(candidates(config, experiment), key=lambda subnet: subnet.profile.macs)
        return spec.with_widths(by_cost[len(by_cost) // 2].widths)
    return spec.with_widths(config.experiments[experiment].supernet.largest) if stage == "supernet" else spec


def searching(config: Config, experiment: str, device: Device) -> Iterator[Group]:
    """Neighbouring subnets over one chunk of pictures, each by itself and with shared prefixes; without Inception."""
    settings = config.experiments[experiment]
    subnets, images = candidates(config, experiment)[:GROUP], settings.search.images
    pictures = _pictures(settings.search.chunk, config.datasets[settings.dataset].size)
    units = len(subnets) * len(pictures) / images

    def over_a_chunk(precision: Precision, share: bool) -> Work:
        fabric = make_fabric(precision, device)
        whole = build_generator(_student(config, experiment, "supernet")).to(fabric.device).eval()
        walk, alone = TreeWalk(whole), [] if share else [extract(whole, subnet.widths) for subnet in subnets]
        x = to_float(pictures).to(fabric.device)

        @torch.inference_mode()
        def work() -> float:
            with fabric.autocast():
                for _ in walk(subnets, x) if share else (subnet(x) for subnet in alone):
                    pass  # the search hands the pictures on to Inception
            return units

        return work

    variants = {f"{name}, {p}": over_a_chunk(p, name == "shared") for p in PRECISIONS for name in ("alone", "shared")}
    yield Group("search", f"subnets/s of {images} pictures", variants)


def inception(config: Config, experiment: str, device: Device) -> Iterator[Group]:
    """Features of one chunk of pictures; nothing where the weights were not fetched: random ones are refused."""
    if not paths.INCEPTION.is_file():
        typer.echo(f"{paths.INCEPTION}: missing, so Inception is left out; `gancomp inception` fetches it", err=True)
        return
    settings = config.experiments[experiment]
    pictures = _pictures(settings.search.chunk, config.datasets[settings.dataset].size)

    def features(precision: Precision) -> Work:
        network = Inception(paths.INCEPTION, precision=precision, device=device)
        return lambda: float(len(network(pictures)))

    yield Group("Inception", "images/s", {precision: features(precision) for precision in PRECISIONS})


def _pictures(count: int, size: tuple[int, int]) -> np.ndarray:
    return rng.generator(0, "pictures").integers(0, 256, (count, *size, 3), dtype=np.uint8)


def measure(group: Group, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """One row a variant. Variants take turns, so a machine that slows down slows all of them; a ratio is the median
    of the ratios within the rounds."""
    turns = take_turns(group, seconds, rounds)
    rows, first = [], next(iter(group.variants))
    for name in group.variants:
        rates = [turn[name] for turn in turns]
        measured = {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
        measured["times_first"] = statistics.median(turn[name] / turn[first] for turn in turns)
        texts = {key: f"{value:.4g}" for key, value in measured.items()}
        rows.append({"measured": group.measured, "variant": name, "unit": group.unit, "rounds": rounds, **texts})
    return rows


def take_turns(group: Group, seconds: float, rounds: int, clock: Clock | None = None) -> list[dict[str, float]]:
    """The rate of every variant in each of *rounds* turns, of *seconds* by *clock* in all for each variant."""
    for work in group.variants.values():
        work()  # warm-up: allocations, and the choice of kernels
    clock = clock or time.perf_counter
    return [
        {name: _rate(work, seconds / rounds, clock) for name, work in group.variants.items()} for _ in range(rounds)
    ]


def _rate(work: Work, seconds: float, clock: Clock) -> float:
    """Units a second over at least *seconds*."""
    done, began = 0.0, clock()
    while True:
        done += work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if (elapsed := clock() - began) >= seconds:
            return done / elapsed


def run(config: Config, experiment: str, seconds: float, rounds: int, folder: Path, device: Device = "auto") -> None:
    """Measure everything, and write `{experiment}.csv` and `{experiment}.md` into *folder*."""
    rows: list[dict[str, Any]] = []
    for groups in (training, searching, inception):
        for group in groups(config, experiment, device):
            for row in measure(group, seconds, rounds):
                typer.echo(
                    f"{row['measured']}, {row['variant']}: {row['median']} {row['unit']} ({row['times_first']}×)"
                )
                rows.append(row)
    where = torch.cuda.get_device_name() if device != "cpu" and torch.cuda.is_available() else "cpu"
    machine = provenance() | {"device": where, "threads": torch.get_num_threads(), "seconds a variant": seconds}
    write_csv(folder / f"{experiment}.csv", COLUMNS, rows)
    about = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in machine.items())
    cells = [COLUMNS, [":--"] * len(COLUMNS), *([str(row[column]) for column in COLUMNS] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    page = f"# Throughput of `{experiment}`\n\n{table}\n\nRandom weights and pictures. {about}.\n"
    write_text(folder / f"{experiment}.md", page)


def main(
    experiment: Annotated[str, typer.Option(help="whose networks, batches and pictures' size")] = "emoji-quick",
    seconds: Annotated[float, typer.Option(min=0, help="of measurement, for each variant")] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="turns that a variant's seconds are split into")] = 5,
    folder: Annotated[Path, typer.Option(help="where the tables go")] = Path("results/throughput"),
    configfile: Annotated[list[Path] | None, typer.Option(help="YAML file, repeatable")] = None,
) -> None:
    """Measure the throughput of every training stage, of the search and of Inception; run it alone."""
    run(load(configfile or [Path("config.yaml")]), experiment, seconds, rounds, folder)


if __name__ == "__main__":
    typer.run(main)
