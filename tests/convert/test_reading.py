"""Files from outside: nothing in them runs, and whatever is wrong is named."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from gancomp.convert import reading as module
from gancomp.convert.discriminators import DiscriminatorShape, detect_discriminator
from gancomp.convert.generators import detect, load_original
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec
from tests.convert.foreign import Resnet, patch_gan, saved

SPEC = GeneratorSpec(widths=1, blocks=3, size=16)


class Payload:
    """What a malicious pickle holds: a call that leaves a file behind."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.touched),)


@pytest.fixture
def genuine(tmp_path: Path) -> Path:
    return saved(Resnet((1,) * 8, 3), tmp_path / "genuine.pth")


def refusal(path: Path) -> str:
    """The message of every way in, which must be the same and name the file."""
    told = set()
    for read in (detect, detect_discriminator, lambda path: load_original(path, SPEC)):
        with pytest.raises(GancompError) as refused:
            read(path)
        told.add(str(refused.value))
    (message,) = told
    assert message.startswith(f"{path}: ")
    assert len(message) < 600 + len(str(path))
    return message.removeprefix(f"{path}: ")


def test_this_payload_would_run(tmp_path: Path) -> None:
    """Otherwise the tests below prove nothing."""
    torch.save(Payload(tmp_path / "touched"), tmp_path / "net.pth")
    torch.load(tmp_path / "net.pth", weights_only=False)
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", [False, True])
def test_a_malicious_pickle_does_not_run(tmp_path: Path, zipped: bool, inside: bool) -> None:
    payload: Any = Payload(tmp_path / "touched")
    if inside:
        payload = OrderedDict(Resnet((1,) * 8, 3).state_dict()) | {"model.1.weight": payload}
    torch.save(payload, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert "wants to run posix.mkdir when it is read" in refusal(tmp_path / "net.pth")
    assert not (tmp_path / "touched").exists()


def test_a_bare_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(pickle.dumps(Payload(tmp_path / "touched"), protocol=2))
    refusal(tmp_path / "net.pth")
    assert not (tmp_path / "touched").exists()


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.pth") == "no such file"
    assert refusal(tmp_path) == "is not a file"


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"GIF89a" * 9, b"\x80\x02}q\x00."])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    refusal(tmp_path / "net.pth")


@settings(deadline=None, max_examples=25)
@given(share=st.floats(0, 0.999), legacy=st.booleans())
def test_cut_off_files(tmp_path_factory: pytest.TempPathFactory, share: float, legacy: bool) -> None:
    path = tmp_path_factory.mktemp("cut") / "net.pth"
    saved(Resnet((1,) * 8, 3), path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "contains a list, not tensors by name"),
        (torch.zeros(3), "contains a Tensor, not tensors by name"),
        ({}, "contains 0 entries"),
        ({"epoch": 3, "weight": torch.zeros(1)}, "contains more than tensors by name (epoch)"),
        ({"netG": {"weight": 3}, "optimizer": {}}, "contains nested dictionaries (netG, optimizer)"),
        ({1: torch.zeros(1)}, "contains more than tensors by name (1)"),
        ({"weight": torch.zeros(2).to_sparse()}, "contains more than tensors by name (weight)"),
        ({"weight": torch.zeros(2, dtype=torch.int64)}, "contains more than tensors by name (weight)"),
        ({"weight": torch.zeros(2, dtype=torch.complex64)}, "contains more than tensors by name (weight)"),
        ({"weight": torch.zeros(2, device="meta")}, "contains more than tensors by name (weight)"),
        ({"a": torch.zeros(1), "b": torch.tensor([1, torch.nan])}, "b contains values that are not finite"),
        ({"a" * 10_000: 3}, "contains more than tensors by name ('aaaaaa"),
        ({"a\n\x1b[2J": 3}, r"'a\n\x1b[2J'"),
        ({"weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, "would need more than"),
        ({str(index): torch.zeros(1) for index in range(10_001)}, "contains 10,001 entries"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_anything_but_tensors_by_name(tmp_path: Path, content: Any, told: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    assert told in refusal(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tensors: {"netG": tensors, "epoch": 3},
        lambda tensors: {"params_ema": tensors},
        lambda tensors: {"state": {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}},
        lambda tensors: {"netG": tensors, "netD": {"model.0.weight": torch.zeros(1)}, "optimizer": {"lr": 0.1}},
    ],
)
def test_the_generator_in_a_training_checkpoint_is_taken(genuine: Path, tmp_path: Path, wrapped: Any) -> None:
    torch.save(wrapped(torch.load(genuine)), tmp_path / "net.pth")
    expected = detect(genuine, (16, 16))[1]
    found = detect(tmp_path / "net.pth", (16, 16))[1]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_of_several_networks_none_is_guessed(genuine: Path, tmp_path: Path) -> None:
    torch.save(dict.fromkeys(("netG_A", "netG_B"), torch.load(genuine)), tmp_path / "net.pth")
    assert "contains several networks (netG_A, netG_B); choose one: --key NAME" in refusal(tmp_path / "net.pth")


def test_a_key_names_the_network(genuine: Path, tmp_path: Path) -> None:
    tensors, path = torch.load(genuine), tmp_path / "net.pth"
    other = {name: tensor + 1 for name, tensor in tensors.items()}
    torch.save({"models": {"netG_A": tensors, "netG_B": other}, "epoch": 3}, path)
    spec, first = detect(path, size=(16, 16), key="models.netG_A")
    _, second = detect(path, size=(16, 16), key="models.netG_B")
    assert all(torch.equal(second[name], first[name] + 1) for name in tensors.keys() & first.keys())
    assert not torch.equal(second["stem.1.weight"], first["stem.1.weight"])
    loaded = load_original(path, spec, key="models.netG_B").state_dict()
    assert all(torch.equal(loaded[name], second[name]) for name in second)
    with pytest.raises(GancompError, match=r"has no network 'netG_C'; it contains: models\.netG_A, models\.netG_B"):
        detect(path, key="netG_C")


def test_asked_for_a_discriminator_its_own_entry_is_taken(genuine: Path, tmp_path: Path) -> None:
    torch.save({"netG": torch.load(genuine), "netD": patch_gan(6, 2, 2).state_dict()}, tmp_path / "net.pth")
    assert detect_discriminator(tmp_path / "net.pth")[0] == DiscriminatorShape(6, 2, 2)
    assert detect(tmp_path / "net.pth", size=(16, 16))[0].family == "resnet"


def test_safetensors_from_elsewhere_are_read_as_any_other_file(genuine: Path, tmp_path: Path) -> None:
    save_file(torch.load(genuine), tmp_path / "net.safetensors", {"format": "pt"})
    spec, expected = detect(genuine, size=(16, 16))
    assert detect(tmp_path / "net.safetensors", size=(16, 16))[0] == spec
    found = load_original(tmp_path / "net.safetensors", spec).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    save_file(patch_gan(6, 2, 2).state_dict(), tmp_path / "judge.safetensors")
    assert detect_discriminator(tmp_path / "judge.safetensors")[0] == DiscriminatorShape(6, 2, 2)
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(GancompError, match="no known generator"):
        detect(tmp_path / "other.safetensors")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_called_what_it_is(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Conv2d(1, 1, 1)).save(str(tmp_path / "net.pt"))
    assert "is TorchScript, a program and not a state dict" in refusal(tmp_path / "net.pt")


def test_tensors_of_nothing_that_is_known(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(GancompError, match=r"no known generator \(encoder\.weight\); supported are ResNets and U-Nets"):
        detect(tmp_path / "net.pth")


def test_files_that_would_expand_are_refused(genuine: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(genuine) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for member in archive.infolist():
            out.writestr(member.filename, archive.read(member))
    assert "would expand when it is read" in refusal(packed)


def test_files_that_are_too_large_are_not_read(genuine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was read"))
    assert f"has {genuine.stat().st_size:,} bytes" in refusal(genuine)


def test_a_size_that_only_the_pickle_claims(tmp_path: Path) -> None:
    """The old format says how long each storage is: a terabyte, here, of which the file holds nothing."""
    path = tmp_path / "net.pth"
    tensor = torch.arange(77.0)
    torch.save({"weight": tensor}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"K\x4d") == 2  # 77, as pickle writes it: of the storage and of the tensor
    path.write_bytes(content.replace(b"K\x4d", b"\x8a\x05" + struct.pack("<q", 1 << 38)[:5]))
    refusal(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensors: tensors.pop("model.4.weight"), "has no convolution for down1.0"),
        (lambda tensors: tensors.pop("model.4.bias"), None),
        (lambda tensors: tensors.pop("model.11.conv_block.5.weight"), "lacks blocks2.0.branch.5.weight"),
        (
            lambda tensors: tensors.update({"model.99.weight": torch.zeros(1)}),
            "unknown tensors for its layout: model.99.weight",
        ),
        (lambda tensors: tensors.update({"model.4.weight": torch.zeros(3, 1, 3, 3)}), "3 channels at down1.0"),
        (lambda tensors: tensors.update({"model.4.weight": torch.zeros(2, 1, 5, 5)}), "down1.0.weight is (2, 1, 5, 5)"),
        (lambda tensors: tensors.update({"model.4.weight": torch.zeros(0, 1, 3, 3)}), "width down1 is 0"),
        (lambda tensors: tensors.update({"model.1.weight": torch.zeros(9999, 3, 7, 7)}), "widths: "),
        (lambda tensors: tensors.update({"model.1.weight": torch.zeros(1, 300, 7, 7)}), "in_channels: "),
        (
            lambda tensors: tensors.update({"model.14.conv_block.1.weight": torch.zeros(4, 4, 3, 3)}),
            "has 4 residual blocks from model.10 on",
        ),
        (lambda tensors: tensors.update({"model.11.conv_block.5.bias": torch.zeros(5)}), "branch.5.bias is (5,)"),
        (
            lambda tensors: tensors.update({"model.2.weight": torch.ones(1)}),
            "lacks blocks1.0.branch.2.bias",
        ),
    ],
)
def test_generators_with_other_parts_are_refused_by_name(tmp_path: Path, change: Any, told: str | None) -> None:
    tensors = dict(Resnet((1,) * 8, 3).state_dict())
    change(tensors)
    torch.save(tensors, tmp_path / "net.pth")
    if told is None:  # a convolution without a bias is one with a bias of zeros
        assert not detect(tmp_path / "net.pth", (16, 16))[1]["down1.0.bias"].any()
        return
    with pytest.raises(GancompError) as refused:
        detect(tmp_path / "net.pth", (16, 16))
    assert told in str(refused.value)
