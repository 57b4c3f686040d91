"""The Inception network: equal to pytorch-fid's, equal in both runtimes, refused where it cannot be right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_fid import inception as pytorch_fid

from gancomp.errors import GancompError
from gancomp.metrics import inception, inception_weights
from gancomp.metrics.inception import Inception, inception_key, resize
from gancomp.metrics.inception_network import CleanFidInception, FidInception, convolutions, skeleton

Tensors = dict[str, torch.Tensor]


def test_network_equals_pytorch_fid(
    random_tensors: Tensors, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fc = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: dict(random_tensors) | fc)
    theirs = pytorch_fid.InceptionV3().eval()
    x = torch.from_numpy(pictures)
    with torch.inference_mode():
        expected = theirs(x.permute(0, 3, 1, 2).float() / 255)[0].flatten(1)
        found = FidInception(random_tensors)(x)
    assert found.shape == (8, 2048)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def bicubic(size: int, to: int) -> np.ndarray:
    """What each of *size* samples adds to each of *to*, (to, size): Keys' cubic of a = −½, widened where it shrinks."""
    scale = size / to
    wide = max(scale, 1)
    apart = np.abs((np.arange(size) + 0.5 - (np.arange(to)[:, None] + 0.5) * scale) / wide)
    near, far = (1.5 * apart - 2.5) * apart**2 + 1, ((-0.5 * apart + 2.5) * apart - 4) * apart + 2
    weights = np.where(apart < 1, near, np.where(apart < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (299, 331), (640, 672)])
def test_clean_resizing_is_the_antialiased_bicubic_filter(height: int, width: int) -> None:
    """Black and white overshoot: nothing leaves 0 … 255, and nothing is rounded."""
    picture = np.random.default_rng(0).integers(0, 2, (1, height, width, 3), dtype=np.uint8) * 255
    found = resize(picture)
    rows, columns = bicubic(height, 299), bicubic(width, 299)
    expected = np.stack([rows @ picture[0, ..., channel] @ columns.T for channel in range(3)], axis=-1)
    assert (found.dtype, found.min(), found.max()) == (np.float32, 0, 255)
    np.testing.assert_allclose(found[0], expected.clip(0, 255), atol=1e-3)
    assert (found != found.round()).any()


def test_clean_network_sees_what_clean_fid_shows_it(random_tensors: Tensors, pictures: np.ndarray) -> None:
    resized = resize(pictures[:2])
    with torch.inference_mode():
        expected = FidInception(random_tensors).network((torch.from_numpy(resized) - 128).permute(0, 3, 1, 2) / 128)
        found = CleanFidInception(random_tensors)(torch.from_numpy(resized))
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, expected)


def test_there_are_94_convolutions_with_tensorflows_epsilon() -> None:
    found = convolutions(skeleton())
    assert len(found) == 94
    assert {convolution.bn.eps for convolution in found.values()} == {0.001}


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"weights\.safetensors: no such file"):
        Inception(tmp_path / "weights.safetensors", runtime="torch", device="cpu")


def test_an_absent_gpu_is_named(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(GancompError, match="device cuda"):
        Inception(random_weights, device="cuda")


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 4), (2, 3, 8, 8)])
def test_pictures_of_another_shape_are_refused(random_weights: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Inception(random_weights, runtime="torch", device="cpu")(np.zeros(shape, np.uint8))


def test_key_names_weights_and_arithmetic(random_weights: Path, trusted: str) -> None:
    def key(runtime: str, precision: str) -> str:
        return Inception(random_weights, runtime, precision, device="cpu").key

    assert key("torch", "32") == f"{trusted[:12]}-32"
    assert key("torch", "bf16") == f"{trusted[:12]}-torch-bf16"
    assert Inception(random_weights, "torch", "32", "cpu", resizing="clean").key == f"{trusted[:12]}-32-clean"


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
def test_runtimes_agree_and_batches_do_not_matter(random_weights: Path, pictures: np.ndarray) -> None:
    in_torch = Inception(random_weights, "torch", "32", device="cpu")
    in_openvino = Inception(random_weights, "openvino", "32")
    assert in_torch.key == in_openvino.key
    found, expected = in_openvino(pictures), in_torch(pictures)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    many = np.concatenate([pictures] * 3)  # more than one chunk
    np.testing.assert_allclose(in_openvino(many), np.concatenate([found] * 3), atol=1e-5 * expected.max())
    np.testing.assert_allclose(in_openvino(pictures[2:3]), found[2:3], atol=1e-5 * expected.max())
    assert in_openvino(pictures[:0]).shape == (0, 2048)


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
def test_converted_network_is_kept_and_a_damaged_copy_is_made_anew(
    random_tensors: Tensors, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.safetensors"
    inception_weights.save_tensors(weights, random_tensors, {"kind": inception_weights.KIND})
    conversions: list[int] = []
    convert = inception._convert
    monkeypatch.setattr(inception, "_convert", lambda *given: conversions.append(1) or convert(*given))

    first = Inception(weights, "openvino", "32")(pictures)
    np.testing.assert_array_equal(Inception(weights, "openvino", "32")(pictures), first)
    assert len(conversions) == 1

    kept = tmp_path / "weights.openvino.safetensors"
    content = bytearray(kept.read_bytes())
    content[-1000] ^= 0xFF
    kept.write_bytes(content)
    np.testing.assert_array_equal(Inception(weights, "openvino", "32")(pictures), first)
    assert len(conversions) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("trusted")
def test_gpu_agrees_with_the_processor(random_weights: Path, pictures: np.ndarray) -> None:
    expected = Inception(random_weights, "torch", "32", device="cpu")(pictures)
    found = Inception(random_weights, precision="32", device="cuda")(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_without_openvino_it_runs_in_pytorch_and_says_so(
    random_weights: Path, trusted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In full precision its features are OpenVINO's, by their key too."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = Inception(random_weights, precision="32", device="cpu")
    assert found.key == inception_key("32", "cpu") == f"{trusted[:12]}-32"
    assert inception_key("bf16", "cpu") == f"{trusted[:12]}-torch-bf16"
    assert inception_key("auto", "cpu") in (found.key, f"{trusted[:12]}-torch-bf16")
    assert "pip install 'gancomp[openvino]'" in capsys.readouterr().err
    assert found(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 2048)
    with pytest.raises(GancompError, match=r"gancomp\[openvino\]"):
        Inception(random_weights, runtime="openvino", precision="32", device="cpu")
