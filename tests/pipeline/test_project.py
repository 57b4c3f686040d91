"""The workflow's files, and the folder that `gancomp init` creates."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.errors import GancompError
from gancomp.pipeline import project
from gancomp.pipeline.project import FILES, project_folder, start_project

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_it_around_the_package() -> None:
    assert project_folder() == ROOT
    assert all((ROOT / name).exists() for name in FILES)


def test_what_the_package_carries_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Snakefile may lie beside the package, in a folder of modules."""
    carried = tmp_path / "gancomp/project"
    carried.mkdir(parents=True)
    monkeypatch.setattr(project, "PACKAGE", tmp_path / "gancomp")
    with pytest.raises(GancompError, match=r"gancomp: the workflow's Snakefile is missing"):
        project_folder()
    for folder in (tmp_path, carried):
        (folder / "Snakefile").touch()
    assert project_folder() == carried


def test_a_project_is_the_same_files_and_nothing_that_running_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Snakefile", "config.yaml", "config/own.yaml", "profiles/default/a.yaml", "workflow/rules/a.smk"):
        (tmp_path / "package/project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package/project" / name).write_text(name)
    for left in ("workflow/rules/__pycache__/a.pyc", "config/.own.yaml.swp"):
        (tmp_path / "package/project" / left).parent.mkdir(exist_ok=True)
        (tmp_path / "package/project" / left).touch()
    monkeypatch.setattr(project, "PACKAGE", tmp_path / "package")
    start_project(tmp_path / "new/mine")
    written = {str(path.relative_to(tmp_path / "new/mine")): path for path in (tmp_path / "new").rglob("*")}
    files = {name: path.read_text() for name, path in written.items() if path.is_file()}
    assert files == {name: name for name in files}
    assert len(files) == 5


def test_nothing_of_ones_own_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "config.yaml").write_text("run: []\n")
    with pytest.raises(GancompError, match=r"^\S*config\.yaml: exist already"):
        start_project(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "notes.txt"]
    (tmp_path / "config.yaml").unlink()
    start_project(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GancompError, match=r"file\S*: cannot be written"):
        start_project(tmp_path / "file")
    with pytest.raises(GancompError, match=r"cannot be written"):
        start_project(tmp_path / "file/mine")
