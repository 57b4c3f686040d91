"""Trains one stage in double precision, where nothing but rounding may differ: `python ranks_run.py job.json`.

Run as a program, since every further rank is the same program run again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import lightning_fabric
import pytest
from tiny_run import EXPERIMENT, TRAINS, fake_perceptual

from gancomp import nets
from gancomp.config.loading import parse
from gancomp.data.datasets import Pictures
from gancomp.train import stages, teaching
from gancomp.train.device import Machine


def in_double_precision(patch: pytest.MonkeyPatch) -> None:
    """All networks and pictures, those that Fabric does not see too."""
    fabric, load, encode = lightning_fabric.Fabric, nets.load_generator, Pictures.encode
    patch.setattr(lightning_fabric, "Fabric", lambda **settings: fabric(**settings | {"precision": "64-true"}))
    for module in (stages, teaching):
        patch.setattr(module, "load_generator", lambda path: load(path).double())
    patch.setattr(Pictures, "encode", lambda self, inputs: encode(self, inputs).double())


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    os.chdir(job["folder"])
    with pytest.MonkeyPatch.context() as patch:
        fake_perceptual(patch)
        in_double_precision(patch)
        train = getattr(stages, TRAINS[job["stage"]])
        train(parse(job["settings"]), EXPERIMENT, Machine("cpu", job["devices"]))


if __name__ == "__main__":
    main()
