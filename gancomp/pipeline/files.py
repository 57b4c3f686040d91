"""Files that others read: written whole or not at all, with checksums."""

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

#: The key of a JSON mapping that holds the checksum of the rest, and the last column of a CSV whose rows have one.
CHECKSUM = "crc32"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside *path* that takes its name when the block ends well, and is removed otherwise.

    A reader never sees half a file, two writers at once never each other's, and what a killed writer left behind is
    written over by the next one. Write into that very file: one that takes its place is not locked. Raises
    GancompError naming *path* when the disk is full or refuses the write.
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
            os.fsync(stream.fileno())  # a power loss must not leave the name without the content
        temporary.chmod(0o644 & ~_umask())
        temporary.replace(path)
        placed = True  # from here on another writer may have a temporary file of that name
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if not placed:
            temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(path: Path) -> tuple[int, Path]:
    """The first `.{name}.{number}{suffix}` beside *path* that no living writer holds, emptied, and its open file.

    Whoever writes it holds a lock, which ends with the process. Where files cannot be locked, a name of its own.
    """
    numbers = count()
    try:
        while True:
            temporary = path.parent / f".{path.name}.{next(numbers)}{path.suffix}"
            if (handle := _claim(temporary)) is not None:
                break
    except OSError:  # no locks here, or another user's file
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
        except OSError:  # no locks here, so nobody writes into it
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
    """JSON as files hold it: equal data are equal bytes."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path: Path | str, data: Any) -> None:
    """JSON that gancomp reads again: a mapping also gets a checksum of its content."""
    if isinstance(data, Mapping):
        data = {**data, CHECKSUM: _checksum_of_json(json.loads(json.dumps(data)))}
    write_text(path, json_text(data))


def read_json(path: Path | str) -> Any:
    """What `write_json` wrote, without its checksum; a file that has none is taken as it is.

    Raises GancompError naming *path* when it is missing, not JSON, or not what was written.
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
            f"{path}: damaged, or changed by hand: its checksum is another; delete it and run its stage again"
        )
    return data


def _checksum_of_json(data: Any) -> str:
    return _crc32(json.dumps(data, sort_keys=True))


def write_csv(
    path: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, checked: bool = False
) -> None:
    """Rows as CSV in the order given, each with a checksum in a last column where *checked*.

    A key outside *columns* raises ValueError.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*columns, CHECKSUM] if checked else columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, CHECKSUM: _crc32(",".join(str(row[name]) for name in columns))} if checked else row)


def read_csv(path: Path | str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """Columns and rows of a CSV, without its checksums; one that has none is taken as it is.

    Raises GancompError naming *path*, and the line, where it cannot be read or a row is not what was written.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            columns, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GancompError(f"{path}: cannot be read ({error}); delete it and run its stage again") from None
    checked = columns[-1:] == [CHECKSUM]
    for number, line in enumerate(lines, start=2):
        if len(line) != len(columns) or (checked and line.pop() != _crc32(",".join(line))):
            fault = "its checksum is another" if checked else "it has too few or too many cells"
            raise GancompError(f"{path}, line {number}: damaged: {fault}; delete the file and run its stage again")
    columns = columns[:-1] if checked else columns
    return tuple(columns), [dict(zip(columns, line, strict=True)) for line in lines]


def _crc32(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def file_sha256(path: Path | str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
