"""Tiny data sets and experiments, made once by the real code: no network, no weights."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Two torch processes that spin on the same cores are many times slower than one; read when torch is loaded, here and in
# the processes that pytest-xdist starts, which have a core each.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from needed import may_lack
from tiny_run import Workspace, finish, working_copy

#: What `pytest` alone leaves out, by marker: addopts in pyproject.toml.
LEFT_OUT = ("slow", "cluster", "browser")
left_out: Counter[str] = Counter()

TINY_RUN = "the run of config/tiny.yaml"
#: Named here, since the process that hands out tests collects none.
SHARE_TINY_RUN = {f"tests/workflow/test_{name}.py" for name in ("end_to_end", "paths", "compress")}


def pytest_configure() -> None:
    """An unknown name in the switch of CI stops the run before it starts."""
    may_lack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that begins last would keep a single process busy at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (_unit(item.nodeid) != TINY_RUN, item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests stay together in one process, in their order."""
    from xdist.scheduler import LoadFileScheduling

    class Units(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    return Units(config, log)


def _unit(nodeid: str) -> str:
    """A file, or all files that share the run of config/tiny.yaml, which takes minutes."""
    file = nodeid.split("::", 1)[0]
    return TINY_RUN if file in SHARE_TINY_RUN else file


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    left_out.update(name for item in items if (name := next(filter(item.get_closest_marker, LEFT_OUT), None)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over what it left out; each collects all tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    left_out.update(Counter(getattr(node, "workeroutput", {}).get("left_out", {})) - left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A run that left tests out says so, and how to run them."""
    if left_out:
        counts = ", ".join(f"{left_out[name]} {name}" for name in LEFT_OUT if left_out[name])
        terminalreporter.write_line(
            f"left out: {counts}. All tests, in about 40 minutes: uv run pytest -m 'not long'; or one kind: -m slow"
        )


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
    with working_copy(finished, tmp_path / "workspace", monkeypatch) as own:
        yield own
