"""The results folder that the report's tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made_up_results import build_results


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with one finished experiment, EXPERIMENT."""
    build_results(tmp_path / "results")
    return tmp_path / "results"
