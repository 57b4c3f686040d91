"""What an experiment will cost before any of it runs: images and multiply-accumulates of every long stage."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from gancomp import paths
from gancomp.config import Config, budget_macs
from gancomp.data.manifest import load_manifest
from gancomp.elastic.space import Widths, enumerate_widths
from gancomp.errors import GancompError
from gancomp.loading import load
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.nets.resnet import ResnetGenerator
from gancomp.pipeline import generator_spec
from gancomp.profile.macs import profile
from gancomp.search.candidates import GROUP, candidates
from gancomp.train.loop import total_steps

#: MACs of the FID Inception network for one picture, whatever its size: it is resized to 299 × 299.
INCEPTION = 5.7e9


@dataclass(frozen=True)
class Cost:
    """Pictures that run through a stage, and exact MACs for each."""

    stage: str
    steps: int
    images: int
    macs: float

    @property
    def total(self) -> float:
        return self.macs * self.images


def costs(config: Config, experiment: str, train_1: int, train_2: int) -> Iterator[Cost]:
    """Every training and the search, for so many pictures in train-1 and train-2.

    A training step counts three forward passes for what is trained (forward, and backward to activations and
    weights), and eight of the discriminator: six on real and made pictures to train it, two to judge through it.
    """
    settings = config.experiments[experiment]
    if settings.model != "pix2pix" or settings.supernet is None:
        raise GancompError(f"{experiment}: costs are counted for compressions of pix2pix alone")
    original, teacher, student = (generator_spec(config, experiment, s) for s in ("original", "teacher", "distill"))
    judge = 8 * discriminator_macs(settings.discriminator.ndf, settings.discriminator.layers, original.size)
    teaching = profile(teacher).macs
    budget = budget_macs(settings.search.budget, original)
    drawn = statistics.fmean(
        profile(student.with_widths(widths)).macs for widths in enumerate_widths(settings.supernet.space)
    )
    for stage, trained, watched, pictures in (
        ("original", profile(original).macs, 0, train_1 + train_2),
        ("teacher", teaching, 0, train_1 + train_2),
        ("distill", profile(student).macs, teaching, train_1),
        ("supernet", drawn, teaching, train_1),
        ("finetune", budget, teaching, train_1 + train_2),
        ("narrow", budget, 0, train_1 + train_2),
    ):
        training = getattr(settings, stage)
        steps = total_steps(training, pictures)
        yield Cost(stage, steps, steps * training.batch, 3 * trained + watched + judge)
    subnets, shared = shared_macs(config, experiment)
    yield Cost("search", 0, subnets * min(train_2, settings.search.images), shared + INCEPTION)


def discriminator_macs(ndf: int, layers: int, size: tuple[int, int]) -> float:
    """MACs of one pass of the PatchGAN over one picture of input ⊕ output."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        PatchDiscriminator(6, ndf, layers)(torch.empty(1, 6, *size))
    return float(counter.get_total_flops()) / 2


def shared_macs(config: Config, experiment: str) -> tuple[int, float]:
    """How many subnets the search scores, and the mean MACs of one on a picture when prefixes are shared."""
    subnets = candidates(config, experiment)
    total, previous = 0, Widths()
    for place, subnet in enumerate(subnets):
        costs = dict.fromkeys((segment.name for segment in ResnetGenerator.segments), 0)
        for layer in subnet.profile.layers:
            costs[layer.name.split(".")[0]] += layer.macs
        known = 0
        for segment in ResnetGenerator.segments:
            known = max(known, *(index + 1 for index in segment.widths))
            if place % GROUP == 0 or previous[:known] != subnet.widths[:known]:
                total += costs[segment.name]
        previous = subnet.widths
    return len(subnets), total / len(subnets)


def table(config: Config, experiment: str, train_1: int, train_2: int) -> str:
    """The costs as Markdown, with their sum."""
    rows = list(costs(config, experiment, train_1, train_2))
    lines = ["| Stage | Steps | Images | MACs an image | In all |", "| :-- | --: | --: | --: | --: |"]
    for row in rows:
        count = f"{row.steps:,}" if row.steps else "–"
        lines.append(f"| {row.stage} | {count} | {row.images:,} | {row.macs / 1e9:.1f} G | {row.total / 1e15:.1f} P |")
    steps, total = sum(row.steps for row in rows), sum(row.total for row in rows)
    return "\n".join([*lines, f"| **all** | {steps:,} | | | {total / 1e15:.0f} P |"])


def main(
    experiment: Annotated[str, typer.Option(help="an experiment of the configuration")] = "emoji-256",
    train_1: Annotated[int | None, typer.Option(help="pictures, where the data set is not built yet")] = None,
    train_2: Annotated[int | None, typer.Option(help="pictures, where the data set is not built yet")] = None,
    configfile: Annotated[list[Path] | None, typer.Option(help="YAML file, repeatable")] = None,
) -> None:
    """Count what an experiment costs, from its configuration alone."""
    config = load(configfile or [Path("config.yaml")])
    if train_1 is None or train_2 is None:
        splits = load_manifest(paths.dataset(config.experiments[experiment].dataset)).splits
        train_1, train_2 = len(splits["train-1"]), len(splits["train-2"])
    typer.echo(table(config, experiment, train_1, train_2))


if __name__ == "__main__":
    typer.run(main)
