"""The tiny experiments that tests share, one a model: settings, generated pictures, stages, stand-ins for networks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EXPERIMENT, DATASET = "tiny", "shapes"
SIDE = 16
FEATURES = 24

#: What the session's experiment is; a test that varies it merges its own values over a copy.
SETTINGS: dict[str, Any] = {
    "run": [EXPERIMENT],
    "datasets": {
        DATASET: {"source": "aligned", "path": "pictures", "size": SIDE, "load_size": SIDE + 2, "search_fraction": 0.3}
    },
    "experiments": {
        EXPERIMENT: {
            "dataset": DATASET,
            "seed": 7,
            "precision": "32",
            "generator": {"blocks": 3},
            "discriminator": {"ndf": 4, "layers": 2},
            "original": {"widths": 8, "batch": 4, "epochs_const": 1, "epochs_decay": 1},
            "teacher": {"widths": 6, "batch": 4, "epochs_const": 1, "epochs_decay": 1},
            "distill": {"widths": 4, "batch": 4, "epochs_const": 1, "epochs_decay": 1, "lr": 1e-3},
            "supernet": {
                "batch": 4,
                "epochs_const": 1,
                "epochs_decay": 1,
                "lr": 1e-3,
                "space": [[4], [4, 3], [4, 2], [3], [4, 2], [4, 1], [4, 2], [3, 2]],
            },
            "search": {"budget": "5.5x", "images": 8, "chunk": 5},
            "finetune": {"batch": 4, "epochs_const": 1, "epochs_decay": 1, "lr": 1e-3},
            "narrow": {"batch": 4, "epochs_const": 1, "epochs_decay": 1},
            "benchmark": {"warmup": 1, "runs": 3, "threads": 1},
        }
    },
}


#: What the other models' experiments change of it.
OF_MODEL: dict[str, dict[str, Any]] = {
    "pix2pix": {},
    "cyclegan": {
        "model": "cyclegan",
        "objective": {"gan": "lsgan", "lambda_recon": 10, "lambda_distill": 0.1, "pool": 6},
    },
    "gaugan": {
        "model": "gaugan",
        "generator": {"family": "spade", "upsampling": "normal"},
        "discriminator": {"ndf": 4, "layers": 2, "scales": 2},
        "objective": {"lambda_recon": 10, "lambda_distill": 10},
        "calibration": {"images": 8, "batch": 4},
        "original": {"widths": 4, "lr": 1e-3, "lr_discriminator": 4e-3},
        "teacher": {"widths": 3, "lr": 1e-3, "lr_discriminator": 4e-3},
        "distill": {"widths": 2, "lr_discriminator": 4e-3},
        "supernet": {"lr_discriminator": 4e-3, "space": [[2], [2, 1], [2], [1], [2, 1], [2, 1], [2], [2, 1]]},
        "search": {"budget": "2x"},
        "finetune": {"lr_discriminator": 4e-3},
        "narrow": {"lr_discriminator": 4e-3},
    },
}
#: And their data sets, in place of its own: two domains, and label maps of the smallest size that there is for SPADE.
DATASET_OF_MODEL: dict[str, dict[str, Any]] = {
    "pix2pix": SETTINGS["datasets"][DATASET],
    "cyclegan": {
        "source": "folders",
        "a": "pictures/a",
        "b": "pictures/b",
        "size": SIDE,
        "load_size": SIDE + 2,
        "search_fraction": 0.3,
    },
    "gaugan": {
        "source": "labels",
        "images": "pictures/images",
        "labels": "pictures/labels",
        "names": ["ground", "box", "tree"],
        "size": 64,
        "load_size": 68,
        "search_fraction": 0.3,
    },
}


#: Generators whose outputs are no colours: gray → gray by pairs, photos → gray without them, and signed numbers.
OF_MODEL |= {"gray": OF_MODEL["pix2pix"], "photo-gray": OF_MODEL["cyclegan"], "numbers": OF_MODEL["pix2pix"]}
DATASET_OF_MODEL |= {
    "gray": DATASET_OF_MODEL["pix2pix"] | {"channels": 1, "target_channels": 1},
    "photo-gray": DATASET_OF_MODEL["cyclegan"] | {"target_channels": 1},
    "numbers": DATASET_OF_MODEL["pix2pix"] | {"channels": 1, "target_channels": 1, "range": [-1024, 3072]},
}


class FakeInception:
    """In place of the FID network: fixed random features of pictures, with the key of full precision."""

    def __init__(self, weights: Path | None = None, **_: Any) -> None:
        from gancomp.metrics.inception import inception_key

        self.key = inception_key("32", "cpu")
        rng = np.random.default_rng(0)
        self._weights = rng.normal(size=(4 * 4 * 3, FEATURES)).astype(np.float32)

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Features (n, FEATURES) of uint8 pictures (n, h, w, 3)."""
        n, h, w, _ = pictures.shape
        coarse = pictures.reshape(n, 4, h // 4, 4, w // 4, 3).mean(axis=(2, 4), dtype=np.float32)
        return np.tanh(coarse.reshape(n, -1) @ self._weights / 500).astype(np.float32)


@dataclass(frozen=True)
class Workspace:
    """A working directory that holds `pictures/`, `data/` and `results/` of a model's tiny experiment."""

    folder: Path
    model: str = "pix2pix"

    def settings(self, **experiment: Any) -> dict[str, Any]:
        """The model's SETTINGS with some keys of the experiment changed, mappings merged."""
        from gancomp.config.loading import merge

        own = {**SETTINGS, "datasets": {DATASET: DATASET_OF_MODEL[self.model]}}
        return merge(
            merge(own, {"experiments": {EXPERIMENT: OF_MODEL[self.model]}}), {"experiments": {EXPERIMENT: experiment}}
        )

    def config(self, **experiment: Any) -> Any:
        """The parsed configuration with some keys of the experiment changed."""
        from gancomp.config.loading import parse

        return parse(self.settings(**experiment))

    def stage(self, name: str) -> Path:
        return self.folder / "results" / EXPERIMENT / name

    def resume(self, name: str) -> Path:
        return self.folder / "results" / EXPERIMENT / ".resume" / name

    def copy(self, folder: Path) -> Workspace:
        """The same files in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Workspace(folder, self.model)


def draw_pair(rng: np.random.Generator) -> np.ndarray:
    """A|B, SIDE x 2·SIDE x 3: the outlines of two rectangles, and the rectangles filled by colours."""
    outline = np.full((SIDE, SIDE, 3), 255, np.uint8)
    filled = np.full((SIDE, SIDE, 3), 230, np.uint8)
    for colour in rng.integers(0, 200, (2, 3)):
        top, left = rng.integers(1, SIDE // 2, 2)
        bottom, right = rng.integers(SIDE // 2, SIDE - 1, 2)
        filled[top : bottom + 1, left : right + 1] = colour
        outline[[top, bottom], left : right + 1] = 0
        outline[top : bottom + 1, [left, right]] = 0
    return np.concatenate([outline, filled], axis=1)


def write_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, count in (("train", 30), ("val", 7)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(draw_pair(rng)).save(folder / kind / f"{index:02}.png")


def write_numbers(folder: Path) -> None:
    """The pairs as signed 16-bit numbers from -1000 to 1550."""
    write_pictures(folder)
    for path in folder.rglob("*.png"):
        numbers = np.asarray(Image.open(path).convert("L")).astype(np.int16) * 10 - 1000
        Image.fromarray(numbers.view(np.uint16)).save(path.with_suffix(".tif"), tiffinfo={339: 2})
        path.unlink()


def write_domains(folder: Path) -> None:
    """Outlines in `a`, and fewer filled rectangles, of other pairs, in `b`."""
    rng = np.random.default_rng(0)
    for side, count, half in (("a", 34, slice(SIDE)), ("b", 24, slice(SIDE, None))):
        (folder / side).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(draw_pair(rng)[:, half]).save(folder / side / f"{index:02}.png")


def write_label_maps(folder: Path) -> None:
    """Label maps of two rectangles on the ground, and photos in which each class has a colour and some noise."""
    rng = np.random.default_rng(0)
    colours = np.array([[200, 180, 140], [40, 60, 200], [30, 150, 50]])
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(26):
        labels = np.zeros((64, 64), np.uint8)
        for class_ in (1, 2):
            top, left = rng.integers(0, 32, 2)
            bottom, right = rng.integers(33, 64, 2)
            labels[top:bottom, left:right] = class_
        photo = colours[labels] + rng.integers(-20, 20, (64, 64, 3))
        Image.fromarray(labels).save(folder / "labels" / f"{index:02}.png")
        Image.fromarray(photo.astype(np.uint8)).save(folder / "images" / f"{index:02}.png")


WRITES_PICTURES = {
    "pix2pix": write_pictures,
    "gray": write_pictures,
    "numbers": write_numbers,
    "cyclegan": write_domains,
    "photo-gray": write_domains,
    "gaugan": write_label_maps,
}


#: The function of `gancomp.train.stages` that trains each stage.
TRAINS = {
    "original": "train_original",
    "teacher": "train_teacher",
    "distill": "train_distilled",
    "supernet": "train_supernet",
    "finetune": "train_finetuned",
    "narrow": "train_narrow",
    "scratch": "train_scratch",
}


def train(config: Any, stage: str) -> None:
    """Train one stage in the current folder, on the processor."""
    from gancomp.train import stages
    from gancomp.train.device import Machine

    getattr(stages, TRAINS[stage])(config, EXPERIMENT, Machine("cpu"))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums run in another order on another number of threads, so byte-for-byte comparisons fix it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fake_inception(patch: pytest.MonkeyPatch) -> None:
    for user in (
        "gancomp.search.scores",
        "gancomp.measure.evaluate",
        "gancomp.train.teachers",
        "gancomp.metrics.looks",
    ):
        patch.setattr(f"{user}.Inception", FakeInception)


@contextlib.contextmanager
def working_copy(finished: Workspace, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A copy of a *finished* experiment as the current folder, with the fake Inception, on one thread."""
    own = finished.copy(folder)
    patch.chdir(own.folder)
    fake_inception(patch)
    with one_thread():
        yield own


def fake_perceptual(patch: pytest.MonkeyPatch) -> None:
    """In place of the perceptual network, whose weights no test fetches: the difference of coarse pictures."""
    from torch import Tensor, nn
    from torch.nn import functional as F

    class FakePerceptual(nn.Module):
        def __init__(self, name: str, weights: Path) -> None:
            super().__init__()

        def forward(self, fake: Tensor, real: Tensor) -> Tensor:
            return F.l1_loss(F.avg_pool2d(fake.float(), 4), F.avg_pool2d(real, 4))

    patch.setattr("gancomp.train.run.PerceptualLoss", FakePerceptual)


def run_stages(config: Any) -> None:
    """Every stage up to the export, in the current folder."""
    from gancomp.deploy.slim import export_slim
    from gancomp.search.scores import score_shard
    from gancomp.search.select import merge, select
    from gancomp.train.stages import extract_winner

    for stage in ("original", "teacher", "distill", "supernet"):
        train(config, stage)
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    merge(config, EXPERIMENT, 1)
    select(config, EXPERIMENT)
    extract_winner(config, EXPERIMENT)
    for stage in ("finetune", "narrow", "scratch"):
        train(config, stage)
    export_slim(config, EXPERIMENT)


def finish(folder: Path, model: str) -> Workspace:
    """The tiny experiment of *model* from its pictures to the export, in *folder*."""
    from gancomp.data.build import build
    from gancomp.metrics.statistics import write_statistics

    made = Workspace(folder, model)
    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.chdir(folder)
        fake_inception(patch)
        fake_perceptual(patch)
        WRITES_PICTURES[model](Path("pictures"))
        config = made.config()
        root = Path("data") / DATASET
        build(DATASET, config.datasets[DATASET], root, Path("data/downloads"))
        write_statistics(root, [FakeInception()], root / "statistics.safetensors")
        run_stages(config)
    return made
