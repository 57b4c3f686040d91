"""Experiments on every kind of pictures with fresh networks in place of trained ones: what is scored, not how well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import FakeInception, draw_pair, fake_inception

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.data.build import build
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures
from gancomp.elastic.calibrate import calibrate
from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Widths
from gancomp.metrics.segmentation import SmallSegmenter, save_judge
from gancomp.metrics.statistics import write_statistics
from gancomp.nets import Generator, build_generator, save_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import generator_spec

RESNET_SPACE = [[4], [4], [4, 3], [3], [4, 2], [4, 2], [4, 2], [3, 2]]
SPADE_SPACE = [[2], [2, 1], [2], [2, 1], [2], [2, 1], [2], [2, 1]]
COMPRESSION: dict[str, Any] = {
    "teacher": {"widths": 6},
    "distill": {"widths": 4},
    "supernet": {"space": RESNET_SPACE},
    "search": {"budget": "5x", "images": 7, "chunk": 3},
}
SETTINGS: dict[str, Any] = {
    "datasets": {
        # Gray drawings that are not square.
        "gray": {"source": "aligned", "path": "pictures", "channels": 1, "size": "16x24", "search_fraction": 0.3},
        "domains": {"source": "folders", "a": "a", "b": "b", "size": 16, "search_fraction": 0.4, "val_fraction": 0.25},
        "maps": {
            "source": "labels",
            "images": "photos",
            "labels": "maps",
            "names": ["ground", "box", "frame"],
            "size": 64,
            "search_fraction": 0.35,
            "val_fraction": 0.25,
            "judge": {"network": "small", "width": 8},
        },
    },
    "experiments": {
        "batch": {"dataset": "gray", "generator": {"blocks": 3, "norm": "batch"}} | COMPRESSION,
        "cyclegan": {"dataset": "domains", "model": "cyclegan", "generator": {"blocks": 3}} | COMPRESSION,
        "gaugan": {
            "dataset": "maps",
            "model": "gaugan",
            "generator": {"family": "spade", "upsampling": "normal"},
            "teacher": {"widths": 3},
            "distill": {"widths": 2},
            "supernet": {"space": SPADE_SPACE},
            "search": {"budget": "2x", "images": 5, "chunk": 3},
        },
        "alone": {"dataset": "gray", "generator": {"family": "unet", "downs": 3}},
    },
}
#: What all of them share.
SHARED: dict[str, Any] = {
    "seed": 3,
    "precision": "32",
    "discriminator": {"ndf": 4, "layers": 1},
    "original": {"widths": 8},
    "calibration": {"images": 10, "batch": 4},
    "benchmark": {"warmup": 1, "runs": 2, "threads": 1},
}
SHARED_BY_NAME: dict[str, dict[str, Any]] = {"gaugan": {"original": {"widths": 4}}}


@dataclass(frozen=True)
class Untrained:
    """An experiment in the current folder: its data set, statistics and judge, and random generators."""

    experiment: str

    def config(self, dataset: dict[str, Any] | None = None, **experiment: Any) -> Config:
        """The configuration with some keys of the data set and of the experiment changed."""
        own = merge(merge(SHARED, SETTINGS["experiments"][self.experiment]), SHARED_BY_NAME.get(self.experiment, {}))
        name = own["dataset"]
        return parse(
            {
                "datasets": {name: merge(SETTINGS["datasets"][name], dataset or {})},
                "experiments": {self.experiment: merge(own, experiment)},
            }
        )

    @property
    def root(self) -> Path:
        return paths.dataset(self.config().experiments[self.experiment].dataset)

    def stage(self, name: str) -> Path:
        return paths.stage(self.experiment, name)

    def pictures(self, *splits: Any) -> Pictures:
        return Pictures(self.root, splits, "AtoB")

    def make_data(self) -> None:
        """Draw, build and measure the data set; of label maps also a judge of random weights that passes for usable."""
        config = self.config()
        name = config.experiments[self.experiment].dataset
        draw_sources(name)
        build(name, config.datasets[name], self.root, paths.DOWNLOADS)
        write_statistics(self.root, [FakeInception()], self.root / "statistics.safetensors")
        if name == "maps":
            torch.manual_seed(0)
            network = SmallSegmenter(3, 8)
            save_judge(self.root / "judge" / "model.safetensors", "small", network.state_dict(), classes=3, width=8)
            self.write_judge(usable=True)

    def write_judge(self, usable: bool) -> None:
        metrics = {"miou": 0.625 if usable else 0.25, "majority": 0.1875, "usable": usable, "images": 9}
        write_json(self.root / "judge" / "metrics.json", metrics)

    def make_generators(self) -> None:
        """Every generator that is compared, and the once-for-all network; the subnet is cut out of it."""
        original = generator_spec(self.config(), self.experiment, "original")
        self.save("original", random_generator(original, 1))
        if self.experiment == "alone":
            return
        supernet = self.config().experiments[self.experiment].supernet
        spec = generator_spec(self.config(), self.experiment, "distill")
        whole, widths = random_generator(spec.with_widths(supernet.largest), 2), supernet.smallest
        self.save("supernet", whole)
        self.save("narrow", random_generator(original.with_widths((3,) * 8), 3))
        self.save("subnet", self.subnet(whole, widths))
        self.save("finetune", random_generator(whole.spec.with_widths(widths), 4))

    def subnet(self, whole: Generator, widths: Widths) -> Generator:
        """The subnet as it would be alone, with statistics of its own."""
        config = self.config()
        settings = config.experiments[self.experiment]
        dataset = config.datasets[settings.dataset]
        batches = calibration_batches(self.root, dataset, settings.calibration, settings.seed, "cpu")
        subnet = extract(whole, widths)
        calibrate(subnet, batches())
        return subnet

    def save(self, stage: str, generator: Generator) -> None:
        key = signature(self.config(), self.experiment, stage)
        save_generator(
            self.stage(stage) / "model.safetensors", generator, experiment=self.experiment, stage=stage, signature=key
        )


def random_generator(spec: Any, seed: int) -> Generator:
    """Weights large enough that pictures differ, and statistics that belong to no picture."""
    torch.manual_seed(seed)
    generator = build_generator(spec).eval()
    with torch.no_grad():
        for weight in generator.parameters():
            weight.normal_(0, 1.2 / max(weight[0].numel(), 9) ** 0.5)
        for name, buffer in generator.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.2, 3)
            elif name.endswith("running_mean"):
                buffer.normal_()
    return generator


def draw_sources(name: str) -> None:
    """The pictures that a data set is built from, in the current folder."""
    rng = np.random.default_rng(5)
    if name == "gray":
        for kind, count in (("train", 24), ("val", 6)):
            for index in range(count):
                _save(draw_pair(rng), f"pictures/{kind}/{index:02}.png")
    elif name == "domains":
        for folder, side, count in (("a", slice(None, 16), 30), ("b", slice(16, None), 36)):
            for index in range(count):
                _save(draw_pair(rng)[:, side], f"{folder}/{index:02}.png")
    else:
        colours = rng.integers(0, 216, (256, 3))
        for index in range(36):
            labels = np.zeros((64, 64), np.uint8)
            top, left, side = rng.integers(2, 20, 3)
            labels[top : top + 2 * side, left : left + 2 * side] = 2
            labels[top + 2 : top + 2 * side - 2, left + 2 : left + 2 * side - 2] = 1
            labels[:, 60:] = 200  # no class
            photo = colours[labels] + rng.integers(0, 40, (64, 64, 3))
            _save(photo.astype(np.uint8), f"photos/{index:02}.png")
            _save(labels, f"maps/{index:02}.png")


def _save(picture: np.ndarray, path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def prepare(experiment: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Untrained:
    """The experiment in *folder*, which becomes the current one, with the fake Inception."""
    monkeypatch.chdir(folder)
    fake_inception(monkeypatch)
    made = Untrained(experiment)
    made.make_data()
    made.make_generators()
    return made
