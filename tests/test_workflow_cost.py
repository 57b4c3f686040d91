"""The benchmark of whole runs: one job, its time told apart from Snakemake's."""

from __future__ import annotations

import pytest

from benchmarks.workflow import measure


@pytest.mark.slow
def test_tells_the_jobs_from_what_is_beside_them() -> None:
    rows = measure(["data/emoji-tiny/manifest.json", "--configfile", "config/tiny.yaml"], 1)
    seconds = {row["measured"]: float(row["median"]) for row in rows}
    whole, jobs = seconds["whole run, one core"], seconds["its jobs together"]
    assert 0 < jobs < whole
    assert seconds["beside each of 1 jobs"] == pytest.approx(whole - jobs, abs=0.02)
    assert min(seconds[name] for name in ("nothing to do", "start of a merge", "start of a training")) > 0
