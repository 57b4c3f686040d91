"""onnxruntime-web is the package whose hash is known, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.deploy.demo.web_runtime import fetch_web_runtime
from gancomp.errors import GancompError


def test_another_package_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web-1.30.0.tgz"
    with pytest.raises(GancompError, match="no such file"):
        fetch_web_runtime(tmp_path / "out", archive)
    archive.write_bytes(b"not it")
    with pytest.raises(GancompError, match="SHA-512"):
        fetch_web_runtime(tmp_path / "out", archive)
    assert not (tmp_path / "out").exists()


def test_without_npm_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GancompError, match=r"npm, .*is not installed.*\n.*--archive"):
        fetch_web_runtime(tmp_path / "out")


def test_an_npm_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GancompError, match="failed: npm error code ENOTFOUND"):
        fetch_web_runtime(tmp_path / "out")
