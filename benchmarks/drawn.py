"""Drawn pictures, and the repository's experiments on them at two sizes, for what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gancomp import rng
from gancomp.config.loading import load
from gancomp.config.settings import Config
from gancomp.config.values import Model
from gancomp.data.build import build

ROOT = Path(__file__).parent.parent
Stage = Literal["teacher", "distill", "supernet"]

MODELS: Mapping[Model, str] = {"pix2pix": "emoji", "cyclegan": "cyclegan-resnet", "gaugan": "climate"}
#: `relief-unpaired`, whose network is a U-Net, with CycleGAN's own.
RESNET = {
    "base": "relief-unpaired",
    "generator": {"family": "resnet", "block": "separable", "up": None},
    "original": {"widths": 24},
    "teacher": {"widths": 24, "batch": 4},
    "distill": {"widths": 16},
    "supernet": {"space": [[16, 8], [16, 8], [16], [16, 8], [16, 8], [16, 8], [16, 8], [16, 8]]},
}
STAGES: Mapping[Stage, str] = {"teacher": "teacher", "distill": "distillation", "supernet": "once-for-all"}
SIZES = {64: 72, 256: 286}
#: Pictures of the search and of one call of Inception, subnets of the search, and classes of the label maps.
SEARCHED, SHOWN, SUBNETS, CLASSES = 64, 16, 4, 8


@dataclass
class Bench:
    """Drawn pictures in *folder*, and the experiments that are measured on them."""

    folder: Path
    images: int = SEARCHED
    sizes: Mapping[int, int] = field(default_factory=lambda: SIZES)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def config(self, model: Model, side: int) -> tuple[Config, str]:
        """The configuration, and the experiment of *model* in it: the repository's own of MODELS, on pictures of
        *side* × *side*; one picture a step where they are large."""
        name, base = f"{model}-{side}", MODELS[model]
        own: dict[str, Any] = {"base": base, "dataset": name, "search": {"images": self.images, "budget": "1x"}}
        if side > 64:
            own |= {stage: {"batch": 1} for stage in ("original", *STAGES)}
        datasets = {name: self._dataset(model, side) | {"size": side, "load_size": self.sizes[side]}}
        experiments = {MODELS["cyclegan"]: RESNET, name: {**own, **self.overrides}}
        return load([ROOT / "config.yaml"], {"datasets": datasets, "experiments": experiments}), name

    def _dataset(self, model: Model, side: int) -> dict[str, Any]:
        folder = self.folder / "drawn" / f"{model}-{side}"
        shared = {"search_count": self.images}
        if model == "pix2pix":
            return {"source": "aligned", "path": str(folder), **shared}
        if model == "cyclegan":
            return {"source": "folders", "a": str(folder / "a"), "b": str(folder / "b"), **shared}
        names = [f"class {number}" for number in range(CLASSES)]
        return {"source": "labels", "images": str(folder / "a"), "labels": str(folder / "b"), "names": names, **shared}

    def root(self, model: Model, side: int) -> Path:
        """Where the data set is, drawn and built on first use."""
        config, name = self.config(model, side)
        root = self.folder / "built" / name
        if not root.is_dir():
            draw_pictures(self.folder / "drawn" / name, model, side, 2 * self.images)
            build(name, config.datasets[name], root, self.folder)
        return root


def draw_pictures(folder: Path, model: Model, side: int, count: int) -> None:
    """Pictures of smooth colours, which say nothing about one another; label maps of squares."""
    draw = rng.generator(0, "drawn", side)

    def colours() -> Image.Image:
        small = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)

    for index in range(count):
        if model == "pix2pix":
            pair = np.concatenate([np.asarray(colours()), np.asarray(colours())], axis=1)
            _save(Image.fromarray(pair), folder / ("val" if index < 4 else "train") / f"{index:03}.png")
            continue
        labels = np.kron(draw.integers(0, CLASSES, (8, 8), dtype=np.uint8), np.ones((side // 8,) * 2, np.uint8))
        _save(colours(), folder / "a" / f"{index:03}.png")
        _save(Image.fromarray(labels) if model == "gaugan" else colours(), folder / "b" / f"{index:03}.png")


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
