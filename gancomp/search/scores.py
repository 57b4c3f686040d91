"""Scoring subnets on train-2 by 2,048-feature FID, KID and L1, in shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from gancomp import paths
from gancomp.artifacts import write_csv
from gancomp.config import Config
from gancomp.data.datasets import PairedPictures, to_float, to_uint8
from gancomp.elastic.space import Subnet
from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.inception import Inception
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.pictures import l1
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator
from gancomp.nets.generator import Generator
from gancomp.pipeline import owner
from gancomp.progress import Progress
from gancomp.report.records import SEARCH_COLUMNS, SubnetRow
from gancomp.search.candidates import GROUP, as_text, candidates, shard_of, shard_path
from gancomp.search.tree import TreeWalk
from gancomp.train.device import Device, make_fabric


@torch.inference_mode()
def score(
    generator: Generator, subnets: Sequence[Subnet], config: Config, experiment: str, device: Device = "auto"
) -> Iterator[SubnetRow]:
    """Score *subnets* of the once-for-all *generator*, in order."""
    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    root = paths.dataset(settings.dataset)
    fabric = make_fabric(settings.precision, device)
    pictures = PairedPictures(root, ("train-2",), dataset.direction)
    inception = Inception(paths.INCEPTION, precision=settings.precision, device=device)
    reference = load_statistics(root / "statistics.safetensors", "train-2", inception.key, pictures.data_hash)
    count, chunk = min(len(pictures), settings.search.images), settings.search.chunk
    walk = TreeWalk(generator.to(fabric.device).eval())

    with Progress(f"search {experiment}", len(subnets) * count, "images") as progress:
        for group in _groups(subnets):
            features = np.empty((len(group), count, reference.mu.size), np.float32)
            errors = np.zeros(len(group))
            for start in range(0, count, chunk):
                stop = min(start + chunk, count)
                inputs, targets = pictures.batch(range(start, stop))
                x = to_float(inputs).to(fabric.device)
                with fabric.autocast():
                    for row, (_, out) in enumerate(walk(group, x)):
                        made = to_uint8(out)
                        features[row, start:stop] = inception(made)
                        errors[row] += l1(made, targets) * (stop - start)
                        progress.advance(stop - start)
            for subnet, own, error in zip(group, features, errors, strict=True):
                yield SubnetRow(
                    index=subnet.index,
                    widths=subnet.widths,
                    macs=subnet.profile.macs,
                    macs_paper=subnet.profile.macs_paper,
                    params=subnet.profile.params,
                    fid=frechet_distance(own, reference),
                    kid=kernel_distance(own, reference),
                    l1=error / count,
                )


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
