"""Resume states: restored whole, or refused by name and left as they are."""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_run import Workspace, train
from torch import nn

from gancomp.errors import GancompError
from gancomp.pipeline.signatures import STAGE_VERSION, signature
from gancomp.train.state import Progressed, forget_state, load_state, save_state

# Garbage that looks like a pickle makes torch warn before it fails.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIGNATURE = "0123456789abcdef"


def parts(seed: int = 0) -> dict[str, Any]:
    """A network and an optimiser that has taken a step."""
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    return {"network": network, "network.optimizer": optimizer}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state after step 3."""
    save_state(tmp_path / "state.pt", SIGNATURE, Progressed(3, 1.5, {"largest": 0.25}), parts())
    return tmp_path / "state.pt"


class Malicious:
    """Unpickling it writes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof),)


def refused(path: Path, mention: str, signature: str = SIGNATURE) -> None:
    """Loading raises one GancompError that names the file, says *mention*, and leaves the file as it is."""
    before = path.read_bytes()
    with pytest.raises(GancompError) as caught:
        load_state(path, signature, parts())
    assert str(path) in str(caught.value)
    assert mention in str(caught.value)
    assert "delete the folder" in str(caught.value)
    assert path.read_bytes() == before


def test_everything_is_restored(path: Path) -> None:
    saved, restored = parts(), parts(seed=1)
    assert load_state(path, SIGNATURE, restored) == Progressed(3, 1.5, {"largest": 0.25})
    for name in saved:
        for mine, theirs in zip(tensors(saved[name]), tensors(restored[name]), strict=True):
            assert torch.equal(mine, theirs)


def tensors(part: Any) -> list[torch.Tensor]:
    if isinstance(part, nn.Module):
        return list(part.state_dict().values())
    return [value for state in part.state_dict()["state"].values() for value in state.values()]


def test_nothing_to_restore(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.pt", SIGNATURE, parts()) == Progressed()


def test_another_configuration(path: Path) -> None:
    refused(
        path,
        "made by another configuration or other code, on other pictures or from other networks "
        f"(signature {SIGNATURE}, now fedcba)",
        signature="fedcba",
    )


def test_empty(path: Path) -> None:
    path.write_bytes(b"")
    refused(path, "damaged")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_cut_off(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "damaged")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_harmless(path: Path, data: st.DataObject) -> None:
    save_state(path, SIGNATURE, Progressed(3, 1.5, {"largest": 0.25}), parts())
    whole = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    restored, saved = parts(seed=1), parts()
    try:
        progressed = load_state(path, SIGNATURE, restored)
    except GancompError as error:
        assert str(path) in str(error)  # noqa: PT017 (a date in the archive does no harm)
        return
    assert progressed == Progressed(3, 1.5, {"largest": 0.25})
    for name in saved:
        for mine, theirs in zip(tensors(saved[name]), tensors(restored[name]), strict=True):
            assert torch.equal(mine, theirs)


def test_a_flipped_bit_of_a_weight_is_refused(path: Path) -> None:
    whole, weight = path.read_bytes(), parts()["network"].weight.detach().numpy().tobytes()
    assert weight in whole
    place = whole.index(weight)
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    refused(path, "damaged resume state (ValueError: the checksum of")


def test_a_weight_that_is_marked_as_a_folder_is_refused(path: Path) -> None:
    """torch would leave whatever lay in memory in its place; the mark is one bit, and no checksum is over it."""
    with zipfile.ZipFile(path) as archive:
        place = archive.start_dir + 38  # of the first entry's attributes
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    refused(path, "is no plain file")


@pytest.mark.parametrize("magic", [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"(", b"}"])
def test_garbage(path: Path, magic: bytes) -> None:
    rng = random.Random(magic)
    for _ in range(40):
        path.write_bytes(magic + rng.randbytes(rng.randrange(1, 200)))
        refused(path, "damaged")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
def test_malicious_pickle_is_not_executed(path: Path, tmp_path: Path, legacy: bool) -> None:
    proof = tmp_path / "executed"
    torch.save({"signature": SIGNATURE, "step": Malicious(proof)}, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "damaged")
    assert not proof.exists()
    # The check would see an execution: here the same file is trusted.
    torch.load(path, weights_only=False)
    assert proof.is_dir()


def state(**replaced: Any) -> dict[str, Any]:
    own = {name: part.state_dict() for name, part in parts().items()}
    return {"signature": SIGNATURE, "step": 3, "elapsed": 1.0, "notes": {}, "parts": own} | replaced


@pytest.mark.parametrize(
    "foreign",
    [
        5,
        None,
        [1, 2],
        torch.zeros(2),
        {},
        {"signature": SIGNATURE},
        state(parts={}),
        state(parts={"network": 5, "network.optimizer": 5}),
        state(parts=state()["parts"] | {"network.optimizer": 5}),
        state(parts=state()["parts"] | {"network.optimizer": {}}),
        state(parts=state()["parts"] | {"network": nn.Linear(4, 2).state_dict()}),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_something_else(path: Path, foreign: Any) -> None:
    torch.save(foreign, path)
    refused(path, "damaged")


def test_forgotten_state_goes_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed while it forgets may leave a log without its state, never a state without its log."""
    (path.parent / "log.csv").write_text("step\n")
    monkeypatch.setattr("gancomp.train.state.shutil.rmtree", lambda *_, **__: None)
    forget_state(path.parent)
    assert not path.exists()
    monkeypatch.undo()
    forget_state(path.parent)
    assert not path.parent.exists()
    forget_state(path.parent)


@pytest.mark.parametrize("change", [{"seed": 8}, {"teacher": {"lr": 1e-3}}, {"objective": {"lambda_recon": 50}}])
def test_stage_refuses_a_state_of_another_configuration(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr("gancomp.train.loop.SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("gancomp.train.run.forget_state", lambda folder: None)
    train(workspace.config(), "teacher")
    folder = workspace.resume("teacher")
    before = {file.name: file.read_bytes() for file in folder.glob("*.*")}
    assert before.keys() == {"state.pt", "log.csv"}

    other = workspace.config(**change)
    with pytest.raises(GancompError, match="another configuration") as caught:
        train(other, "teacher")
    assert signature(other, "tiny", "teacher") in str(caught.value)
    assert "teacher/state.pt" in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.glob("*.*")} == before


@pytest.mark.parametrize("changed", ["distill", "teacher", "dataset"])
def test_stage_refuses_a_state_of_older_code(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Of its own, or of a stage that it learned from; nothing of the two is mixed."""
    monkeypatch.setattr("gancomp.train.loop.SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("gancomp.train.run.forget_state", lambda folder: None)
    train(workspace.config(), "distill")
    state, written = (folder("distill") for folder in (workspace.resume, workspace.stage))
    before = {file: file.read_bytes() for folder in (state, written) for file in folder.rglob("*.*")}
    monkeypatch.setitem(STAGE_VERSION, changed, STAGE_VERSION[changed] + 1)
    with pytest.raises(GancompError, match=r"distill/state\.pt: this resume state was made by .* other code"):
        train(workspace.config(), "distill")
    assert {file: file.read_bytes() for folder in (state, written) for file in folder.rglob("*.*")} == before
