"""Downloads: mirrors in order, resumed after interruptions, verified, and renamed only when complete.

Not by pooch: it starts an interrupted file again from its first byte (the data sets here have up to 2 GB), knows one
address for a file, and limits neither the size nor where a redirect may lead.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gancomp import __version__
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256, read_json, write_json, write_text
from gancomp.pipeline.progress import Progress

#: Maximum size of a file, whatever the server reports.
MAX_BYTES = 16 << 30
#: A mirror is given up after this many attempts in a row without new bytes; pauses (in seconds) double.
ATTEMPTS = 4
PAUSE = 1.0
#: Seconds without a byte after which a connection counts as lost.
TIMEOUT = 30.0
_MB = 1 << 20
_PIECE = 1 << 18


class _Failed(Exception):
    """This address cannot provide the file; the message says why."""


class _Interrupted(_Failed):
    """This attempt failed, but another one may succeed."""


def fetch_file(
    urls: Sequence[str],
    path: Path,
    sha256: str | None = None,
    *,
    check: Callable[[Path], None] | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    """Download one of *urls* (mirrors, in order) to *path*; returns its sha256.

    A complete file at *path* is kept; a damaged one is downloaded again. Without a published *sha256*,
    that of the first download is recorded in `NAME.sha256` beside it, and every later one must match.
    *check* inspects a file before it is accepted (and raises GancompError to reject it).

    A partial download is kept in `NAME.part` and resumed, by this call after a lost connection and by a later one
    after a kill, if the server still has the same file. The next address is tried when one lacks the file,
    sends wrong bytes or more than *max_bytes*, or redirects from https to http or to another scheme.
    Only one process at a time downloads a file.

    Raises GancompError with every address and its reason if all of them fail, and if *path* cannot be
    written; *path* is then unchanged.
    """
    record = path.with_name(f"{path.name}.sha256")
    with _alone(path):
        expected = sha256 or _recorded(record)
        found = file_sha256(path) if path.is_file() else None
        if found is not None and expected in (None, found):
            if expected is None and check is not None:
                check(path)
        else:
            partial = _Partial(path)
            found = _from_any(urls, partial, expected, check, max_bytes, damaged=found is not None)
            partial.take_name()
        if expected is None:
            write_text(record, f"{found}\n")
        return found


def _recorded(record: Path) -> str | None:
    """The recorded sha256 of the first download, or None before that."""
    try:
        text = record.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise GancompError(f"{record}: cannot be read ({error}); delete it to accept the file as it is now") from None
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise GancompError(f"{record}: holds no sha256; delete it to accept the file as it is now")
    return text


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of *path*, because two data sets of one archive may be built at the same time."""
    import fcntl

    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("ab")
    except OSError as error:
        raise GancompError(f"{path}: cannot be written: {error.strerror or error}") from None
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # released when the file is closed, also by a kill
        yield


def _from_any(
    urls: Sequence[str],
    partial: _Partial,
    expected: str | None,
    check: Callable[[Path], None] | None,
    max_bytes: int,
    damaged: bool,
) -> str:
    """Complete *partial* from one of *urls*; returns its sha256. The address that it was begun from is tried first."""
    begun_by = partial.read_origin().get("url")
    reasons = []
    for url in sorted(urls, key=lambda url: url != begun_by):
        try:
            _download(url, partial, max_bytes)
            return _accepted(partial, expected, check)
        except _Failed as reason:
            reasons.append(f"  {url}: {reason}")
    path, record = partial.path, partial.path.with_name(f"{partial.path.name}.sha256")
    hint = f" (sha256 {expected})" if expected else ""
    if expected and record.is_file() and _recorded(record) == expected:
        hint += f"; if the published file has changed, delete {record}"
    raise GancompError(
        "\n".join(
            [
                f"{path.name} could not be fetched{f' ({path} exists, but is damaged)' if damaged else ''}:",
                *(reasons or ["  no address is known for it"]),
                "Connect to the network and run this again (the partial download is kept), or put the file at "
                f"{path} by hand{hint}.",
            ]
        )
    )


def _accepted(partial: _Partial, expected: str | None, check: Callable[[Path], None] | None) -> str:
    """The sha256 of a complete download; a file with a wrong one is removed."""
    found = file_sha256(partial.part)
    try:
        if expected not in (None, found):
            raise _Failed(f"its sha256 is {found} and not {expected}: another file, or modified in transit")
        if check is not None:
            check(partial.part)
    except GancompError as error:
        partial.discard()
        raise _Failed(f"not the right file: {error}") from None
    except _Failed:
        partial.discard()
        raise
    return found


# --- one address -------------------------------------------------------------------------------


def _download(url: str, partial: _Partial, max_bytes: int) -> None:
    """Try one address until the file is complete, or ATTEMPTS in a row brought no new bytes."""
    before, failures = partial.size_from(url), 0
    while True:
        try:
            return _attempt(url, partial, max_bytes)
        except _Interrupted as reason:
            arrived = partial.size_from(url)
            failures = 1 if arrived > before else failures + 1
            before = arrived
            if failures == ATTEMPTS:
                raise _Failed(f"{reason} (given up after {ATTEMPTS} attempts)") from None
            pause = PAUSE * 2 ** (failures - 1)
            print(f"{partial.path.name}: {reason}; trying again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)


def _attempt(url: str, partial: _Partial, max_bytes: int) -> None:
    """One request, for the rest of the file if its beginning exists."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Failed("only http and https addresses are fetched")
    origin = partial.read_origin()
    offset = partial.size_from(url)
    if offset and offset == origin["total"]:
        return
    headers = {"User-Agent": f"gancomp/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": origin["validator"]}
    try:
        with build_opener(_Redirects).open(Request(url, headers=headers), timeout=TIMEOUT) as response:
            _receive(response, url, partial, offset, max_bytes)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # the server's file is shorter than the partial download
            partial.discard()
        retry = error.code >= 500 or error.code in (408, 416, 425, 429)
        raise (_Interrupted if retry else _Failed)(f"HTTP {error.code} {error.reason}") from None
    except URLError as error:
        reason = error.reason
        # An unknown host is no reason to retry, unless the network was lost during the download.
        unknown = isinstance(reason, socket.gaierror) and not offset
        fatal = unknown or isinstance(reason, ssl.SSLCertVerificationError)
        raise (_Failed if fatal else _Interrupted)(getattr(reason, "strerror", None) or str(reason)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _Interrupted(f"connection cut ({error or type(error).__name__})") from None


class _Redirects(HTTPRedirectHandler):
    """Redirects stay within http and https, and never leave https."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        scheme = urlsplit(urljoin(req.full_url, newurl)).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            fp.close()
            raise _Failed(f"redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(response: http.client.HTTPResponse, url: str, partial: _Partial, offset: int, max_bytes: int) -> None:
    """Append *response* to the partial file, from *offset* on if the server supports it."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Failed("sends the file in another encoding than requested")
    validator = _validator(response.headers)
    if response.status == 206 and offset:
        start, total = _content_range(response.headers.get("Content-Range", ""))
        origin = partial.read_origin()
        if start != offset or total != origin["total"] or validator != origin["validator"]:
            partial.discard()
            raise _Interrupted("the file there has changed since the download began")
    elif response.status == 200:
        offset, total = 0, _content_length(response.headers.get("Content-Length"))
        partial.begin(url, validator, total)
    else:
        raise _Failed(f"HTTP {response.status} in response to a plain request")
    if total is not None and total > max_bytes:
        partial.discard()
        raise _Failed(f"is {total:,} bytes, more than the limit of {max_bytes:,}")

    size = offset
    bar = Progress(partial.path.name, -(-total // _MB), "MB", done=offset // _MB) if total else None
    with bar or nullcontext():
        while piece := response.read1(_PIECE):
            partial.append(piece)
            size += len(piece)
            if size > (max_bytes if total is None else total):
                partial.discard()
                raise _Failed(f"sends more than {max_bytes if total is None else total:,} bytes")
            if bar:
                bar.advance(size // _MB - bar.done)
        if total is not None and size < total:
            raise _Interrupted(f"connection cut after {size:,} of {total:,} bytes")
        if bar:
            bar.advance(bar.total - bar.done)


def _validator(headers: Any) -> str | None:
    """The validator that identifies a file's version: its strong ETag, else its date."""
    etag: str | None = headers.get("ETag")
    date: str | None = headers.get("Last-Modified")
    return etag if etag and not etag.startswith("W/") else date


def _content_range(text: str) -> tuple[int, int] | tuple[None, None]:
    """First byte and whole size of `bytes 100-199/200`."""
    match = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", text.strip())
    return (int(match[1]), int(match[2])) if match else (None, None)


def _content_length(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,15}", text.strip()) else None


# --- partial downloads -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Partial:
    """`NAME.part`, and `NAME.part.json` beside it with the address, the validator and the size of the file."""

    path: Path

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def _origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    def read_origin(self) -> dict[str, Any]:
        """{url, validator, total}; empty if it is missing or damaged, so that the download starts over."""
        try:
            origin = read_json(self._origin)
        except GancompError:
            return {}
        return origin if isinstance(origin, dict) and origin.keys() == {"url", "validator", "total"} else {}

    def size_from(self, url: str) -> int:
        """Bytes that a request to *url* can resume from; none without a validator, which detects a changed file."""
        origin = self.read_origin()
        if origin.get("url") != url or not isinstance(origin["validator"], str) or not self.part.is_file():
            return 0
        return self.part.stat().st_size

    def begin(self, url: str, validator: str | None, total: int | None) -> None:
        self.discard()
        write_json(self._origin, {"url": url, "validator": validator, "total": total})
        self.append(b"")

    def append(self, piece: bytes) -> None:
        try:
            with self.part.open("ab") as stream:
                stream.write(piece)
        except OSError as error:  # a full disk is not a lost connection
            raise GancompError(f"{self.part}: cannot be written: {error.strerror or error}") from error

    def discard(self) -> None:
        self._origin.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def take_name(self) -> None:
        """Rename the complete file after its bytes are flushed to the disk."""
        try:
            with self.part.open("rb") as stream:
                os.fsync(stream.fileno())
            self.part.replace(self.path)
        except OSError as error:
            raise GancompError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        self._origin.unlink(missing_ok=True)
