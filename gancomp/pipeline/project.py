"""The workflow's files, in a checkout or an installed package, and `gancomp init`. Imports no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from gancomp.errors import GancompError

#: The workflow's files, in the root of a checkout; pyproject.toml adds them to the wheel.
FILES = ("Snakefile", "config.yaml", "config", "profiles", "workflow")
PACKAGE = Path(__file__).parents[1]


def project_folder() -> Path:
    """The folder of FILES: inside an installed package, or the root of a checkout. Raises GancompError without it."""
    for folder in (PACKAGE / "project", PACKAGE.parent):
        if (folder / "Snakefile").is_file():
            return folder
    raise GancompError(f"{PACKAGE}: the workflow's Snakefile is missing; reinstall gancomp")


def start_project(folder: Path) -> None:
    """Copy FILES into *folder*. Raises GancompError, before anything is written, if one of them exists there."""
    source = project_folder()
    if there := [str(folder / name) for name in FILES if (folder / name).exists()]:
        raise GancompError(f"{', '.join(there)}: exist already; choose another folder (nothing was written)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (source / name).is_dir():
                # config/config.yaml is a copy of config.yaml for snakedeploy.
                left_out = shutil.ignore_patterns("__pycache__", ".*", "config.yaml")
                shutil.copytree(source / name, folder / name, ignore=left_out)
            else:
                shutil.copy(source / name, folder / name)
    except OSError as error:
        raise GancompError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
