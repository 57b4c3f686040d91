"""What an extra brings: told by its name where it is missing, and done without where that is possible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gancomp.deploy.formats import export_generator
from gancomp.deploy.runtimes import open_model
from gancomp.errors import GancompError
from gancomp.extras import extra, installed
from gancomp.nets import build_generator, save_generator
from gancomp.spec import GeneratorSpec


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_what_is_there_is_imported() -> None:
    assert installed("openvino")
    assert extra("openvino").Core


@pytest.mark.usefixtures("without_openvino")
def test_exports_and_files_name_the_extra(tmp_path: Path) -> None:
    assert not installed("openvino")
    path = tmp_path / "model.safetensors"
    generator = build_generator(GeneratorSpec(widths=4, size=(16, 16), blocks=3))
    save_generator(path, generator, experiment="", stage="original", signature="")
    told = r"openvino is not installed: pip install 'gancomp\[openvino\]'"
    with pytest.raises(GancompError, match=told):
        export_generator(path, "openvino")
    (tmp_path / "model.xml").touch()
    with pytest.raises(GancompError, match=told):
        open_model(tmp_path / "model.xml")
