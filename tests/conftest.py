"""Tiny data sets and experiments, made once by the real code: no network, no weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Two torch processes that spin on the same cores are many times slower than one; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from tiny_run import Workspace, fake_inception, finish, one_thread


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished tiny experiment of pix2pix. Read it only; a test that writes asks for `workspace`."""
    return finish(tmp_path_factory.mktemp("tiny"), "pix2pix")


@pytest.fixture(scope="session")
def finished_cyclegan(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same of CycleGAN: two domains, pseudo-pairs. Read it only, or copy it."""
    return finish(tmp_path_factory.mktemp("cyclegan"), "cyclegan")


@pytest.fixture(scope="session")
def finished_gaugan(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same of GauGAN: label maps. Read it only, or copy it."""
    return finish(tmp_path_factory.mktemp("gaugan"), "gaugan")


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A copy of the finished tiny experiment as the current folder, with the fake Inception, on one thread."""
    own = finished.copy(tmp_path / "workspace")
    monkeypatch.chdir(own.folder)
    fake_inception(monkeypatch)
    with one_thread():
        yield own
