"""Scores of one generator, and of the honesty rows, on the validation pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gancomp.config.settings import Config
from gancomp.data.datasets import Pictures, Pixels, to_rgb
from gancomp.measure.macs import profile
from gancomp.metrics.bootstrap import draws, interval
from gancomp.metrics.frechet import Statistics
from gancomp.metrics.given import given_weights
from gancomp.metrics.inception import Inception
from gancomp.metrics.looks import clean_look, given_comparisons, given_looks
from gancomp.metrics.lpips import Lpips
from gancomp.metrics.scoring import Compare, Look, Scorer, Tally, feature_replicates, feature_scores
from gancomp.metrics.segmentation import load_judge
from gancomp.metrics.statistics import load_real_pair, load_real_pair_of_search, load_statistics
from gancomp.nets import Generator, load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import atomic, file_sha256, read_json, write_json
from gancomp.pipeline.places import model_of
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import code_version, provenance
from gancomp.report.metrics import BY_KEY, led_by
from gancomp.report.reading import read
from gancomp.report.records import COPIED, MEAN, PAINTED, REAL, Evaluation, JudgeMetrics, Reference, Scores
from gancomp.train.device import Device, take_device

#: Pictures of the validation set that the grids show.
SAMPLES = 12
CHUNK = 32

Images = Pixels
MakePictures = Callable[[Images], Images]


class Validation:
    """The validation pictures of an experiment, and what measures generators on them.

    `absent` says of the metrics that cannot be measured, where one might look for them, why that is so.
    """

    def __init__(self, config: Config, experiment: str, device: Device) -> None:
        self.settings = config.experiments[experiment]
        self.dataset = config.datasets[self.settings.dataset]
        self.root = paths.dataset(self.settings.dataset)
        self.device = take_device(device)
        self.absent: dict[str, str] = {}
        self.given = given_weights(config, experiment)
        self.pictures = Pictures(self.root, ("val",), self.dataset.direction)
        self.inception = Inception(paths.INCEPTION, precision=self.settings.precision, device=device)
        reference = load_statistics(self.statistics, "val", self.inception.key, self.pictures.data_hash)
        self.judge = self._judge_metrics()
        judge = load_judge(self.dataset, self.root, self.device) if self.judge and self.judge.usable else None
        looks, compared = self._looks(device), self._compared()
        self.scorer = Scorer(self.pictures, reference, self.inception, judge, compared, looks=looks)

    @property
    def statistics(self) -> Path:
        return self.root / "statistics.safetensors"

    def _looks(self, device: Device) -> dict[str, Look]:
        """What sees pictures otherwise than FID, where the experiment asks for it."""
        data_hash = self.pictures.data_hash
        looks = given_looks(self.given.values(), self.statistics, "val", data_hash, self.device)
        if self.settings.fid_clean:
            looks["fid_clean"] = clean_look(self.statistics, "val", data_hash, self.settings.precision, device)
        return looks

    def _judge_metrics(self) -> JudgeMetrics | None:
        """What is known of the data set's judge, where it has one."""
        if self.dataset.judge is None:
            if self.dataset.classes:
                self.absent["miou"] = "mIoU is not measured: the data set declares no judge."
            return None
        metrics = read(self.root / "judge" / "metrics.json", JudgeMetrics, "judge")
        if not metrics.usable:
            miou = BY_KEY["miou"]
            self.absent["miou"] = (
                f"mIoU is withheld: on real validation pictures the judge reaches {miou.text(metrics.miou)} %, less "
                f"than twice the {miou.text(metrics.majority)} % of always answering the most frequent class."
            )
        return metrics

    def _compared(self) -> dict[str, Compare]:
        """What compares pictures with their truth by a network, where the experiment asks for it."""
        if not self.pictures.paired:
            self.absent["l1"] = "L1, PSNR, SSIM, LPIPS and DISTS need the truth of a picture, and these are unpaired."
            return {}
        compared = given_comparisons(self.given.values(), self.device)
        if not self.settings.lpips:
            self.absent["lpips"] = "LPIPS is not measured: the experiment does not ask for it (lpips: true)."
        elif paths.LPIPS.is_file():
            compared["lpips"] = Lpips(paths.LPIPS, self.device)
        else:
            reason = " ".join(str(read_json(paths.LPIPS.with_name("status.json"))["reason"]).split())
            self.absent["lpips"] = f"LPIPS is not measured: its backbone is not at hand ({reason})."
        return compared

    def score(self, make: MakePictures, title: str) -> tuple[Tally, Images]:
        """*make*(inputs) measured against the real targets, and the samples' pictures."""
        tally, samples = self.scorer.tally(), []
        with Progress(title, len(self.pictures), "images") as progress:
            for start in range(0, len(self.pictures), CHUNK):
                indices = range(start, min(start + CHUNK, len(self.pictures)))
                made = make(self.pictures.inputs(indices))
                tally.add(made, self.scorer.truth(indices))
                samples += [picture for index, picture in zip(indices, made, strict=True) if index in self.samples]
                progress.advance(len(indices))
        return tally, np.stack(samples)

    def about(self) -> dict[str, Any]:
        """What every record of scores says besides them."""
        used: dict[str, Any] = {"inception": self.inception.key}
        if self.given:
            used["weights"] = {metric: given.sha256 for metric, given in self.given.items()}
        if self.scorer.judge:
            used["judge"] = file_sha256(self.root / "judge" / "model.safetensors")
        return {
            "images": len(self.pictures),
            "seed": self.settings.seed,
            "data_hash": self.pictures.data_hash,
            "code_version": code_version(),
            "samples": tuple(self.pictures.names[index] for index in self.samples),
            "provenance": provenance() | used,
        }

    def real_pair(self, key: str) -> tuple[NDArray[np.float32], Statistics]:
        """Features of real pictures and of others to hold them against, as seen by what has that *key*."""
        return load_real_pair(self.statistics, key, self.pictures.data_hash, self.settings.seed)

    @property
    def samples(self) -> range:
        """Indices of the pictures that the grids show, spread evenly over the validation set."""
        return spread(len(self.pictures))


def spread(count: int) -> range:
    """SAMPLES indices below *count*, or as many as there are, evenly."""
    wanted = min(SAMPLES, count)
    step = count // wanted
    return range(0, wanted * step, step)


def maker(generator: Generator, pictures: Pictures, device: torch.device) -> MakePictures:
    """From inputs of *pictures* (n, h, w, c) to what *generator* makes of them, as targets are."""

    @torch.inference_mode()
    def make(inputs: Images) -> Images:
        return pictures.decode(generator(pictures.encode(inputs).to(device)))

    return make


def evaluate(config: Config, experiment: str, stage: str, device: Device = "auto") -> None:
    """Score the generator that *stage* left, in fp32, and write `evaluation.json` and `samples.png` beside it."""
    validation = Validation(config, experiment, device)
    generator = load_generator(model_of(config, experiment, stage), validation.device)
    make = maker(generator, validation.pictures, validation.device)
    tally, samples = validation.score(make, f"evaluate {experiment} {stage}")
    scores = tally.scores()
    counted = profile(generator.spec)
    folder = paths.stage(experiment, stage)
    kept = {}
    for snapshot in sorted((model_of(config, experiment, stage).parent / paths.SNAPSHOTS).glob("*.safetensors")):
        earlier = maker(load_generator(snapshot, validation.device), validation.pictures, validation.device)
        images = int(snapshot.stem)
        kept[images] = validation.score(earlier, f"evaluate {experiment} {stage}, after {images:,} images")[0].scores()
    record = Evaluation(
        stage=stage,
        experiment=experiment,
        spec=generator.spec,
        params=counted.params,
        macs=counted.macs,
        macs_paper=counted.macs_paper,
        **scores.model_dump(),
        each={metric: tuple(float(f"{value:.6g}") for value in values) for metric, values in tally.shares().items()},
        **validation.about(),
        snapshots=kept,
    )
    write_strip(folder / "samples.png", samples)
    write_json(folder / "evaluation.json", record.model_dump(mode="json"))
    values = [(metric, metric.of(scores)) for metric in led_by(validation.settings.metric)]
    told = ", ".join(f"{metric.head} {metric.text(value)}" for metric, value in values if value is not None)
    print(f"{experiment} {stage}: {told}")


def evaluate_reference(config: Config, experiment: str, device: Device = "auto") -> None:
    """The honesty rows: real against real, the input returned unchanged, and one flat colour.

    A label map is no picture: instead of its input, each class is painted in its mean colour.
    """
    validation = Validation(config, experiment, device)
    training = Pictures(validation.root, ("train-1", "train-2"), validation.dataset.direction)
    colour = mean_colour(training)
    if training.kind == "labels":
        colours = class_colours(training, colour)
        baseline: tuple[str, MakePictures] = PAINTED, lambda inputs: colours[training.labels(inputs)]
    else:
        baseline = COPIED, training.as_targets
    flat: tuple[str, MakePictures] = MEAN, lambda inputs: np.broadcast_to(colour, (*inputs.shape[:3], len(colour)))
    made = {
        name: validation.score(make, f"reference {experiment}: {name}")[0].scores() for name, make in (baseline, flat)
    }

    pictures, samples = validation.pictures, validation.samples
    record = Reference(
        experiment=experiment,
        rows={REAL: real_against_real(validation), **made},
        paired=pictures.paired,
        judge=validation.judge,
        absent=validation.absent,
        bands=real_bands(validation),
        **validation.about(),
    )
    folder = paths.stage(experiment, "reference")
    # Without pairs these are only what real targets look like; the report shows them beside no input.
    shown: Sequence[int] = samples if pictures.paired else spread(pictures.target_count)
    write_strip(folder / "inputs.png", pictures.inputs(samples))
    write_strip(folder / "targets.png", pictures.targets(shown))
    write_json(folder / "evaluation.json", record.model_dump(mode="json"))


def real_against_real(validation: Validation) -> Scores:
    """What real pictures score: by their features against other real ones, and what the judge reads off them."""
    key, looks = validation.inception.key, validation.scorer.looks
    looked = {metric: look.distance.of(*validation.real_pair(look.extractor.key)) for metric, look in looks.items()}
    return Scores(
        **feature_scores(*validation.real_pair(key)),
        **looked,
        miou=validation.judge.miou if validation.judge and validation.judge.usable else None,
    )


def real_bands(validation: Validation) -> dict[str, dict[str, tuple[float, float]]]:
    """The 95% intervals of *real against real*, by draws of as many pictures as are scored in each place."""
    key, seed, search = validation.inception.key, validation.settings.seed, validation.settings.search
    pairs = {
        "val": validation.real_pair(key),
        "train-2": load_real_pair_of_search(validation.statistics, key, search.images, seed),
    }
    bands = {}
    for split, (features, reference) in pairs.items():
        weights = draws(len(features), search.bootstrap, seed)
        if not len(weights):
            continue
        scores = feature_scores(features, reference, {validation.settings.metric})
        replicates = feature_replicates(features, reference, weights, {validation.settings.metric})
        bands[split] = {metric: interval(scores[metric], values) for metric, values in replicates.items()}
    return bands


def mean_colour(pictures: Pictures) -> Images:
    """The mean colour of the targets (c,), in their depth."""
    total = np.zeros(pictures.target_channels)
    for start in range(0, pictures.target_count, CHUNK):
        targets = pictures.targets(range(start, min(start + CHUNK, pictures.target_count)))
        total += targets.mean(axis=(1, 2)).sum(axis=0)
    return np.rint(total / pictures.target_count).astype(targets.dtype)


def class_colours(pictures: Pictures, otherwise: Images) -> Images:
    """The mean colour of each class in the targets, 8-bit (classes, c); of a class that is in none, *otherwise*."""
    classes = len(pictures.classes)
    total, pixels = np.zeros((classes, len(otherwise))), np.zeros(classes)
    for start in range(0, len(pictures), CHUNK):
        inputs, targets = pictures.batch(range(start, min(start + CHUNK, len(pictures))))
        labels = pictures.labels(inputs).ravel()
        pixels += np.bincount(labels, minlength=classes)
        for channel in range(len(otherwise)):
            total[:, channel] += np.bincount(labels, targets[..., channel].ravel(), minlength=classes)
    means = np.rint(total / np.maximum(pixels, 1)[:, None]).astype(np.uint8)
    return np.where(pixels[:, None] > 0, means, otherwise)


def write_strip(path: Path, pictures: Images) -> None:
    """Pictures (n, h, w, c) as one PNG in colours, top to bottom."""
    pictures = to_rgb(pictures)
    with atomic(path) as temporary:
        Image.fromarray(pictures.reshape(-1, *pictures.shape[2:])).save(temporary, format="PNG")
