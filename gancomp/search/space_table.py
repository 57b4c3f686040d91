"""A searched space as a data set: every scored subnet with its scores, its MACs and its measured latency."""

from __future__ import annotations

import numpy as np
import psutil
import torch

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.elastic.space import Widths
from gancomp.measure.latency import run_times
from gancomp.nets import build_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_json
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.stages import generator_spec
from gancomp.report.searched import SPACE_COLUMNS, read_search
from gancomp.search.candidates import as_text
from gancomp.spec import GeneratorSpec
from gancomp.train.device import Device

#: Visits of each subnet, in another order each time, so that a temporary slowdown does not affect only one subnet.
ROUNDS = 5
WARMUP, RUNS = 2, 5


def write_space(config: Config, experiment: str, device: Device = "auto") -> None:
    """Write `scores/space.csv`: the rows of `search.csv` with the latency of one picture in ms, median and quartiles
    of 25 runs in PyTorch eager at fp32; and `space.json` with the machine."""
    folder = paths.stage(experiment, "scores")
    rows = read_search(folder / "search.csv")
    student = generator_spec(config, experiment, "distill")
    settings = config.experiments[experiment]
    threads = settings.benchmark.threads or psutil.cpu_count(logical=False) or 1
    torch.set_num_threads(threads)
    on_gpu = device != "cpu" and torch.cuda.is_available()
    times = _visited(student, [row.widths for row in rows], torch.device("cuda" if on_gpu else "cpu"), settings.seed)
    low, median, high = np.percentile(times, (25, 50, 75), axis=1)
    table = [
        as_text(row)
        | {"latency_ms": f"{median[at]:.4f}", "latency_ms_low": f"{low[at]:.4f}", "latency_ms_high": f"{high[at]:.4f}"}
        for at, row in enumerate(rows)
    ]
    machine = provenance() | {"device": torch.cuda.get_device_name() if on_gpu else "cpu", "threads": threads}
    write_json(folder / "space.json", {"experiment": experiment, "subnets": len(rows), "machine": machine})
    write_csv(folder / "space.csv", SPACE_COLUMNS, table, checked=True)


def _visited(student: GeneratorSpec, every: list[Widths], where: torch.device, seed: int) -> np.ndarray:
    """Milliseconds (subnets, runs), with random weights, which do not change the latency."""
    times: list[list[float]] = [[] for _ in every]
    with Progress("space", ROUNDS * len(every), "subnets") as progress:
        for turn in range(ROUNDS):
            for at in rng.generator(seed, "space", turn).permutation(len(every)):
                generator = build_generator(student.with_widths(every[at])).eval().to(where)
                picture = torch.rand(1, student.in_channels, *student.size, device=where)
                times[at].extend(run_times(generator, picture, WARMUP, RUNS))
                progress.advance(1)
    return np.asarray(times)
