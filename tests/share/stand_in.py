"""A stand-in for the Hugging Face Hub on this machine: the endpoints for pushing and fetching a generator.

It answers as the hub's API is documented and as its Python client reads it: `repos/create`, `preupload` (every file is
small enough to lie in the commit), `commit` (lines of JSON, contents in base64), and `resolve` with the commit and the
hash of a file in the headers. The hub's storage of large files (LFS, Xet) is not stood in for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_a_test"


class Hub(ThreadingHTTPServer):
    """Repositories: for each the files of every commit, the newest last."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self, repository: str, revision: str = "main") -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(repository, [])
        named = [one for one in commits if revision in ("main", one[0])]
        return named[-1] if named else None


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            there = name in self.server.commits
            self.server.commits.setdefault(name, [])
            self._json(409 if there else 200, {"url": f"{self.server.endpoint}/{name}", "id": name})
        elif found := re.fullmatch(r"/api/models/(\S+)/preupload/main(\?\S*)?", self.path):
            named = [file["path"] for file in json.loads(body)["files"]]
            self._json(200, {"files": [{"path": one, "uploadMode": "regular", "shouldIgnore": False} for one in named]})
        elif found := re.fullmatch(r"/api/models/(\S+)/commit/main(\?\S*)?", self.path):
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            before = self.server.files(found[1])
            whole = (before[1] if before else {}) | files
            commit = hashlib.sha1(b"".join(whole.values())).hexdigest()
            self.server.commits[found[1]].append((commit, whole))
            self._json(200, {"commitUrl": f"{self.server.endpoint}/{found[1]}/commit/{commit}", "commitOid": commit})
        elif self.path == "/api/validate-yaml":
            self._json(200, {"errors": [], "warnings": []})
        else:
            self._json(404, {"error": self.path})

    def do_HEAD(self) -> None:
        self._resolved(with_content=False)

    def do_GET(self) -> None:
        self._resolved(with_content=True)

    def _resolved(self, with_content: bool) -> None:
        self.server.asked.append(self.path)
        found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(\S+)", self.path)
        there = self.server.files(found[1], found[2]) if found else None
        if found is None or there is None or found[3] not in there[1]:
            code = "EntryNotFound" if there else "RepoNotFound"
            self._answer(404, b"", {"X-Error-Code": code, "X-Error-Message": f"{self.path}: not here"}, with_content)
            return
        commit, files = there
        content = files[found[3]]
        told = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        self._answer(200, content, told, with_content)

    def _json(self, status: int, data: Any) -> None:
        self._answer(status, json.dumps(data).encode(), {"Content-Type": "application/json"}, True)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], with_content: bool) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
