"""The tiny experiment that tests share: settings, generated pictures, stages, and a stand-in for Inception."""

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
    """A working directory that holds `pictures/`, `data/` and `results/` of the tiny experiment."""

    folder: Path

    def settings(self, **experiment: Any) -> dict[str, Any]:
        """SETTINGS with some keys of the experiment changed, mappings merged."""
        from gancomp.config import merge

        return merge(SETTINGS, {"experiments": {EXPERIMENT: experiment}})

    def config(self, **experiment: Any) -> Any:
        """The parsed configuration with some keys of the experiment changed."""
        from gancomp.config import parse

        return parse(self.settings(**experiment))

    def stage(self, name: str) -> Path:
        return self.folder / "results" / EXPERIMENT / name

    def resume(self, name: str) -> Path:
        return self.folder / "results" / EXPERIMENT / ".resume" / name

    def copy(self, folder: Path) -> Workspace:
        """The same files in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Workspace(folder)


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


#: The function of `gancomp.train.stages` that trains each stage.
TRAINS = {
    "original": "train_original",
    "teacher": "train_teacher",
    "distill": "train_distilled",
    "supernet": "train_supernet",
    "finetune": "train_finetuned",
    "narrow": "train_narrow",
}


def train(config: Any, stage: str) -> None:
    """Train one stage in the current folder, on the processor."""
    from gancomp.train import stages

    getattr(stages, TRAINS[stage])(config, EXPERIMENT, "cpu")


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
    for user in ("gancomp.search.scores", "gancomp.evaluate"):
        patch.setattr(f"{user}.Inception", FakeInception)


def run_stages(config: Any) -> None:
    """Every stage up to the export, in the current folder."""
    from gancomp.export.slim import export_slim
    from gancomp.search.scores import score_shard
    from gancomp.search.select import merge, select
    from gancomp.train.stages import extract_winner

    for stage in ("original", "teacher", "distill", "supernet"):
        train(config, stage)
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    merge(config, EXPERIMENT, 1)
    select(config, EXPERIMENT)
    extract_winner(config, EXPERIMENT)
    for stage in ("finetune", "narrow"):
        train(config, stage)
    export_slim(config, EXPERIMENT)
