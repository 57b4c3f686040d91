"""The command that creates a project outside the repository."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gancomp.cli.app import app


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="the folder; created if it does not exist")],
) -> None:
    """Write the workflow, its configuration and profiles into a folder, to run and change them there."""
    from gancomp.pipeline.project import FILES, start_project

    start_project(folder)
    print(
        f"{folder}: {', '.join(FILES)}\n\n"
        f"    cd {shlex.quote(str(folder))}\n"
        "    snakemake -n     # says what would run\n"
        "    snakemake        # compresses a GAN on real pictures: config.yaml, experiment fluent-quick\n\n"
        "config.yaml says what is computed; a file of your own goes over it: snakemake --configfile mine.yaml"
    )
