"""A loopback HTTP server with the faults of real ones."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """One file and how it is served.

    `cut_after`: bytes of a body after which the connection breaks, one for each attempt in turn, then never;
    `statuses`: answered instead, one for each attempt in turn, then never;
    `location`: where it redirects to; `length`: what Content-Length claims; `ranges`: whether Range is heeded, and
    `checks_state`: whether If-Range is; `then`: the content that takes its place after the first answer.
    """

    content: bytes = b""
    etag: str | None = '"1"'
    date: str | None = None
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str | None = None
    length: int | None = None
    says_length: bool = True
    ranges: bool = True
    checks_state: bool = True
    encoding: str | None = None
    then: bytes | None = None
    #: The Range header of every request, None for a whole one.
    asked: list[str | None] = field(default_factory=list)


class Server:
    """`serve()` starts one; `server.files[NAME]` is what `server.url(NAME)` serves, and all else is 404."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.port = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def add(self, name: str, content: bytes = b"", **faults: Any) -> str:
        self.files[name] = Served(content, **faults)
        return self.url(name)


@contextmanager
def serve() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served = server.files.get(self.path.lstrip("/"))
            if served is None:
                self.send_error(404)
            else:
                answer(self, served)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.port = listening.server_port
        # A short poll: shutting down waits for it.
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    asked = handler.headers.get("Range")
    served.asked.append(asked)
    if served.statuses:
        handler.send_error(served.statuses.pop(0))
        return
    if served.location is not None:
        handler.send_response(302)
        handler.send_header("Location", served.location)
        handler.end_headers()
        return

    content, start = served.content, 0
    state = served.etag or served.date
    if asked and served.ranges and (handler.headers.get("If-Range") == state or not served.checks_state):
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        assert match
        start = int(match[1])
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    body = content[start:]
    if served.says_length:
        handler.send_header("Content-Length", str(len(body) if served.length is None else served.length))
    for name, value in (("ETag", served.etag), ("Last-Modified", served.date), ("Content-Encoding", served.encoding)):
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    cut = served.cut_after.pop(0) if served.cut_after else None
    handler.wfile.write(body[:cut])
    if served.then is not None:
        served.content, served.etag, served.then = served.then, '"2"', None
