"""Scores of one generator, and of the honesty rows, on the validation pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gancomp import paths
from gancomp.artifacts import atomic, code_version, provenance, write_json
from gancomp.config import Config
from gancomp.data.datasets import PairedPictures, to_float, to_uint8
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.inception import Inception
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.pictures import l1
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator
from gancomp.pipeline import owner
from gancomp.profile.macs import profile
from gancomp.progress import Progress
from gancomp.report.records import COPIED, MEAN, REAL, Evaluation, Reference, Scores
from gancomp.train.device import Device

#: Pictures of the validation set that the grids show.
SAMPLES = 12
CHUNK = 32

Pictures = np.ndarray
MakePictures = Callable[[Pictures], Pictures]


class Judge:
    """The validation pictures, the Inception network and the statistics of the real targets."""

    def __init__(self, config: Config, experiment: str, device: Device) -> None:
        self.settings = config.experiments[experiment]
        dataset = config.datasets[self.settings.dataset]
        root = paths.dataset(self.settings.dataset)
        self.pictures = PairedPictures(root, ("val",), dataset.direction)
        self.training = PairedPictures(root, ("train-1", "train-2"), dataset.direction)
        self.inception = Inception(paths.INCEPTION, precision=self.settings.precision, device=device)
        path, key, data_hash = root / "statistics.safetensors", self.inception.key, self.pictures.data_hash
        self.search_targets = load_statistics(path, "train-2", key, data_hash)
        self.targets = load_statistics(path, "val", key, data_hash)

    def score(self, make: MakePictures, title: str) -> tuple[Scores, Pictures]:
        """FID, KID and L1 of *make*(inputs) against the real targets, and the samples' pictures."""
        features, errors, samples = [], 0.0, []
        with Progress(title, len(self.pictures), "images") as progress:
            for start in range(0, len(self.pictures), CHUNK):
                indices = range(start, min(start + CHUNK, len(self.pictures)))
                inputs, targets = self.pictures.batch(indices)
                made = make(inputs)
                features.append(self.inception(made))
                errors += l1(made, targets) * len(indices)
                samples += [picture for index, picture in zip(indices, made, strict=True) if index in self.samples]
                progress.advance(len(indices))
        scores = distances(np.concatenate(features), self.targets, errors / len(self.pictures))
        return scores, np.stack(samples)

    def about(self) -> dict[str, Any]:
        """What every record of scores says besides them."""
        return {
            "images": len(self.pictures),
            "seed": self.settings.seed,
            "data_hash": self.pictures.data_hash,
            "code_version": code_version(),
            "samples": tuple(self.pictures.names[index] for index in self.samples),
            "provenance": provenance() | {"inception": self.inception.key},
        }

    @property
    def samples(self) -> range:
        """Indices of the pictures that the grids show, spread evenly over the validation set."""
        count = min(SAMPLES, len(self.pictures))
        step = len(self.pictures) // count
        return range(0, count * step, step)


def distances(features: np.ndarray, targets: Statistics, error: float | None) -> Scores:
    """FID and KID of *features* (n, 2048) against the real targets, beside an L1 measured elsewhere."""
    return Scores(fid=frechet_distance(features, targets), kid=kernel_distance(features, targets), l1=error)


def evaluate(config: Config, experiment: str, stage: str, device: Device = "auto") -> None:
    """Score the generator that *stage* left, in fp32, and write `evaluation.json` and `samples.png` beside it."""
    judge = Judge(config, experiment, device)
    generator = load_generator(paths.stage(owner(config, experiment, stage), stage) / "model.safetensors")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    generator.to("cuda" if on_gpu else "cpu")

    @torch.inference_mode()
    def make(inputs: Pictures) -> Pictures:
        return to_uint8(generator(to_float(inputs).to(next(generator.parameters()).device)))

    scores, samples = judge.score(make, f"evaluate {experiment} {stage}")
    counted = profile(generator.spec)
    folder = paths.stage(experiment, stage)
    record = Evaluation(
        stage=stage,
        experiment=experiment,
        spec=generator.spec,
        params=counted.params,
        macs=counted.macs,
        macs_paper=counted.macs_paper,
        **scores.model_dump(),
        **judge.about(),
    )
    write_strip(folder / "samples.png", samples)
    write_json(folder / "evaluation.json", record.model_dump(mode="json"))
    print(f"{experiment} {stage}: FID {scores.fid:.2f}, KID {scores.kid:.5f}, L1 {scores.l1:.4f}")


def evaluate_reference(config: Config, experiment: str, device: Device = "auto") -> None:
    """The honesty rows: real against real, the input returned unchanged, and one flat colour."""
    judge = Judge(config, experiment, device)
    colour = mean_colour(judge.training)
    copied, inputs = judge.score(lambda pictures: pictures, f"reference {experiment}: {COPIED}")
    flat, _ = judge.score(lambda pictures: np.broadcast_to(colour, pictures.shape), f"reference {experiment}: {MEAN}")
    real_features = judge.search_targets.features[: judge.targets.count]
    record = Reference(
        experiment=experiment,
        rows={REAL: distances(real_features, judge.targets, None), COPIED: copied, MEAN: flat},
        **judge.about(),
    )
    folder = paths.stage(experiment, "reference")
    write_strip(folder / "inputs.png", inputs)
    write_strip(folder / "targets.png", judge.pictures.batch(list(judge.samples))[1])
    write_json(folder / "evaluation.json", record.model_dump(mode="json"))


def mean_colour(pictures: PairedPictures) -> Pictures:
    """The mean colour of the targets, 8-bit (3,)."""
    total = np.zeros(3)
    for start in range(0, len(pictures), CHUNK):
        targets = pictures.batch(range(start, min(start + CHUNK, len(pictures))))[1]
        total += targets.mean(axis=(1, 2)).sum(axis=0)
    return np.rint(total / len(pictures)).astype(np.uint8)


def write_strip(path: Path, pictures: Pictures) -> None:
    """Pictures (n, h, w, 3) as one PNG, top to bottom."""
    with atomic(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pictures.reshape(-1, *pictures.shape[2:]))).save(temporary, format="PNG")
