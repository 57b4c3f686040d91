"""Parameters, MACs, activation memory and latency of an experiment's generators, measured alone."""

from __future__ import annotations

import dataclasses

import psutil
import torch

from gancomp.config.settings import Config
from gancomp.data.datasets import Pictures
from gancomp.measure.latency import latency
from gancomp.measure.macs import profile
from gancomp.measure.memory import activation_bytes
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from gancomp.pipeline.places import model_of
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.stages import MEASURED, stages_of
from gancomp.report.records import Benchmark, BenchmarkRow
from gancomp.train.device import Device


def benchmark(config: Config, experiment: str, device: Device = "auto") -> None:
    """Measure each generator that the experiment has on a validation input, in PyTorch eager at fp32, and write
    `benchmark.json`."""
    settings = config.experiments[experiment]
    threads = settings.benchmark.threads or psutil.cpu_count(logical=False) or 1
    torch.set_num_threads(threads)
    on_gpu = device != "cpu" and torch.cuda.is_available()
    where = torch.device("cuda" if on_gpu else "cpu")
    pictures = Pictures(paths.dataset(settings.dataset), ("val",), config.datasets[settings.dataset].direction)
    picture = pictures.encode(pictures.inputs([0])).to(where)
    measured = [stage for stage in MEASURED if stage in stages_of(config, experiment)]

    rows = {}
    with Progress(f"benchmark {experiment}", len(measured), "generators") as progress:
        for stage in measured:
            generator = load_generator(model_of(config, experiment, stage), where)
            counted = profile(generator.spec)
            rows[stage] = BenchmarkRow.model_validate(
                {
                    "params": counted.params,
                    "macs": counted.macs,
                    "macs_paper": counted.macs_paper,
                    "activation_bytes": activation_bytes(generator, picture),
                    "latency_ms": dataclasses.asdict(
                        latency(generator, picture, settings.benchmark.warmup, settings.benchmark.runs)
                    ),
                }
            )
            progress.advance(1, stage)
    record = Benchmark(
        machine=provenance() | {"device": torch.cuda.get_device_name() if on_gpu else "cpu"},
        threads=threads,
        warmup=settings.benchmark.warmup,
        runs=settings.benchmark.runs,
        rows=rows,
    )
    write_json(paths.stage(experiment, "benchmark") / "benchmark.json", record.model_dump(mode="json"))
