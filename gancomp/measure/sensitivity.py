"""Which convolutions lose by eight bits: each of them alone in int8, and all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gancomp.config.settings import Config
from gancomp.deploy.formats import CALIBRATION_PICTURES, Differences, real_inputs
from gancomp.deploy.runtimes import Pixels, Run, on_pytorch
from gancomp.nets import load_generator
from gancomp.nets.generator import Generator
from gancomp.nets.int8 import add_int8, calibrate_int8, quantised, remove_int8, switch_int8
from gancomp.pipeline import paths
from gancomp.pipeline.progress import Progress
from gancomp.report.sensitivity import ALL, Sensitivity, write_report

#: Validation pictures that are compared.
COMPARED_PICTURES = 64


def measure_sensitivity(config: Config, experiment: str) -> None:
    """`latency/sensitivity.{csv,svg,png}`: how far the exported generator's pictures move for each convolution that
    computes in int8 while the others do not.

    It is simulated, with ranges calibrated on train-1 as those of an int8 export.
    """
    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    root = paths.dataset(settings.dataset)
    generator = load_generator(paths.stage(experiment, "export") / "model.safetensors")
    calibration = real_inputs(root, dataset.direction, "train-1", CALIBRATION_PICTURES)
    real = real_inputs(root, dataset.direction, count=COMPARED_PICTURES)
    write_report(sensitivity_of(generator, calibration, real, experiment), paths.stage(experiment, "latency"))


def sensitivity_of(generator: Generator, calibration: Pixels, real: Pixels, title: str) -> list[Sensitivity]:
    """How far the pictures of inputs *real* (n, c, h, w) move by int8 in each convolution of *generator*, in the order
    of their names, and then in all, with ranges of the inputs *calibration*; *generator* is afterwards as it was."""
    run = on_pytorch(generator)  # of the same module, whose convolutions change below
    plain = [run(x[None]) for x in real]
    add_int8(generator)
    layers = dict(quantised(generator))
    calibrate_int8(generator, torch.from_numpy(calibration))
    found = []
    with Progress(f"sensitivity {title}", len(layers) + 1, "layers") as progress:
        for name, chosen in [*((name, [layer]) for name, layer in layers.items()), (ALL, list(layers.values()))]:
            for layer in layers.values():
                switch_int8(layer, rounds=layer in chosen, observes=False)
            apart = Differences.between(_in_turn(plain), run, real)
            found.append(Sensitivity(name, apart.mean, apart.max))
            progress.advance(1)
    remove_int8(generator)
    return found


def _in_turn(pictures: Sequence[Pixels]) -> Run:
    """A run that gives *pictures* one after the other, whatever it is shown."""
    left = iter(pictures)
    return lambda _: next(left)
