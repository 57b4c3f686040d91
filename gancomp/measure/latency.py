"""Latency by the paper's protocol (Section 4.3): batch 1, warm-up runs, then the mean of the next ones."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gancomp.nets.generator import Generator


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one picture."""

    mean: float
    median: float
    std: float
    p95: float
    min: float


def latency(generator: Generator, picture: Tensor, warmup: int, runs: int) -> Latency:
    """Time *generator* on one picture (1, c, h, w) on that picture's device; PyTorch eager, fp32."""
    return summary(run_times(generator, picture, warmup, runs))


def summary(times: Iterable[float]) -> Latency:
    """What is reported of *times*, at least one, in ms."""
    times = sorted(times)
    return Latency(
        mean=statistics.fmean(times),
        median=statistics.median(times),
        std=statistics.pstdev(times),
        p95=times[math.ceil(0.95 * len(times)) - 1],
        min=times[0],
    )


@torch.inference_mode()
def run_times(generator: Generator, picture: Tensor, warmup: int, runs: int) -> list[float]:
    """Milliseconds of each of *runs* runs on *picture*'s device, after *warmup* that are not timed."""

    def run() -> None:
        generator(picture)
        if picture.is_cuda:
            torch.cuda.synchronize()

    return timed(run, warmup, runs)


def timed(run: Callable[[], object], warmup: int, runs: int) -> list[float]:
    """Milliseconds of each of *runs* calls, which end when their work has, after *warmup* that are not timed."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times
