"""LPIPS against its formula, and what is said where its networks cannot be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gancomp.errors import GancompError
from gancomp.metrics import lpips
from gancomp.metrics.lpips import Lpips, fetch_lpips
from gancomp.pipeline.checkpoints import save_tensors
from gancomp.pipeline.files import read_json

CHANNELS = (64, 192, 384, 256, 256)


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A file of the backbone in torchvision's layout, its tensors, and heads in the package's layout; all random."""
    from torchvision.models import alexnet

    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        like = alexnet().features.state_dict()
    backbone = {
        f"features.{key}": torch.randn(tensor.shape, generator=generator) * (2 / max(tensor[0].numel(), 64)) ** 0.5
        for key, tensor in like.items()
    }
    heads = {
        f"lin{level}.model.1.weight": torch.rand(1, channels, 1, 1, generator=generator)
        for level, channels in enumerate(CHANNELS)
    }
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(backbone | {"classifier.6.bias": torch.zeros(1000)}, path)
    return path, backbone, heads


@pytest.fixture
def at_hand(published: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files can be fetched."""
    path, _, heads = published
    torch.save(heads, tmp_path / "heads.pth")
    monkeypatch.setattr(lpips, "fetch_torchvision", lambda url, downloads: path)
    monkeypatch.setattr(lpips, "fetch_package", lambda *package: tmp_path / "lpips.whl")
    monkeypatch.setattr(lpips, "member_bytes", lambda wheel, member: (tmp_path / "heads.pth").read_bytes())


@pytest.fixture
def weights(at_hand: None, tmp_path: Path) -> Path:
    path = tmp_path / "lpips" / "weights.safetensors"
    assert fetch_lpips(path, tmp_path)
    return path


def pictures(seed: int, count: int = 3, size: tuple[int, int] = (40, 33)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def expected(
    a: np.ndarray, b: np.ndarray, backbone: dict[str, torch.Tensor], heads: dict[str, torch.Tensor]
) -> list[float]:
    """Zhang et al., Equation 1, with the published scaling of colours."""

    def directions(picture: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(picture / 127.5 - 1).float()
        x = (x - torch.tensor([-0.030, -0.088, -0.188])) / torch.tensor([0.458, 0.448, 0.450])
        x, found = x.permute(2, 0, 1)[None], []
        for layer, stride, padding, pooled in (
            (0, 4, 2, False),
            (3, 1, 2, True),
            (6, 1, 1, True),
            (8, 1, 1, False),
            (10, 1, 1, False),
        ):
            x = F.max_pool2d(x, 3, 2) if pooled else x
            x = F.conv2d(x, backbone[f"features.{layer}.weight"], backbone[f"features.{layer}.bias"], stride, padding)
            x = F.relu(x)
            found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    return [
        sum(
            float((heads[f"lin{level}.model.1.weight"] * (of_a - of_b) ** 2).sum(1).mean())
            for level, (of_a, of_b) in enumerate(zip(directions(one), directions(other), strict=True))
        )
        for one, other in zip(a, b, strict=True)
    ]


def test_distances_by_the_formula(published: tuple, weights: Path) -> None:
    a, b = pictures(0), pictures(1)
    np.testing.assert_allclose(Lpips(weights)(a, b), expected(a, b, *published[1:]), rtol=1e-4)


def test_distances_do_not_depend_on_the_batch_or_the_order(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pictures(0), pictures(1)
    whole = Lpips(weights)(a, b)
    monkeypatch.setattr(lpips, "CHUNK", 2)
    np.testing.assert_allclose(Lpips(weights)(b, a), whole, rtol=1e-5)


def test_a_picture_is_at_no_distance_from_itself(weights: Path) -> None:
    a = pictures(0)
    assert (Lpips(weights)(a, a) == 0).all()
    assert (Lpips(weights)(a, pictures(1)) > 0).all()


def test_pictures_that_its_network_cannot_see_are_refused(weights: Path) -> None:
    smallest = pictures(0, size=(31, 31))
    assert Lpips(weights)(smallest, smallest).shape == (3,)
    with pytest.raises(GancompError, match=r"pictures of 30x64 are too small.*lpips: false"):
        Lpips(weights)(pictures(0, size=(30, 64)), pictures(0, size=(30, 64)))
    with pytest.raises(ValueError, match="expected two uint8"):
        Lpips(weights)(smallest, smallest[:2])
    with pytest.raises(ValueError, match="expected two uint8"):
        Lpips(weights)(smallest / 255, smallest / 255)


def test_where_the_backbone_cannot_be_had_the_reason_is_kept(
    at_hand: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lpips, "fetch_torchvision", _no_answer)
    path = tmp_path / "lpips" / "weights.safetensors"
    assert not fetch_lpips(path, tmp_path)
    assert not path.exists()
    status = read_json(tmp_path / "lpips" / "status.json")
    assert status == {"available": False, "reason": "no answer"}
    assert "LPIPS will not be measured: no answer" in capsys.readouterr().err


def test_weights_that_are_there_are_kept_and_damaged_ones_replaced(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights.read_bytes()
    save_tensors(weights, {"a": torch.ones(1)}, {"kind": lpips.KIND})
    with pytest.raises(GancompError, match=r"weights\.safetensors.*gancomp lpips"):
        Lpips(weights)
    assert fetch_lpips(weights, tmp_path)
    assert weights.read_bytes() == whole
    monkeypatch.setattr(lpips, "fetch_torchvision", _no_answer)
    assert fetch_lpips(weights, tmp_path)
    assert read_json(weights.parent / "status.json") == {"available": True, "reason": ""}


def test_heads_of_another_layout_are_refused(published: tuple) -> None:
    heads = published[2]
    with pytest.raises(GancompError, match=r"the file: .*missing: lin3\.model\.1\.weight"):
        lpips.convert_heads({key: value for key, value in heads.items() if key[3] != "3"}, "the file")


def _no_answer(*_: object) -> Path:
    raise GancompError("no answer")
