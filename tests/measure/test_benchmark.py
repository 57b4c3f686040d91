"""Costs of an experiment's generators, measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_run import DATASET, EXPERIMENT, Workspace
from untrained import prepare

from gancomp.data.datasets import Pictures, to_float
from gancomp.errors import GancompError
from gancomp.measure.benchmark import MEASURED, benchmark
from gancomp.measure.macs import profile
from gancomp.nets.generator import Generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.report.reading import read
from gancomp.report.records import Benchmark


def test_benchmark(workspace: Workspace) -> None:
    benchmark(workspace.config(), EXPERIMENT, "cpu")
    record = read(workspace.stage("benchmark") / "benchmark.json", Benchmark, "benchmark")
    assert (record.threads, record.warmup, record.runs) == (1, 1, 3)
    assert record.machine["device"] == "cpu"
    assert {"processor", "torch", "cores"} <= record.machine.keys()
    assert list(record.rows) == sorted(MEASURED)
    for stage, row in record.rows.items():
        counted = profile(read_header(workspace.stage(stage) / "model.safetensors").spec)
        assert (row.params, row.macs, row.macs_paper) == (counted.params, counted.macs, counted.macs_paper)
        times = row.latency_ms
        assert 0 < times.min <= times.median <= times.p95
        assert times.min <= times.mean <= times.p95
        assert times.std >= 0
        assert row.activation_bytes >= 3 * 16 * 16 * 4, "at least the picture that it makes"
    assert record.rows["finetune"].activation_bytes < record.rows["original"].activation_bytes


def test_protocol(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch 1, a drawing of the validation set, each generator the same number of times, on the threads asked for."""
    seen: list[tuple[tuple[int, ...], torch.Tensor, int]] = []
    forward = Generator.forward

    def watched(self: Generator, x: torch.Tensor) -> torch.Tensor:
        seen.append((self.spec.widths, x, torch.get_num_threads()))
        return forward(self, x)

    monkeypatch.setattr(Generator, "forward", watched)
    benchmark(workspace.config(benchmark={"warmup": 2, "runs": 4, "threads": 1}), EXPERIMENT, "cpu")
    val = Pictures(workspace.folder / "data" / DATASET, ("val",), "AtoB")
    drawing = to_float(val.batch([0])[0])
    assert all(torch.equal(x, drawing) for _, x, _ in seen)
    assert {threads for _, _, threads in seen} == {1}
    counts = [sum(widths == spec for widths, _, _ in seen) for spec in dict.fromkeys(widths for widths, _, _ in seen)]
    assert counts == [1 + 2 + 4] * len(MEASURED), "once for its memory, then to warm up, then to be timed"


def test_missing_model_is_named(workspace: Workspace) -> None:
    (workspace.stage("narrow") / "model.safetensors").unlink()
    with pytest.raises(GancompError, match=r"narrow/model\.safetensors"):
        benchmark(workspace.config(), EXPERIMENT, "cpu")
    assert not workspace.stage("benchmark").exists()


@pytest.mark.parametrize("experiment", ["batch", "gaugan", "alone"])
def test_every_family(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On what its generators read; of an original that is not compressed, alone."""
    made = prepare(experiment, tmp_path, monkeypatch)
    benchmark(made.config(), experiment, "cpu")
    record = read(made.stage("benchmark") / "benchmark.json", Benchmark, "benchmark")
    assert sorted(record.rows) == (["original"] if experiment == "alone" else sorted(MEASURED))
    for stage, row in record.rows.items():
        spec = read_header(made.stage(stage) / "model.safetensors").spec
        assert row.macs == profile(spec).macs
        assert row.activation_bytes >= 3 * spec.size[0] * spec.size[1] * 4
