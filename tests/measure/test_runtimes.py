"""Latency on runtimes: real processes, and rows that say why they are empty."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.measure import runtimes as latency
from gancomp.report.reading import read
from gancomp.report.records import Runtimes
from gancomp.report.runtimes import factors, markdown, write_report


@pytest.mark.slow
def test_rows_of_real_runtimes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "KINDS", (("PyTorch", "fp32"), ("OpenVINO", "its default"), ("ONNX Runtime", "int8")))
    monkeypatch.setattr(latency, "_cores", lambda: 1)
    monkeypatch.setattr(latency, "SAMPLE", 2)
    latency.measure_runtimes(workspace.config(benchmark={"warmup": 1, "runs": 3}), EXPERIMENT)
    folder = workspace.stage("latency")
    record = read(folder / "latency.json", Runtimes, "latency")
    assert [(row.network, row.runtime) for row in record.rows] == [
        (network, runtime) for network in ("original", "compressed") for runtime, _ in latency.KINDS
    ]
    for row in record.rows:
        assert row.failed == ""
        assert row.latency_ms is not None
        assert row.latency_ms.min <= row.latency_ms.median <= row.latency_ms.p95
        assert row.peak_rss_bytes > 10_000_000
        assert (row.fid is not None) == (row.kid is not None) == (row.network == "compressed")
    exact, _, int8 = record.rows[3:]
    assert exact.difference.max == 0
    assert int8.difference.mean > 0
    assert factors(record, record.rows[0]) == (None, None)
    same, pytorch = factors(record, record.rows[4])
    assert same == record.rows[1].latency_ms.median / record.rows[4].latency_ms.median
    assert pytorch == record.rows[0].latency_ms.median / record.rows[4].latency_ms.median
    with (folder / "latency.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 6
    assert [one.runtime for one in record.sample] == ["PyTorch", "OpenVINO"] * 2
    assert record.sample[0].macs < record.sample[2].macs
    assert (folder / "latency_macs.png").is_file()
    assert (folder / "latency.svg").read_text().startswith("<?xml")


def test_a_runtime_that_fails_is_a_row_that_says_why(workspace: Workspace, tmp_path: Path) -> None:
    source = workspace.stage("export") / "model.safetensors"
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"broken")
    job = latency.Job("compressed", "ONNX Runtime", "fp32", broken, 1, 1, 1)
    from gancomp.deploy.formats import random_inputs
    from gancomp.nets import load_generator

    spec = load_generator(source).spec
    row = latency._measured(job, source, random_inputs(spec, spec.size, 1))
    assert row.latency_ms is None
    assert "broken.onnx" in row.failed
    record = Runtimes(experiment="mine", machine={}, warmup=1, runs=1, rows=(row,))
    assert "not run: " in markdown(record)


@pytest.mark.parametrize("name", ["latency.csv", "latency.md", "latency.svg", "latency_macs.svg"])
def test_the_committed_results_are_those_of_their_record(name: str, tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "docs" / "results" / "latency"
    write_report(read(committed / "latency.json", Runtimes, "latency"), tmp_path)
    assert (tmp_path / name).read_bytes() == (committed / name).read_bytes()
