"""Build a data set: aligned pictures A|B, their attribution, and at last the manifest."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gancomp import artifacts
from gancomp.config import AlignedDataset, Dataset, Split
from gancomp.data import aligned, manifest, openmoji
from gancomp.data.images import encode_png
from gancomp.data.manifest import Manifest, hash_of, load_manifest, verify
from gancomp.data.plan import Plan
from gancomp.errors import GancompError
from gancomp.progress import Progress

__all__ = ["Manifest", "build", "load_manifest", "verify"]

ATTRIBUTION = "ATTRIBUTION.txt"


def build(name: str, dataset: Dataset, root: Path, downloads: Path) -> dict[str, Any]:
    """Write `train/`, `val/`, `ATTRIBUTION.txt` and, last, `manifest.json` into *root*; returns the manifest.

    Equal settings and sources give equal bytes, also after a build that was killed; files in `train/` and `val/`
    that do not belong to the data set are removed. Pairs whose input side (by `direction`) is one colour are left
    out and listed under "rejected": instance normalisation amplifies zero variance to noise.
    Raises GancompError when a source is missing or damaged, a picture is unusable, a split would be empty, or the
    disk is full.
    """
    if isinstance(dataset, AlignedDataset):
        _refuse_overwriting(dataset, root)
        plan = aligned.plan(dataset)
    else:
        plan = openmoji.plan(dataset, downloads)
    _check_splits(name, plan.splits)
    (root / manifest.NAME).unlink(missing_ok=True)  # it vouches for pictures that may now change
    _remove_stale(root, set(plan.splits))

    hashes: dict[str, str] = {}
    rejected: dict[str, str] = {}
    for file, digest in _write_pictures(plan, dataset, root, f"data set {name}"):
        if digest is None:
            rejected[file] = f"input side {dataset.direction[0]} is one colour"
        else:
            hashes[file] = digest
    splits = {file: split for file, split in plan.splits.items() if file in hashes}
    _check_splits(name, splits)
    _remove_stale(root, set(hashes))

    built = Manifest(
        name=name,
        dataset=dataset.model_dump(mode="json"),
        size=dataset.size,
        splits={split: tuple(sorted(f for f in splits if splits[f] == split)) for split in get_args(Split)},
        sha256=hashes,
        data_hash=hash_of(hashes),
        attribution=plan.attribution,
        rejected=rejected,
    ).model_dump(mode="json")
    artifacts.write_text(root / ATTRIBUTION, plan.attribution)
    artifacts.write_json(root / manifest.NAME, built)
    return built


def _write_pictures(plan: Plan, dataset: Dataset, root: Path, label: str) -> Iterable[tuple[str, str | None]]:
    """Draw and write every picture; yields its file and sha256, or None for one that is rejected."""

    def write(file: str) -> str | None:
        sides = plan.draw(file)
        source = sides[0 if dataset.direction == "AtoB" else 1]
        if (source == source[0, 0]).all():
            return None
        png = encode_png(np.concatenate(sides, axis=1))
        with artifacts.atomic(root / file) as temporary:
            temporary.write_bytes(png)
        return hashlib.sha256(png).hexdigest()

    files = sorted(plan.splits)
    # Threads: decoding and encoding release the interpreter lock. map() cancels what is left when one fails.
    with (
        ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool,
        Progress(label, len(files), "pairs") as bar,
    ):
        for file, digest in zip(files, pool.map(write, files), strict=True):
            bar.advance(1)
            yield file, digest


def _check_splits(name: str, splits: Mapping[str, Split]) -> None:
    """Every later stage needs all three splits, so an empty one is an error here, before any work."""
    counts = Counter(splits.values())
    for split in get_args(Split):
        if not counts[split]:
            raise GancompError(
                f"data set {name}: split {split} has no pictures ({len(splits)} in all); give it more pictures "
                "(limit), or change val_fraction or search_fraction"
            )


def _refuse_overwriting(dataset: AlignedDataset, root: Path) -> None:
    """The pictures one brings must not lie where the prepared ones are written, and stale ones removed."""
    own = {(Path(dataset.path) / kind).resolve() for kind in ("train", "val", "test")}
    for kind in ("train", "val"):
        written = (root / kind).resolve()
        if any(written == source or written in source.parents or source in written.parents for source in own):
            raise GancompError(
                f"{dataset.path}: these pictures lie where the prepared data set is written ({root}); "
                "move them elsewhere or give the data set another name"
            )


def _remove_stale(root: Path, files: set[str]) -> None:
    """Remove what other settings or a killed build left in train/ and val/, and nothing elsewhere."""
    for kind in ("train", "val"):
        folder = root / kind
        if folder.is_symlink():
            raise GancompError(f"{folder}: is a link; stale pictures are removed there, so it must be a plain folder")
        if folder.is_dir():
            for path in folder.iterdir():
                if f"{kind}/{path.name}" not in files and (path.is_symlink() or path.is_file()):
                    path.unlink()
