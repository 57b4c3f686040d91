"""Fetching files from servers with the faults of real ones."""

from __future__ import annotations

import errno
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gancomp.data import download
from gancomp.data.download import fetch_file
from gancomp.errors import GancompError

from .server import Server, serve

CONTENT = np.random.default_rng(0).bytes(200_000)
OTHER = CONTENT[::-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serve() as started:
        yield started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "pictures.zip"


def names(path: Path) -> list[str]:
    """What lies beside *path*, but its lock."""
    return sorted(file.name for file in path.parent.iterdir() if not file.name.endswith(".lock"))


def failure(urls: list[str], path: Path, *arguments: Any, **settings: Any) -> str:
    """The error's text, after which nothing has the file's name."""
    with pytest.raises(GancompError) as caught:
        fetch_file(urls, path, *arguments, **settings)
    assert not path.exists()
    return str(caught.value)


def test_a_file_is_fetched_once(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT)
    for _ in range(2):
        assert fetch_file([url], path, sha256(CONTENT)) == sha256(CONTENT)
        assert path.read_bytes() == CONTENT
    assert server.files["a"].asked == [None]
    assert names(path) == ["pictures.zip"]


# --- cut connections ---------------------------------------------------------------------------


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(0, 60_000), max_size=3), ranges=st.booleans(), says_length=st.booleans())
def test_cut_connections_are_continued(
    server: Server, path: Path, cuts: list[int], ranges: bool, says_length: bool
) -> None:
    """Whatever the server can and cannot do, the file is whole or not there; with ranges, no byte comes twice."""
    if not says_length:
        cuts = []  # such a cut cannot be told from the end
    url = server.add("a", CONTENT, cut_after=list(cuts), ranges=ranges, says_length=says_length)
    path.unlink(missing_ok=True)
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    arrived = np.cumsum(cuts)
    if ranges:
        assert server.files["a"].asked == [None, *(f"bytes={begun}-" if begun else None for begun in arrived)]


def test_cuts_that_bring_something_new_are_not_counted(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, cut_after=[20_000] * 9)
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT


def test_a_cut_that_no_length_tells_is_told_by_the_hash(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, cut_after=[99], says_length=False)
    assert f"its sha256 is {sha256(CONTENT[:99])}" in failure([url], path, sha256(CONTENT))
    assert names(path) == []


def test_a_later_call_continues(server: Server, path: Path) -> None:
    """As after a kill: what has arrived lies in the partial file."""
    url = server.add("a", CONTENT, cut_after=[50_000, 0, 0, 0, 0])
    message = failure([url], path, sha256(CONTENT))
    assert "connection cut after 50,000 of 200,000 bytes (given up after 4 attempts)" in message
    assert names(path) == ["pictures.zip.part", "pictures.zip.part.json"]
    server.files["a"].cut_after, server.files["a"].asked = [], []
    fetch_file([url], path, sha256(CONTENT))
    assert server.files["a"].asked == ["bytes=50000-"]
    assert path.read_bytes() == CONTENT


def test_the_address_that_began_continues(server: Server, path: Path) -> None:
    """A mirror that was down and is back does not cost what another one has sent."""
    first, second = server.url("first"), server.add("second", CONTENT, cut_after=[50_000, 0, 0, 0, 0])
    failure([first, second], path, sha256(CONTENT))
    server.add("first", CONTENT)
    server.files["second"].cut_after = []
    fetch_file([first, second], path, sha256(CONTENT))
    assert server.files["first"].asked == []
    assert path.read_bytes() == CONTENT


def test_a_complete_partial_file_is_not_asked_for_again(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.add("a", CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(download, "_accepted", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch_file([url], path)
    fetch_file([url], path)
    assert server.files["a"].asked == [None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", ["{", "[]", '{"url": 1}', "[" * 100_000])
def test_a_damaged_partial_file_is_begun_anew(server: Server, path: Path, damage: str) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000, 0, 0, 0, 0])
    failure([url], path, sha256(CONTENT))
    path.with_name("pictures.zip.part.json").write_text(damage)
    server.files["a"].cut_after = []
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file_is_begun_anew(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000, 0, 0, 0, 0])
    failure([url], path, sha256(CONTENT))
    path.with_name("pictures.zip.part").write_bytes(bytes(300_000))
    server.files["a"].cut_after = []
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("checks_state", [True, False])
def test_a_file_that_changes_between_attempts_is_begun_anew(server: Server, path: Path, checks_state: bool) -> None:
    """Also where the server goes on sending ranges of the new file: no mixture of both is ever taken."""
    url = server.add("a", CONTENT, cut_after=[50_000], then=OTHER, checks_state=checks_state)
    fetch_file([url], path)
    assert path.read_bytes() == OTHER


@pytest.mark.parametrize(("etag", "date"), [(None, None), ('W/"1"', None), (None, "Mon, 01 Jan 2024 00:00:00 GMT")])
def test_only_a_file_that_can_be_told_from_another_is_continued(
    server: Server, path: Path, etag: str | None, date: str | None
) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000], etag=etag, date=date)
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert server.files["a"].asked == [None, "bytes=50000-" if date else None]


def test_a_server_that_never_gets_further_is_given_up(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000] * 99, ranges=False)
    assert "connection cut after 50,000 of 200,000" in failure([url], path, sha256(CONTENT))
    assert 3 <= len(server.files["a"].asked) <= 5


def test_a_length_that_promises_too_much_is_a_cut(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, length=len(CONTENT) + 5, ranges=False)
    assert "of 200,005 bytes" in failure([url], path)


def test_a_length_that_promises_too_little_is_told_by_the_hash(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, length=len(CONTENT) - 5)
    assert "modified in transit" in failure([url], path, sha256(CONTENT))
    assert names(path) == []


# --- mirrors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, path: Path, status: int) -> None:
    url = server.add("a", CONTENT, statuses=[status] * 3)
    fetch_file([url], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    url = server.add("b", CONTENT, statuses=[status] * 4)
    assert f"HTTP {status}" in failure([url], path.with_name("b"), sha256(CONTENT))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_address_without_the_file_is_left_at_once(server: Server, path: Path, status: int) -> None:
    lacking = server.add("lacking", CONTENT, statuses=[status] * 9)
    fetch_file([lacking, server.add("a", CONTENT)], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert len(server.files["lacking"].asked) == 1


def test_wrong_bytes_send_to_the_next_mirror(server: Server, path: Path) -> None:
    fetch_file([server.add("wrong", OTHER), server.add("right", CONTENT)], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert names(path) == ["pictures.zip"]


def test_what_a_check_refuses_sends_to_the_next_mirror(server: Server, path: Path) -> None:
    """Without a published hash, a sign-in page in the file's place must neither be taken nor recorded."""

    def check(file: Path) -> None:
        if not file.read_bytes().startswith(CONTENT[:4]):
            raise GancompError("no archive")

    urls = [server.add("page", b"<html>sign in</html>"), server.add("right", CONTENT)]
    assert "not the right file: no archive" in failure(urls[:1], path, check=check)
    assert names(path) == []
    assert fetch_file(urls, path, check=check) == sha256(CONTENT)


def test_the_error_names_every_address_and_the_way_out(server: Server, path: Path) -> None:
    urls = [
        server.url("nowhere"),
        server.add("wrong", OTHER),
        server.add("zipped", CONTENT, encoding="gzip"),
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
    ]
    message = failure(urls, path, sha256(CONTENT))
    lines = message.splitlines()
    assert lines[0] == "pictures.zip could not be fetched:"
    reasons = ["HTTP 404", "its sha256", "another encoding", "only http and https", "only http and https", "refused"]
    for line, url, reason in zip(lines[1:-1], urls, reasons, strict=True):
        assert line.startswith(f"  {url}: ")
        assert reason in line
    assert f"put the file at {path} by hand (sha256 {sha256(CONTENT)})" in lines[-1]


def test_no_address_is_an_error_that_says_so(path: Path) -> None:
    assert "no address is known" in failure([], path)


def test_an_unknown_name_is_left_at_once_unless_the_network_went_away_halfway(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000, 0, 0, 0, 0])
    failure([url], path, sha256(CONTENT))
    asked = []

    def unknown(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure(["http://nowhere.invalid/a", url], path, sha256(CONTENT))
    assert asked == ["127.0.0.1"] * 4 + ["nowhere.invalid"]  # the one that was begun comes first
    assert "http://nowhere.invalid/a: Name or service not known\n" in message


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://127.0.0.1/"])
def test_a_redirect_to_another_scheme_is_not_followed(server: Server, path: Path, location: str) -> None:
    url = server.add("a", location=location)
    message = failure([url], path)
    assert location in message
    assert len(server.files["a"].asked) == 1


def test_a_redirect_within_http_is_followed_also_when_continuing(server: Server, path: Path) -> None:
    server.add("real", CONTENT, cut_after=[50_000])
    fetch_file([server.add("a", location="/real")], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert server.files["real"].asked == [None, "bytes=50000-"]


def test_https_is_never_left_for_http() -> None:
    request = download.Request("https://example.org/a")
    with pytest.raises(download._Failed, match="not followed"):
        download._Redirects().redirect_request(request, open("/dev/null", "rb"), 302, "", {}, "http://example.org/a")  # noqa: PTH123, SIM115


@pytest.mark.parametrize("says_length", [True, False])
def test_the_size_is_bounded(server: Server, path: Path, says_length: bool) -> None:
    url = server.add("a", CONTENT, says_length=says_length)
    assert "more than" in failure([url], path, max_bytes=len(CONTENT) - 1)
    assert names(path) == []
    fetch_file([url], path, max_bytes=len(CONTENT))


# --- hashes ------------------------------------------------------------------------------------


def test_a_damaged_file_is_fetched_again(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT[:100])
    with pytest.raises(GancompError, match=r"pictures\.zip exists, but is damaged"):
        fetch_file([server.url("nowhere")], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT[:100]
    fetch_file([server.add("a", CONTENT)], path, sha256(CONTENT))
    assert path.read_bytes() == CONTENT


def test_an_unpublished_hash_is_recorded_and_verified_after(server: Server, path: Path) -> None:
    fetch_file([server.add("a", CONTENT)], path)
    assert names(path) == ["pictures.zip", "pictures.zip.sha256"]
    path.write_bytes(OTHER)
    server.add("a", OTHER)
    with pytest.raises(GancompError, match=r"if the published file has changed, delete .*pictures\.zip\.sha256"):
        fetch_file([server.url("a")], path)
    server.add("a", CONTENT)
    fetch_file([server.url("a")], path)
    assert path.read_bytes() == CONTENT
    path.unlink()
    path.with_name("pictures.zip.sha256").unlink()
    server.add("a", OTHER)
    assert fetch_file([server.url("a")], path) == sha256(OTHER)


def test_a_file_put_by_hand_is_taken_without_a_network(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch_file(["http://127.0.0.1:1/x"], path) == sha256(CONTENT)
    assert names(path) == ["pictures.zip", "pictures.zip.sha256"]


def test_a_wrong_file_put_by_hand_is_named_and_not_recorded(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"page")

    def check(file: Path) -> None:
        raise GancompError(f"{file}: no archive")

    with pytest.raises(GancompError, match=r"pictures\.zip: no archive"):
        fetch_file([], path, check=check)
    assert names(path) == ["pictures.zip"]


@pytest.mark.parametrize("record", ["", "abc", "ü" * 64])
def test_a_damaged_record_is_named(path: Path, record: str) -> None:
    path.parent.mkdir()
    path.with_name("pictures.zip.sha256").write_text(record)
    with pytest.raises(GancompError, match=r"pictures\.zip\.sha256: .*delete it"):
        fetch_file([], path)


# --- this machine ------------------------------------------------------------------------------


def test_a_full_disk_is_no_cut_connection(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if self.name.endswith(".part") and mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *rest, **more)

    url = server.add("a", CONTENT)
    monkeypatch.setattr(Path, "open", full)
    assert "pictures.zip.part: cannot be written: No space left" in failure([url], path)
    assert server.files["a"].asked == [None]


def test_two_at_once_fetch_one_file(server: Server, path: Path) -> None:
    url = server.add("a", CONTENT, cut_after=[50_000])
    threads = [threading.Thread(target=fetch_file, args=([url], path, sha256(CONTENT))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert server.files["a"].asked == [None, "bytes=50000-"]


def test_progress_is_shown_with_what_was_there_before(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "_MB", 1000)
    fetch_file([server.add("a", CONTENT, cut_after=[50_000])], path)
    shown = capsys.readouterr().err
    assert "pictures.zip: connection cut after 50,000 of 200,000 bytes; trying again in 0 s" in shown
    assert "pictures.zip: 200 / 200 MB (100%)" in shown
