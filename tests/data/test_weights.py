"""Published weight files: what is taken, what is refused, and that no code in them runs."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gancomp.data.weights import fetch_torchvision, pick, read_tensors
from gancomp.errors import GancompError

CONTENT = b"the weights of a network"
NAME = f"network-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def address() -> Iterator[str]:
    """A loopback server that has CONTENT under every name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched_once_and_kept(address: str, tmp_path: Path) -> None:
    path = fetch_torchvision(f"{address}/models/{NAME}", tmp_path / "downloads")
    assert path == tmp_path / "downloads" / NAME
    assert path.read_bytes() == CONTENT
    assert fetch_torchvision(f"http://127.0.0.1:1/models/{NAME}", tmp_path / "downloads") == path


def test_a_file_that_does_not_hash_to_its_name_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"network-00000000\.pth: its sha256 is [0-9a-f]{16}…, not 00000000…"):
        fetch_torchvision(f"{address}/network-00000000.pth", tmp_path)
    assert not (tmp_path / "network-00000000.pth").exists()


def test_a_wrong_file_that_lies_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"something else")
    with pytest.raises(GancompError, match=NAME):
        fetch_torchvision(f"http://127.0.0.1:1/{NAME}", tmp_path)


def test_wrappings_of_parallel_training_are_taken_off(tmp_path: Path) -> None:
    tensors = {"module.a.weight": torch.ones(2), "module.b": torch.zeros(1)}
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "checkpoint.pth")
    read = read_tensors(tmp_path / "checkpoint.pth", "it")
    assert set(read) == {"a.weight", "b"}
    assert torch.equal(read["a.weight"], torch.ones(2))


def test_bytes_are_read_like_a_file(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3)}, tmp_path / "weights.pth")
    assert torch.equal(read_tensors((tmp_path / "weights.pth").read_bytes(), "it")["a"], torch.arange(3))


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 1}, {1: torch.ones(1)}, {"state_dict": {"a": "b"}}])
def test_what_is_not_tensors_by_name_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(GancompError, match=r"the file: holds .* not tensors by name"):
        read_tensors(tmp_path / "weights.pth", "the file")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "weights.pth")
    with pytest.raises(GancompError, match="the file: not readable as weights"):
        read_tensors((tmp_path / "weights.pth").read_bytes()[:-100], "the file")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"a": _Trap(tmp_path / "sprung")}, tmp_path / "weights.pth")
    with pytest.raises(GancompError, match="not readable as weights"):
        read_tensors(tmp_path / "weights.pth", "it")
    assert not (tmp_path / "sprung").exists()


class _Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_pick_names_what_is_wrong() -> None:
    like = {"a": torch.empty(2), "b": torch.empty(3, 1), "c": torch.empty(1)}
    with pytest.raises(
        GancompError,
        match=r"^F: not the weights .* \(missing: c; unexpected: d, e, f and 1 more; of another shape: b\)$",
    ):
        pick({"a": torch.ones(2), "b": torch.ones(3)} | dict.fromkeys("gfed", torch.ones(1)), like, "F")


def test_pick_fills_in_only_counts_of_batches() -> None:
    like = torch.nn.BatchNorm1d(2, device="meta").state_dict()
    old = {key: torch.ones(2) for key in ("weight", "bias", "running_mean", "running_var")}
    picked = pick(old, like, "F")
    assert picked.keys() == like.keys()
    assert int(picked["num_batches_tracked"]) == 0
    with pytest.raises(GancompError, match="missing: running_var"):
        pick({key: old[key] for key in old if key != "running_var"}, like, "F")
