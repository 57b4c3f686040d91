"""`gancomp STAGE …`: every stage is one command that turns files into files."""

from __future__ import annotations

import sys

# Each registers its commands as it is imported, in this order, in which `--help` lists them.
from gancomp.cli import data, train, search, deploy, report, compress  # noqa: F401 # isort: skip
from gancomp.cli.app import app
from gancomp.errors import GancompError


def main() -> None:
    """Entry point: a mendable error is one message and exit status 1."""
    try:
        app(prog_name="gancomp", standalone_mode=True)
    except GancompError as error:
        sys.stderr.write(f"gancomp: error: {error}\n")
        raise SystemExit(1) from None
