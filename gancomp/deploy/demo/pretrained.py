"""The compressed generator that comes with gancomp, flat drawing → 3D rendering, and its page."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from gancomp.deploy.demo.build import PAGE, Shown, write_page
from gancomp.deploy.demo.web_runtime import FILES, fetch_web_runtime
from gancomp.deploy.runtimes import Pixels
from gancomp.pipeline import paths
from gancomp.pipeline.files import file_sha256, read_json, write_json

PRETRAINED = Path(__file__).parents[1] / "pretrained" / "fluent"
TITLE = "Paint in flat colours, and watch a compressed network render it"


def pretrained_page() -> Path:
    """`results/pretrained/demo/index.html`, made if it is not there or of another version; returns its path."""
    page = paths.stage("pretrained", "demo") / "index.html"
    record = page.with_name("made_from.json")
    made_from = {"sha256": _fingerprint()}
    if page.is_file() and record.is_file() and read_json(record) == made_from:
        return page
    print("Preparing the page, once: the browser's runtime is fetched, the network is exported …", flush=True)
    if not all((paths.WEB_RUNTIME / name).is_file() for name in FILES):
        fetch_web_runtime(paths.WEB_RUNTIME)
    models = [Shown("compressed", "Compressed", PRETRAINED / "compressed.safetensors")]
    examples = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(PRETRAINED.glob("example-*.png"))]
    real: Pixels = (np.stack(examples[:4]).transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    write_page(page.parent, TITLE, models, examples, paths.WEB_RUNTIME, real=real)
    write_json(record, made_from)
    return page


def _fingerprint() -> str:
    files = sorted([*PRETRAINED.iterdir(), *PAGE.iterdir()])
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()
