"""The workflow's own files, in a checkout or in an installed package, and a copy to start from. Imports no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from gancomp.errors import GancompError

#: What the workflow consists of, in the root of a checkout; pyproject.toml packs the same into the wheel.
FILES = ("Snakefile", "config.yaml", "config", "profiles", "workflow")
PACKAGE = Path(__file__).parents[1]


def project_folder() -> Path:
    """The folder that holds FILES: inside the package where it was installed, around it in a checkout."""
    for folder in (PACKAGE / "project", PACKAGE.parent):
        if (folder / "Snakefile").is_file():
            return folder
    raise GancompError(f"{PACKAGE}: the workflow's Snakefile did not come with it; install gancomp anew")


def start_project(folder: Path) -> None:
    """Copy FILES into *folder*. GancompError, before anything is written, if one of them is there already."""
    source = project_folder()
    if there := [str(folder / name) for name in FILES if (folder / name).exists()]:
        raise GancompError(f"{', '.join(there)}: already there; name a folder without, nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (source / name).is_dir():
                # config/config.yaml is config.yaml once more, for those who take the workflow by snakedeploy.
                left_out = shutil.ignore_patterns("__pycache__", ".*", "config.yaml")
                shutil.copytree(source / name, folder / name, ignore=left_out)
            else:
                shutil.copy(source / name, folder / name)
    except OSError as error:
        raise GancompError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
