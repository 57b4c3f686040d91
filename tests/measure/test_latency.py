"""Latency's protocol and statistics, on a clock that the test sets."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import nn

from gancomp.measure.latency import Latency, latency
from gancomp.nets import build_generator
from gancomp.spec import GeneratorSpec

PICTURE = torch.zeros(1, 3, 8, 8)


class Watched(nn.Module):
    """Counts its runs; each takes as long as *durations* says, in seconds on the test's clock."""

    def __init__(self, durations: list[float]) -> None:
        super().__init__()
        self.durations = iter(durations)
        self.now = 0.0
        self.runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.now += next(self.durations)
        self.runs += 1
        return x


def measure(monkeypatch: pytest.MonkeyPatch, warmup: list[float], timed: list[float]) -> Latency:
    network = Watched([*warmup, *timed])
    monkeypatch.setattr("gancomp.measure.latency.time.perf_counter", lambda: network.now)
    measured = latency(network, PICTURE, len(warmup), len(timed))
    assert network.runs == len(warmup) + len(timed)
    return measured


def test_statistics_in_milliseconds_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = [0.004, 0.001, 0.010, 0.002, 0.003]
    measured = measure(monkeypatch, [7.0, 7.0], timed)
    assert measured.mean == pytest.approx(4.0)
    assert measured.median == pytest.approx(3.0)
    assert measured.min == pytest.approx(1.0)
    assert measured.std == pytest.approx(statistics.pstdev(timed) * 1e3)
    assert measured.p95 == pytest.approx(10.0)


def test_p95_leaves_out_the_slowest_of_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = measure(monkeypatch, [], [run / 1e3 for run in range(100, 0, -1)])
    assert measured.p95 == pytest.approx(95.0)


def test_one_run_is_every_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = measure(monkeypatch, [], [0.002])
    assert measured.std == 0
    assert [measured.mean, measured.median, measured.p95, measured.min] == pytest.approx([2.0] * 4)


def test_a_real_generator_takes_time() -> None:
    generator = build_generator(GeneratorSpec(widths=1, size=8, blocks=3)).eval()
    measured = latency(generator, PICTURE, warmup=1, runs=9)
    assert 0 < measured.min <= measured.median <= measured.p95
    assert measured.min <= measured.mean
