"""A tiny data set and a tiny experiment, made once by the real code: no network, no weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Two torch processes that spin on the same cores are many times slower than one; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from tiny_run import DATASET, FakeInception, Workspace, fake_inception, one_thread, run_stages, write_pictures


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished tiny experiment. Read it only; a test that writes asks for `workspace`."""
    from gancomp.data.build import build
    from gancomp.metrics.statistics import write_statistics

    made = Workspace(tmp_path_factory.mktemp("tiny"))
    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.chdir(made.folder)
        fake_inception(patch)
        write_pictures(Path("pictures"))
        config = made.config()
        root = Path("data") / DATASET
        build(DATASET, config.datasets[DATASET], root, Path("data/downloads"))
        write_statistics(root, [FakeInception()], root / "statistics.safetensors")
        run_stages(config)
    return made


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A copy of the finished tiny experiment as the current folder, with the fake Inception, on one thread."""
    own = finished.copy(tmp_path / "workspace")
    monkeypatch.chdir(own.folder)
    fake_inception(monkeypatch)
    with one_thread():
        yield own
