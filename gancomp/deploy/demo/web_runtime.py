"""onnxruntime-web, fetched by its name from the npm registry that this machine uses, pinned and held against a hash."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path

from gancomp.data.archives import each_member
from gancomp.data.sources import npm_pack
from gancomp.errors import GancompError
from gancomp.pipeline.files import atomic

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
#: The integrity that the registry publishes with this version (SHA-512).
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
#: WebAssembly with SIMD and threads, and WebGPU.
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
LARGEST = 200_000_000


def fetch_web_runtime(folder: Path, archive: Path | None = None) -> None:
    """Lay FILES into *folder*, from *archive* (the package's .tgz) or else by `npm pack`.

    GancompError if there is no npm, it fails, or the package is not the one whose hash is known.
    """
    with tempfile.TemporaryDirectory() as temporary:
        package = archive or _packed(Path(temporary))
        if not package.is_file():
            raise GancompError(f"{package}: no such file; it is what `npm pack {PACKAGE}@{VERSION}` writes")
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise GancompError(f"{package}: is not {PACKAGE} {VERSION}: its SHA-512 is {found}, not {INTEGRITY}")
        wanted = {f"package/dist/{name}": name for name in FILES}
        content = {wanted[member]: data for member, data in each_member(package, wanted.__contains__, LARGEST)}
    for name in FILES:
        with atomic(folder / name) as path:
            path.write_bytes(content[name])


def _packed(folder: Path) -> Path:
    try:
        return npm_pack(PACKAGE, VERSION, folder)
    except GancompError as error:
        raise GancompError(
            f"{error}\nA package that lies here is taken by `gancomp web-runtime --archive FILE`"
        ) from None
