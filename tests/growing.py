"""An experiment as it is while it runs: logs that grow, locks that processes hold, stages that have ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.data.build import build
from gancomp.nets import build_generator, save_generator
from gancomp.pipeline import paths
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import generator_spec
from tests.config.test_settings import PLAIN

#: Five epochs.
TRAINING = {"batch": 4, "epochs_const": 2, "epochs_decay": 3}
HEAD = "step,images,lr,d_loss,g_recon,images_per_second,elapsed_seconds\n"


def declared(**own: Any) -> Config:
    stages = dict.fromkeys(("original", "teacher", "distill", "supernet", "finetune", "narrow"), TRAINING)
    return parse(merge(PLAIN, {"experiments": {"mine": stages | own}}))


def begun() -> Config:
    """An experiment of which no more than the data set is built, in the current folder."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 2)):
        Path("pairs", split).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(rng.integers(0, 255, (32, 64, 3), np.uint8)).save(f"pairs/{split}/{index}.png")
    config = declared()
    build("pairs", config.datasets["pairs"], paths.dataset("pairs"), paths.DOWNLOADS)
    return config


def grow(stage: str, steps: int, *, pid: int | None = None, host: str = os.uname().nodename, age: float = 0) -> Path:
    """A training at *steps* steps of four images, two images a second, last written *age* seconds ago."""
    folder = paths.resume("mine", stage)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.csv"
    rows = (f"{step},{4 * step},1e-3,0.9,{1 / step},2.00,{2 * step}.0\n" for step in range(1, steps + 1))
    log.write_text(HEAD + "".join(rows))
    os.utime(log, (time.time() - age,) * 2)
    if pid:
        folder.with_suffix(".lock").write_text(f"process {pid} on {host}\n")
    return log


def finish(config: Config, stage: str = "original") -> None:
    """A stage that left its generator and its log."""
    torch.manual_seed(0)
    generator = build_generator(generator_spec(config, "mine", "original"))
    about = {"experiment": "mine", "stage": stage, "signature": signature(config, "mine", stage)}
    save_generator(paths.stage("mine", stage) / "model.safetensors", generator, **about)
    grow(stage, 10).rename(paths.stage("mine", stage) / "log.csv")
