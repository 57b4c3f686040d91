"""Untrusted archives, .zip and .tar.gz: read member by member within limits, or unpacked as plain files.

zipfile and tarfile read them. Added here is what tarfile's data filter does not do, and zipfile has nothing for:
limits of the number of entries, of their sizes and of their compression; refusal instead of changed names and kinds;
and unpacking that continues after an interruption.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from gancomp.errors import GancompError
from gancomp.pipeline.files import atomic, read_json, write_json
from gancomp.pipeline.progress import Progress

#: Limits of expansion: bytes of all requested members, and the compression ratio of a member above a megabyte.
MAX_BYTES = 1 << 30
MAX_RATIO = 100
#: Limits of unpacking to files: bytes in total, bytes of one member (each is read into memory), number of entries.
MAX_UNPACKED = 32 << 30
MAX_MEMBER = 64 << 20
MAX_ENTRIES = 500_000
#: The file that `unpack` writes last; the dot excludes it from listings of pictures.
UNPACKED = ".unpacked.json"


# --- in memory ---------------------------------------------------------------------------------


def member_bytes(archive: Path, member: str) -> bytes:
    """One member of a zip archive, such as a wheel. Raises GancompError if it is missing, and as `read_members`."""
    members = read_members(archive, lambda name: name == member)
    if member not in members:
        raise GancompError(f"{archive}: holds no {member}; it is another version or not the right file")
    return members[member]


def read_members(archive: Path, wanted: Callable[[str], bool], max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    """Members of a zip archive whose names are *wanted*: {name: bytes}, in the archive's order; nothing is unpacked.

    Raises GancompError when the archive is missing, truncated or damaged (each member's checksum is checked), when
    any entry's name leads out of the archive or is a link, and when the requested members would expand to more than
    *max_bytes* or one of them more than a hundredfold.
    """
    with ZipArchive(archive) as opened:
        chosen = [name for name in opened.sizes if wanted(name)]
        total = sum(opened.sizes[name] for name in chosen)
        if total > max_bytes:
            raise GancompError(f"{archive}: would expand to {total} bytes, more than the limit of {max_bytes}")
        return {name: opened.read(name) for name in chosen}


class ZipArchive:
    """The members of a zip archive in any order, also from several threads.

    `sizes` has the bytes of every file by name, in the archive's order. The constructor raises GancompError
    when the archive is missing or damaged or an entry's name leads out of it or is a link.
    """

    def __init__(self, archive: Path) -> None:
        self.path = archive
        self._lock = threading.Lock()
        with _named(archive):
            self._stream = zipfile.ZipFile(archive)
            try:
                entries = self._stream.infolist()
                for entry in entries:
                    # orig_filename: zipfile cuts a name at a NUL byte and turns the platform's separators into slashes.
                    _check_name(archive, entry.orig_filename)
                    if stat.S_ISLNK(entry.external_attr >> 16):
                        raise GancompError(
                            f"{archive}: entry {entry.filename!r} is a symbolic link; do not use this file"
                        )
            except BaseException:
                self._stream.close()
                raise
        self.sizes = {entry.filename: entry.file_size for entry in entries if not entry.is_dir()}

    def __enter__(self) -> ZipArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, name: str) -> bytes:
        """A whole member; GancompError when it is damaged or, above a megabyte, expands more than a hundredfold."""
        with _named(self.path), self._lock:
            entry = self._stream.getinfo(name)
            if entry.file_size > 1 << 20 and entry.file_size > MAX_RATIO * entry.compress_size:
                raise GancompError(
                    f"{self.path}: entry {name!r} expands {entry.compress_size} bytes to {entry.file_size}, "
                    f"more than {MAX_RATIO}-fold; do not use this file"
                )
            with self._stream.open(entry) as member:
                # A bounded read also bounds the allocation if the header is wrong.
                return _whole(member, name, entry.file_size)


# --- to files ----------------------------------------------------------------------------------


def check_archive(archive: Path) -> None:
    """Read a whole .zip or .tar.gz to check checksums, names and limits. Raises GancompError as `each_member`."""
    for _ in each_member(archive, lambda _: True):
        pass


def unpack(archive: Path, sha256: str, folder: Path, target: Callable[[str], str | None], total: int) -> list[str]:
    """Write members of a .zip or .tar.gz below *folder*; returns their paths there, sorted.

    *target* returns a member's path in *folder*, or None to skip it; it must return paths inside *folder*.
    *sha256* is the archive's. A killed unpacking resumes, a finished one is not repeated while all its
    files exist. *total* is the expected number of files, for the progress bar only.
    Raises GancompError as `each_member`, for two members of one path, and when the disk is full.
    """
    marker = folder / UNPACKED
    done = read_json(marker) if marker.is_file() else {}
    if done.get("sha256") == sha256 and all((folder / file).is_file() for file in done["files"]):
        return list(done["files"])
    marker.unlink(missing_ok=True)
    files: set[str] = set()
    with Progress(f"unpack {archive.name}", total, "files") as bar:
        for name, content in each_member(archive, lambda name: target(name) is not None):
            file = str(target(name))
            if file in files:
                raise GancompError(f"{archive}: contains {file} twice; do not use this file")
            files.add(file)
            _write_unless_there(folder / file, content)
            bar.advance(1)
    write_json(marker, {"sha256": sha256, "files": sorted(files)})
    return sorted(files)


def _write_unless_there(path: Path, content: bytes) -> None:
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def each_member(
    archive: Path, wanted: Callable[[str], bool], max_bytes: int = MAX_UNPACKED
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each plain file in a .zip or .tar.gz whose name is *wanted*, one at a time, in order.

    Raises GancompError when the archive is missing, truncated, damaged or not an archive; when an entry's name leads
    out of it, or it is a link or a device; and when the archive exceeds *max_bytes*, MAX_ENTRIES or MAX_MEMBER.
    """
    with _named(archive):
        with archive.open("rb") as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
        yield from (_each_of_tar if is_gzip else _each_of_zip)(archive, wanted, max_bytes)


def _each_of_zip(archive: Path, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with ZipArchive(archive) as opened:
        if len(opened.sizes) > MAX_ENTRIES or sum(opened.sizes.values()) > max_bytes:
            raise GancompError(f"{archive}: more than {MAX_ENTRIES:,} entries or {max_bytes:,} bytes; do not use it")
        for name, size in opened.sizes.items():
            if wanted(name):
                _check_size(archive, name, size)
                yield name, opened.read(name)


def _each_of_tar(archive: Path, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with gzip.open(archive, "rb") as compressed:
        stream = _Forward(compressed, max_bytes)
        with tarfile.open(fileobj=stream, mode="r:") as entries:
            for count, entry in enumerate(entries, start=1):
                if count > MAX_ENTRIES:
                    raise GancompError(f"{archive}: more than {MAX_ENTRIES:,} entries; do not use this file")
                _check_name(archive, entry.name)
                if not (entry.isdir() or entry.isreg()) or entry.issparse():
                    raise GancompError(f"{archive}: entry {entry.name!r} is a link or a device; do not use this file")
                if entry.isreg() and wanted(entry.name):
                    _check_size(archive, entry.name, entry.size)
                    member = entries.extractfile(entry)
                    assert member is not None  # it is a plain file
                    yield entry.name, _whole(member, entry.name, entry.size)
        while stream.read(1 << 20):  # the archive's checksum is at the end
            pass


class _Forward(io.RawIOBase):
    """A stream that is only read forwards, in chunks of bounded size and up to a bounded length.

    This protects against headers that claim gigabytes or point backwards, and archives that expand without limit.
    """

    def __init__(self, stream: io.BufferedIOBase, max_bytes: int) -> None:
        self._stream, self._max_bytes = stream, max_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_MEMBER:
            raise ValueError(f"a header of {size} bytes")
        self._check(self.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self.tell():
            raise ValueError("a header points backwards")
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position: int) -> None:
        if position > self._max_bytes + MAX_MEMBER:
            raise ValueError(f"expands to more than {self._max_bytes} bytes")


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\\0]|^[A-Za-z]:", name):
        raise GancompError(f"{archive}: entry {name!r} leads out of the archive; do not use this file")


def _check_size(archive: Path, name: str, size: int) -> None:
    if size > MAX_MEMBER:
        raise GancompError(f"{archive}: entry {name!r} has {size:,} bytes, more than the limit of {MAX_MEMBER:,}")


def _whole(member: IO[bytes], name: str, size: int) -> bytes:
    content = member.read(size + 1)
    if len(content) != size:
        raise EOFError(f"{name} has {len(content)} bytes instead of {size}")
    return content


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Convert errors of reading an archive into a GancompError with its name."""
    try:
        yield
    except FileNotFoundError:
        raise GancompError(f"{archive}: no such file") from None
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as error:
        raise GancompError(f"{archive}: truncated or damaged archive ({error}); delete it and run this again") from None
