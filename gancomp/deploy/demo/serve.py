"""A small server for this machine alone, with the headers that let WebAssembly use threads."""

from __future__ import annotations

import functools
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gancomp.errors import GancompError

TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
HEADERS = {
    # Without these two a page has no SharedArrayBuffer, and WebAssembly one thread.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of each file."""

    def list_directory(self, path: Any) -> None:
        self.send_error(404)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of *folder* on 127.0.0.1; port 0 is any that is free. GancompError if the port is taken."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise GancompError(f"port {port}: {error.strerror}; name another with --port, 0 for any") from None


def serve(folder: Path, port: int = 0, browser: bool = True) -> None:
    """Show *folder* until Ctrl-C."""
    with server(folder, port) as running:
        address = f"http://127.0.0.1:{running.server_address[1]}/"
        print(f"{address}  (Ctrl-C ends)", flush=True)
        if browser:
            webbrowser.open(address)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
