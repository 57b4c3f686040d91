"""Atomic writing of files, with checksums."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from gancomp.errors import GancompError

#: The key of a JSON mapping's checksum, and the last column of a CSV with checksums.
CHECKSUM = "crc32"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside *path*, which is renamed to *path* if the block succeeds, and removed otherwise.

    Readers never see a partial file, concurrent writers do not disturb each other, and leftovers of a killed writer
    are overwritten by the next one. Write into the temporary file itself: a file that replaces it is not locked. Raises
    GancompError with *path* if writing fails, such as on a full disk.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _temporary(path)
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    placed = False
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())  # so that a power loss cannot leave an empty file under the name
        temporary.chmod(0o644 & ~_umask())
        temporary.replace(path)
        placed = True  # now another writer may use a temporary file of that name
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if not placed:
            temporary.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside *path*: replaces *path* when the block succeeds, and is removed when it raises.

    Raises GancompError naming *path* when the disk is full or refuses the write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
            made = Path(name) / path.name
            made.mkdir()
            yield made
            if path.exists():
                path.replace(Path(name) / "replaced")  # a rename replaces empty folders only
            made.replace(path)
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error


def _temporary(path: Path) -> tuple[int, Path]:
    """The first `.{name}.{number}{suffix}` beside *path* that no running writer has locked, emptied, and its open file.

    The writer's lock ends with its process. If files cannot be locked, the name is unique.
    """
    numbers = count()
    try:
        while True:
            temporary = path.parent / f".{path.name}.{next(numbers)}{path.suffix}"
            if (handle := _claim(temporary)) is not None:
                break
    except OSError:  # files cannot be locked here, or it is another user's
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        return handle, Path(name)
    os.ftruncate(handle, 0)
    while (left := path.parent / f".{path.name}.{next(numbers)}{path.suffix}").exists():
        with suppress(OSError):
            if (other := _claim(left)) is not None:
                left.unlink()
                os.close(other)
    return handle, temporary


def _claim(temporary: Path) -> int | None:
    """The locked file of that name, made if need be; None if a living writer holds it."""
    import fcntl

    while True:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two calls its writer may have given it its final name.
            if temporary.exists() and os.path.samestat(os.fstat(handle), temporary.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        except OSError:  # files cannot be locked here, so no writer uses it
            if not os.fstat(handle).st_size:
                temporary.unlink(missing_ok=True)
            os.close(handle)
            raise
        os.close(handle)


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path | str, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(data: Any) -> str:
    """The text of a JSON file; equal data give equal bytes."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path: Path | str, data: Any) -> None:
    """Write JSON for `read_json`; a mapping also gets a checksum of its content."""
    if isinstance(data, Mapping):
        data = {**data, CHECKSUM: _checksum_of_json(json.loads(json.dumps(data)))}
    write_text(path, json_text(data))


def read_json(path: Path | str) -> Any:
    """The data of a file from `write_json`, without its checksum; a file without a checksum is not checked.

    Raises GancompError with *path* if it is missing, not JSON, or its checksum differs.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GancompError(f"{path}: missing; run the stage that writes it first") from None
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GancompError(f"{path}: not valid JSON ({error}); delete it and run its stage again") from None
    if isinstance(data, dict) and CHECKSUM in data and data.pop(CHECKSUM) != _checksum_of_json(data):
        raise GancompError(
            f"{path}: damaged, or changed by hand: its checksum differs; delete it and run its stage again"
        )
    return data


def _checksum_of_json(data: Any) -> str:
    return _crc32(json.dumps(data, sort_keys=True))


def write_csv(
    path: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, checked: bool = False
) -> None:
    """Write *rows* as CSV in the given order; if *checked*, each with a checksum in the last column.

    Raises ValueError for a key outside *columns*.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*columns, CHECKSUM] if checked else columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, CHECKSUM: _crc32(",".join(str(row[name]) for name in columns))} if checked else row)


def read_csv(path: Path | str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """Columns and rows of a CSV, without its checksums; a file without checksums is not checked.

    Raises GancompError with *path* and line if it cannot be read, or a row is damaged.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            columns, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GancompError(f"{path}: cannot be read ({error}); delete it and run its stage again") from None
    checked = columns[-1:] == [CHECKSUM]
    for number, line in enumerate(lines, start=2):
        if len(line) != len(columns) or (checked and line.pop() != _crc32(",".join(line))):
            fault = "its checksum differs" if checked else "it has too few or too many cells"
            raise GancompError(f"{path}, line {number}: damaged: {fault}; delete the file and run its stage again")
    columns = columns[:-1] if checked else columns
    return tuple(columns), [dict(zip(columns, line, strict=True)) for line in lines]


def _crc32(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes; of a folder, that of the names and hashes of its files."""
    if (folder := Path(path)).is_dir():
        files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        lines = [f"{file_sha256(folder / name)}  {name}\n" for name in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
