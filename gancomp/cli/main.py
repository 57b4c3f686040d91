"""`gancomp STAGE …`: every stage is one command that turns files into files."""

from __future__ import annotations

import sys

from gancomp.cli.app import app
from gancomp.errors import GancompError


def main() -> None:
    """Entry point: a GancompError is printed as one message, with exit status 1."""
    try:
        app(prog_name="gancomp", standalone_mode=True)
    except GancompError as error:
        sys.stderr.write(f"gancomp: error: {error}\n")
        raise SystemExit(1) from None
