"""Scoring subnets on train-2, by what ranks them and what is known there, in shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from gancomp import paths
from gancomp.artifacts import write_csv
from gancomp.config import Config
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures, to_uint8
from gancomp.data.settings import DatasetBase
from gancomp.elastic.space import Subnet
from gancomp.errors import GancompError
from gancomp.metrics.inception import Inception
from gancomp.metrics.scoring import Scorer
from gancomp.metrics.segmentation import Judge, load_judge
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator
from gancomp.nets.generator import Generator
from gancomp.pipeline import owner
from gancomp.progress import Progress
from gancomp.report.records import SEARCH_COLUMNS, JudgeMetrics, SubnetRow, read
from gancomp.search.candidates import GROUP, as_text, candidates, shard_of, shard_path
from gancomp.search.tree import TreeWalk
from gancomp.train.device import Device, make_fabric


@torch.inference_mode()
def score(
    generator: Generator, subnets: Sequence[Subnet], config: Config, experiment: str, device: Device = "auto"
) -> Iterator[SubnetRow]:
    """Score *subnets* of the once-for-all *generator*, in order.

    FID and KID always, L1 where train-2 holds pairs, and mIoU, which may cost more than all else, where it is the
    metric that chooses. Raises GancompError when what measures is missing, or a judge is not good enough to choose by.
    """
    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    root = paths.dataset(settings.dataset)
    fabric = make_fabric(settings.precision, device)
    pictures = Pictures(root, ("train-2",), dataset.direction)
    inception = Inception(paths.INCEPTION, precision=settings.precision, device=device)
    reference = load_statistics(root / "statistics.safetensors", "train-2", inception.key, pictures.data_hash)
    judge = usable_judge(dataset, root, fabric.device) if settings.metric == "miou" else None
    scorer = Scorer(pictures, reference, inception, judge)
    count, chunk = min(len(pictures), settings.search.images), settings.search.chunk
    walk = TreeWalk(
        generator.to(fabric.device).eval(), calibration_batches(root, dataset, settings.calibration, fabric.device)
    )

    with Progress(f"search {experiment}", len(subnets) * count, "images") as progress:
        for group in _groups(subnets):
            tallies = [scorer.tally() for _ in group]
            for start in range(0, count, chunk):
                indices = range(start, min(start + chunk, count))
                truth = scorer.truth(indices)
                x = pictures.encode(pictures.inputs(indices)).to(fabric.device)
                with fabric.autocast():
                    for tally, (_, out) in zip(tallies, walk(group, x), strict=True):
                        with torch.autocast(fabric.device.type, enabled=False):  # a judge has a precision of its own
                            tally.add(to_uint8(out), truth)
                        progress.advance(len(indices))
            for subnet, tally in zip(group, tallies, strict=True):
                yield SubnetRow(
                    index=subnet.index,
                    widths=subnet.widths,
                    macs=subnet.profile.macs,
                    macs_paper=subnet.profile.macs_paper,
                    params=subnet.profile.params,
                    **tally.scores().model_dump(),
                )


def usable_judge(dataset: DatasetBase, root: Path, device: torch.device) -> Judge:
    """The data set's judge; GancompError if it reads real pictures too badly to choose by what it says."""
    path = root / "judge" / "metrics.json"
    metrics = read(path, JudgeMetrics, "judge")
    if not metrics.usable:
        raise GancompError(
            f"{path}: the judge reaches a mIoU of {metrics.miou:.3f} on real pictures, less than twice the "
            f"{metrics.majority:.3f} of always answering the most frequent class, so the search cannot go by it; train "
            "it longer (judge.epochs), or choose another metric"
        )
    return load_judge(dataset, root, device)


def _groups(subnets: Sequence[Subnet]) -> Iterator[list[Subnet]]:
    iterator = iter(subnets)
    while group := list(islice(iterator, GROUP)):
        yield group


def score_shard(config: Config, experiment: str, index: int, count: int, device: Device = "auto") -> None:
    """Score shard *index* of *count* and write its CSV (an empty one if there are more shards than groups)."""
    generator = load_generator(paths.stage(owner(config, experiment, "supernet"), "supernet") / "model.safetensors")
    subnets = shard_of(candidates(config, experiment), index, count)
    rows = score(generator, subnets, config, experiment, device) if subnets else ()
    write_csv(shard_path(experiment, index, count), SEARCH_COLUMNS, [as_text(row) for row in rows])
