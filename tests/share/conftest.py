"""The stand-in for the hub, and a generator to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gancomp.nets import build_generator, save_generator
from gancomp.spec import GeneratorSpec

from .stand_in import TOKEN, Hub, running


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server at HF_ENDPOINT; downloads go into the test's own cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "results/made-up/export/model.safetensors"
    generator = build_generator(GeneratorSpec(widths=4, size=(16, 16), blocks=3))
    save_generator(path, generator, experiment="made-up", stage="export", signature="")
    return path
