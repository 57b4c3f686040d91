"""Networks of given weights: their features and distances as written out beside them, and what is not taken."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from given import WRITE, write_dinov2
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

from gancomp.errors import GancompError
from gancomp.metrics import dists as dists_module
from gancomp.metrics import embedding as embedding_module
from gancomp.metrics.dists import Dists
from gancomp.metrics.embedding import TOWERS, Embedding
from gancomp.metrics.given import NEEDED, OF_FEATURES, Given, find_given
from gancomp.metrics.looks import DISTANCES


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder for each metric, and the networks in them."""
    root = tmp_path_factory.mktemp("given")
    return root, {metric: write(root / metric) for metric, write in WRITE.items()}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for from anywhere."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def copied(written: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """Folders of a test's own."""
    return shutil.copytree(written[0], tmp_path / "given")


def find(root: Path, metric: str) -> Given:
    return find_given("mine", metric, str(root / metric))


def wide(count: int = 5, height: int = 40, width: int = 61) -> np.ndarray:
    """Smooth pictures that are not square."""
    coarse = torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(1)) * 255
    return F.interpolate(coarse, (height, width), mode="bilinear").permute(0, 2, 3, 1).byte().numpy()


def test_every_metric_of_features_has_all_its_parts() -> None:
    assert set(TOWERS) == set(DISTANCES) == set(OF_FEATURES) == set(NEEDED) - {"dists"}
    assert set(WRITE) == set(NEEDED)


# --- features ----------------------------------------------------------------------------------


@torch.inference_mode()
def test_dinov2_sees_whole_pictures_at_224(written: tuple[Path, dict[str, Any]]) -> None:
    """As dgm-eval's: Pillow's bicubic filter to 224 × 224, colours of ImageNet, the class token after the last norm."""
    root, networks = written
    names = load_file(root / "fd_dinov2" / "model.safetensors")
    assert "encoder.layer.0.attention.attention.query.weight" in names, "as the Hub's files have it"
    prepare = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    pictures = wide()
    x = torch.stack([prepare(Image.fromarray(picture)) for picture in pictures])
    expected = networks["fd_dinov2"](x).last_hidden_state[:, 0].numpy()
    found = Embedding(find(root, "fd_dinov2"))(pictures)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01, "pictures differ"


@torch.inference_mode()
def test_clip_sees_the_square_in_the_middle(written: tuple[Path, dict[str, Any]]) -> None:
    """At the side that config.json says, as the published code: features have length 1."""
    root, networks = written
    pictures = wide()
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    squares = [
        Image.fromarray(picture).crop((10, 0, 50, 40)).resize((28, 28), Image.Resampling.BICUBIC)
        for picture in pictures
    ]
    x = (np.stack([np.asarray(square, np.float32) for square in squares]) / 255 - mean) / std
    out = networks["cmmd"].vision_model(torch.from_numpy(x).permute(0, 3, 1, 2).float()).pooler_output
    expected = networks["cmmd"].visual_projection(out).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = Embedding(find(root, "cmmd"))(pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.001, "pictures differ"


@pytest.mark.parametrize("metric", OF_FEATURES)
def test_batches_do_not_matter(
    metric: str, written: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = written
    whole = Embedding(find(root, metric))(wide())
    monkeypatch.setattr(embedding_module, "CPU_CHUNK", 2)
    np.testing.assert_allclose(Embedding(find(root, metric))(wide()), whole, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        Embedding(find(root, metric))(wide().astype(np.float32))


def test_pytorchs_own_files_are_read_as_tensors_only(copied: Path) -> None:
    """As CLIP's repository has them; `model.safetensors` goes first."""
    folder = copied / "cmmd"
    expected = Embedding(find(copied, "cmmd"))(wide())
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    np.testing.assert_array_equal(Embedding(find(copied, "cmmd"))(wide()), expected)

    class Runs:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (folder / "ran",)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Runs()}))
    with pytest.raises(GancompError, match=r"metric_weights\.cmmd: .*pytorch_model\.bin: not readable as weights"):
        Embedding(find(copied, "cmmd"))
    assert not (folder / "ran").exists()


def test_of_the_settings_only_sizes_are_read(copied: Path) -> None:
    """Nothing that has the library fetch code or weights, or change how it computes."""
    path = copied / "fd_dinov2" / "config.json"
    expected = Embedding(find(copied, "fd_dinov2"))(wide())
    more = {
        "auto_map": {"AutoModel": "someone/else--code.Network"},
        "attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "dtype": "float16",
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    np.testing.assert_array_equal(Embedding(find(copied, "fd_dinov2"))(wide()), expected)


def test_the_key_follows_the_weights(copied: Path) -> None:
    before = Embedding(find(copied, "fd_dinov2")).key
    assert before == Embedding(find(copied, "fd_dinov2")).key
    shutil.rmtree(copied / "fd_dinov2")
    write_dinov2(copied / "fd_dinov2", seed=1)
    assert Embedding(find(copied, "fd_dinov2")).key != before
    assert before.startswith("fd_dinov2-")


# --- DISTS -------------------------------------------------------------------------------------


def dists_written_out(network: Any, shares: dict[str, torch.Tensor], a: np.ndarray, b: np.ndarray) -> list[float]:
    """The published formula in float64, stage by stage."""
    hann = torch.from_numpy(np.outer(*2 * (np.hanning(5)[1:-1],)))
    hann = hann / hann.sum()
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def features(picture: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(picture).permute(2, 0, 1).double() / 255
        found, y = [x], ((x - mean) / std)[None]
        for position, layer in enumerate(network.double()[:30]):
            if isinstance(layer, nn.MaxPool2d):
                kernel = hann.expand(y.shape[1], 1, 3, 3)
                y = (F.conv2d(y**2, kernel, stride=2, padding=1, groups=y.shape[1]) + 1e-12).sqrt()
            else:
                y = F.relu(y) if isinstance(layer, nn.ReLU) else layer(y)
            if position in (3, 8, 15, 22, 29):
                found.append(y[0])
        return found

    total = sum(float(share.double().sum()) for share in shares.values())
    scores = []
    for one, other in zip(a, b, strict=True):
        alike, place = 0.0, 0
        for x, y in zip(features(one), features(other), strict=True):
            for p, q in zip(x.flatten(1).numpy(), y.flatten(1).numpy(), strict=True):
                covariance = (p * q).mean() - p.mean() * q.mean()
                texture = (2 * p.mean() * q.mean() + 1e-6) / (p.mean() ** 2 + q.mean() ** 2 + 1e-6)
                structure = (2 * covariance + 1e-6) / (p.var() + q.var() + 1e-6)
                alike += float(shares["alpha"][0, place, 0, 0]) / total * texture
                alike += float(shares["beta"][0, place, 0, 0]) / total * structure
                place += 1
        scores.append(1 - alike)
    return scores


@torch.inference_mode()
def test_dists(written: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    root, networks = written
    a, b = wide(3), wide(3)[::-1].copy()
    b[1] = np.clip(a[1].astype(int) + np.random.default_rng(0).integers(-40, 40, a[1].shape), 0, 255)
    network, shares = networks["dists"]
    dists = Dists(find(root, "dists"))
    found = dists(a, b)
    np.testing.assert_allclose(found, dists_written_out(network, shares, a, b), rtol=1e-3, atol=1e-5)
    network.float()
    assert found.min() > 0
    np.testing.assert_allclose(dists(a, a), 0, atol=1e-6)
    monkeypatch.setattr(dists_module, "CHUNK", 2)
    np.testing.assert_allclose(dists(a, b), found, rtol=1e-4)
    with pytest.raises(ValueError, match="expected two uint8"):
        dists(a, b[:, :-1])


def test_large_pictures_are_made_smaller_first() -> None:
    """As the published code does: the shorter side at 256, and smaller ones as they are."""
    picture = wide(1, 300, 411)
    expected = transforms.functional.resize(Image.fromarray(picture[0]), 256)
    np.testing.assert_array_equal(dists_module.shrink(picture)[0], np.asarray(expected))
    assert dists_module.shrink(wide(1, 256, 411)).shape == (1, 256, 411, 3)


# --- what is not taken -------------------------------------------------------------------------

MEND = r"metrics fetch no weights: correct the path, put there the files of .*, or leave metric_weights\.{} out"


@pytest.mark.parametrize(
    ("metric", "file", "told"),
    [
        ("fd_dinov2", "config.json", "no file config.json there"),
        ("fd_dinov2", "model.safetensors", "no file model.safetensors or pytorch_model.bin there"),
        ("cmmd", "model.safetensors", "no file model.safetensors or pytorch_model.bin there"),
        ("dists", "vgg16.safetensors", "no file vgg16.safetensors or vgg16-397923af.pth there"),
        ("dists", "weights.safetensors", "no file weights.safetensors or weights.pt there"),
    ],
)
def test_a_missing_file(metric: str, file: str, told: str, copied: Path) -> None:
    (copied / metric / file).unlink()
    with pytest.raises(
        GancompError, match=rf"experiments\.mine\.metric_weights\.{metric}: .*{told}; {MEND}".format(metric)
    ):
        find(copied, metric)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"metric_weights\.cmmd: .*nowhere: no file config\.json there"):
        find_given("mine", "cmmd", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"config\.json: not readable as JSON"),
        ("[]", r"config\.json: its model_type is None, not 'dinov2'"),
        ('{"model_type": "vit"}', r"config\.json: its model_type is 'vit', not 'dinov2'"),
    ],
)
def test_other_settings_are_refused_before_anything_is_loaded(text: str, told: str, copied: Path) -> None:
    (copied / "fd_dinov2" / "config.json").write_text(text)
    with pytest.raises(GancompError, match=rf"metric_weights\.fd_dinov2: .*{told}"):
        find(copied, "fd_dinov2")


def without(name: str) -> Any:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def misshapen(name: str) -> Any:
    return lambda tensors: tensors | {name: torch.zeros(3)}


@pytest.mark.parametrize(
    ("metric", "file", "change", "told"),
    [
        ("fd_dinov2", "model.safetensors", without("layernorm.bias"), r"lacks layernorm\.bias and 0 more"),
        ("fd_dinov2", "model.safetensors", misshapen("layernorm.bias"), "not the weights that config.json describes"),
        ("cmmd", "model.safetensors", without("visual_projection.weight"), r"lacks visual_projection\.weight"),
        ("dists", "vgg16.safetensors", without("features.28.bias"), r"missing: 28\.bias"),
        ("dists", "weights.safetensors", misshapen("alpha"), "of another shape: alpha"),
    ],
)
def test_other_weights(metric: str, file: str, change: Any, told: str, copied: Path) -> None:
    path = copied / metric / file
    save_file(change(load_file(path)), path)
    build: Any = Dists if metric == "dists" else Embedding
    with pytest.raises(GancompError, match=rf"metric_weights\.{metric}: .*{file}: .*{told}"):
        build(find(copied, metric))


def test_a_file_that_was_cut_off(copied: Path) -> None:
    path = copied / "cmmd" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GancompError, match=r"metric_weights\.cmmd: .*model\.safetensors: not readable as weights"):
        Embedding(find(copied, "cmmd"))


def test_without_the_library_the_extra_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(GancompError, match=r"transformers is not installed: pip install 'gancomp\[features\]'"):
        Embedding(find(copied, "cmmd"))
