from __future__ import annotations

import re
from pathlib import Path

import pytest

from gancomp.errors import GancompError
from gancomp.pipeline.files import read_csv
from gancomp.report.times import write_times

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


def leave(file: str, seconds: str, memory: str, cpu: str) -> None:
    """A benchmark file as Snakemake writes it."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\n{seconds}\t0:00:01\t{memory}\t9\t9\t9\t9\t9\t9\t{cpu}\n")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_job_is_a_row_and_each_experiment_has_its_sum() -> None:
    leave("data/logs/pairs.dataset.tsv", "1.5", "-", "NA")
    leave("results/mine/logs/original.tsv", "100.0", "700.4", "190")
    leave("results/mine/logs/search/0-of-2.tsv", "2000.0", "900", "3000")
    leave("results/studies/laptop/logs/table3.tsv", "3.0", "50", "2")
    table = write_times().read_text()
    _, rows = read_csv("results/times.csv")
    assert [(row["of"], row["job"], row["seconds"], row["peak_mb"]) for row in rows] == [
        ("data", "pairs.dataset", "1.5", ""),
        ("mine", "original", "100.0", "700.4"),
        ("mine", "search/0-of-2", "2000.0", "900.0"),
        ("laptop", "table3", "3.0", "50.0"),
    ]
    assert re.findall(r"^\| mine \| (\S+)", table, re.MULTILINE) == ["search/0-of-2", "original"]
    assert "| **mine** | **together** | 2,100 | 3,190 | 900 |" in table
    assert "| data | pairs.dataset | 2 | – | – |" in table


def test_where_nothing_ran_it_says_so() -> None:
    with pytest.raises(GancompError, match="run snakemake first"):
        write_times()


def test_a_file_that_is_none_is_named() -> None:
    leave("results/mine/logs/original.tsv", "long", "1", "1")
    with pytest.raises(GancompError, match=r"results/mine/logs/original.tsv: not a benchmark file"):
        write_times()
