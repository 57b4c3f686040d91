"""Stages on a disk that is full, or read-only: the file is named, what was saved stays, and the run goes on from it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_run import EXPERIMENT, Workspace, train

from gancomp.errors import GancompError
from gancomp.search.scores import score_shard
from gancomp.search.select import merge
from gancomp.train import loop
from tests.train.test_resume import same

#: Room for a stage's state and results, twice.
KILOBYTES = 2000


def mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Disk:
    """A small disk of its own over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        """To the last byte."""
        with self.ballast.open("wb", buffering=0) as stream:
            try:
                while stream.write(b"\0" * 4096):
                    pass
            except OSError:
                return

    def free(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], Disk]]:
    """Mounts a small disk over a folder, empty at first."""
    mounted: list[Path] = []

    def over(folder: Path) -> Disk:
        folder.mkdir(parents=True, exist_ok=True)
        if not mount("-t", "tmpfs", "-o", f"size={KILOBYTES}k", "tmpfs", str(folder)):
            pytest.skip("mounting a small disk is refused here (it takes root)")
        mounted.append(folder)
        return Disk(folder)

    yield over
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_while_training(
    finished: Workspace,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    small_disk: Callable[[Path], Disk],
) -> None:
    """The last save before stays whole, and the stage goes on from it once there is room."""
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    disk = small_disk(workspace.resume("distill"))
    state, save, saved = disk.folder / "state.pt", loop.save_state, []

    def save_state(*arguments: Any) -> None:
        if len(saved) == 3:
            saved.append(state.read_bytes())
            disk.fill()
        save(*arguments)
        saved.append(state.read_bytes())

    monkeypatch.setattr(loop, "save_state", save_state)
    with pytest.raises(GancompError, match=r"distill/state\.pt: cannot be written"):
        train(workspace.config(), "distill")
    assert state.read_bytes() == saved[2]
    assert {path.name for path in disk.folder.iterdir()} == {"state.pt", "log.csv", "samples", "ballast"}

    disk.free()
    monkeypatch.setattr(loop, "save_state", save)
    train(workspace.config(), "distill")
    same(workspace.stage("distill"), finished.stage("distill"))


def test_a_disk_without_room_for_the_results(
    finished: Workspace, workspace: Workspace, small_disk: Callable[[Path], Disk]
) -> None:
    """Nothing half written is left in place of them, and they are written without training anew."""
    disk = small_disk(workspace.stage("distill"))
    disk.fill()
    with pytest.raises(GancompError, match=r"tiny/distill/\w+\.\w+: cannot be written: No space left on device"):
        train(workspace.config(), "distill")
    assert [path.name for path in disk.folder.iterdir()] == ["ballast"]
    state = workspace.resume("distill") / "state.pt"
    steps = len((state.parent / "log.csv").read_text().splitlines())
    assert state.is_file()

    disk.free()
    train(workspace.config(), "distill")
    same(workspace.stage("distill"), finished.stage("distill"))
    assert len((workspace.stage("distill") / "log.csv").read_text().splitlines()) == steps


def test_a_disk_that_fills_while_scores_are_kept(
    finished: Workspace, workspace: Workspace, small_disk: Callable[[Path], Disk]
) -> None:
    disk = small_disk(workspace.resume("scores"))
    disk.fill()
    with pytest.raises(GancompError, match=r"scores/[0-9a-f]+.*: cannot be written: No space left on device"):
        score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")
    disk.free()
    (workspace.stage("scores") / "search.csv").unlink()
    score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")
    merge(workspace.config(), EXPERIMENT, 1)
    mine, theirs = ((own.stage("scores") / "search.csv").read_bytes() for own in (workspace, finished))
    assert mine == theirs


@pytest.mark.parametrize("name", ["results/tiny/distill", "results/tiny/.resume"])
def test_a_folder_that_is_read_only(
    finished: Workspace, workspace: Workspace, small_disk: Callable[[Path], Disk], name: str
) -> None:
    disk = small_disk(workspace.folder / name)
    assert mount("-o", "remount,ro", str(disk.folder))
    with pytest.raises(GancompError, match=rf"{name}/.*: cannot be written: Read-only file system"):
        train(workspace.config(), "distill")
    assert not [*disk.folder.iterdir()]
    assert mount("-o", "remount,rw", str(disk.folder))
    train(workspace.config(), "distill")
    same(workspace.stage("distill"), finished.stage("distill"))
