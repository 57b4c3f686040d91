"""onnxruntime-web, once for all tests of pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from needed import missing

from gancomp.deploy.demo.web_runtime import FILES, fetch_web_runtime
from gancomp.errors import GancompError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def web_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real onnxruntime-web, which is `missing` where its registry is not reached."""
    folder = ROOT / "data" / "onnxruntime-web"
    if not all((folder / name).is_file() for name in FILES):
        folder = tmp_path_factory.mktemp("onnxruntime-web")
        try:
            fetch_web_runtime(folder)
        except GancompError as error:
            missing("browser", str(error))
    return folder
