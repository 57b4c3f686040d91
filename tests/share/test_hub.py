"""A generator to the hub and back, against a stand-in on this machine; and into a folder."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import torch

import gancomp
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256
from gancomp.share.hub import MODEL, fetch, push

from .stand_in import Hub


def test_what_is_pushed_is_loaded_by_its_name(hub: Hub, model: Path) -> None:
    where = push({MODEL: model.read_bytes(), "README.md": b"# mine\n"}, "hub:me/mine")
    ((commit, files),) = hub.commits["me/mine"]
    assert where == f"{hub.endpoint}/me/mine/commit/{commit}"
    assert files == {MODEL: model.read_bytes(), "README.md": b"# mine\n"}
    generator, own = gancomp.load_generator("hub:me/mine"), gancomp.load_generator(model)
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(generator(x), own(x), rtol=0, atol=0)
    assert generator.origin
    assert (generator.origin.repository, generator.origin.revision) == ("me/mine", commit)
    assert generator.origin.sha256 == file_sha256(model)
    assert own.origin is None


def test_a_revision_stays_what_it_was(hub: Hub) -> None:
    for content in (b"first", b"second"):
        push({MODEL: content}, "hub:me/mine")
    first, second = (commit for commit, _ in hub.commits["me/mine"])
    assert fetch(f"hub:me/mine@{first}")[0].read_bytes() == b"first"
    newest, origin = fetch("hub:me/mine")
    assert (newest.read_bytes(), origin.revision) == (b"second", second)


def test_nothing_is_unpickled(hub: Hub, tmp_path: Path) -> None:
    """A repository with only pickles has nothing to load, and a pickle named model.safetensors is refused."""

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    harmful = pickle.dumps(Harmful())
    push({"model.pth": harmful}, "hub:me/pickled")
    with pytest.raises(GancompError, match=r"^hub:me/pickled: \w+"):
        gancomp.load_generator("hub:me/pickled")
    assert not [path for path in hub.asked if path.endswith("model.pth")]
    push({MODEL: harmful}, "hub:me/renamed")
    with pytest.raises(GancompError, match="not a readable safetensors file"):
        gancomp.load_generator("hub:me/renamed")
    assert not (tmp_path / "ran").exists()


def test_what_the_hub_refuses_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GancompError, match=r"^hub:me/none: RepositoryNotFoundError: .*HF_TOKEN"):
        fetch("hub:me/none")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(GancompError, match=r"^hub:me/mine: \w+: .*401.*HF_TOKEN"):
        push({MODEL: b""}, "hub:me/mine")
    assert not hub.commits


@pytest.mark.parametrize("address", ["hub:mine", "hub:", "hub:me/mine/more", "hub:me/mine@", "hub:../mine@x y"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(GancompError, match="expected hub:USER/NAME"):
        fetch(address)


def test_a_revision_cannot_be_pushed_to() -> None:
    with pytest.raises(GancompError, match="remove @main"):
        push({MODEL: b""}, "hub:me/mine@main")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(GancompError, match=r"pip install 'gancomp\[hub\]'"):
        fetch("hub:me/mine")


def test_a_folder_is_filled_and_not_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        assert push({MODEL: b"one", "README.md": b"two"}, str(tmp_path / "new")) == str(tmp_path / "new")
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        MODEL: b"one",
        "README.md": b"two",
    }
    with pytest.raises(GancompError, match=r"model\.safetensors: exists with other content; delete it"):
        push({MODEL: b"three", "README.md": b"four"}, str(tmp_path / "new"))
