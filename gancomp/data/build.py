"""Build a data set: pictures, their attribution, and finally the manifest."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gancomp.data import aligned, cityscapes, earth, fluent, folders, labels, manifest, openmoji, published
from gancomp.data.images import encode_png
from gancomp.data.manifest import Manifest, hash_of, load_manifest, verify
from gancomp.data.plan import Picture, Plan, Side
from gancomp.data.settings import (
    AlignedDataset,
    CityscapesDataset,
    Dataset,
    DownloadDataset,
    EarthDataset,
    FluentDataset,
    FoldersDataset,
    LabelsDataset,
    OpenmojiDataset,
    OwnDataset,
    Split,
)
from gancomp.data.values import unpack
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.files import atomic, write_json, write_text
from gancomp.pipeline.progress import Progress

__all__ = ["Manifest", "build", "check", "load_manifest", "verify"]

ATTRIBUTION = "ATTRIBUTION.txt"
#: Pictures that a warning lists.
MOST_TOLD = 5
#: The folders that a build writes pictures to.
FOLDERS = ("train", "val", "truth")
#: Maximum files of one folder: folders with many thousands are slow on shared file systems and to browse.
IN_A_FOLDER = 1_000


def build(name: str, dataset: Dataset, root: Path, downloads: Path) -> dict[str, Any]:
    """Write `train/`, `val/`, `ATTRIBUTION.txt` and, last, `manifest.json` into *root*; returns the manifest.

    More than IN_A_FOLDER pictures go into numbered sub-folders. Equal settings and sources give equal bytes, also after
    a killed build; files in `train/`, `val/` and `truth/` that do not belong to the data set are removed.
    Input photos of a single colour, and single-colour targets of label maps, are left out and listed
    under "rejected": instance normalisation amplifies zero variance to noise. Raises GancompError when a source is
    missing or damaged, a picture is unusable, a split would be empty, or the disk is full.
    """
    plan = _checked_plan(name, dataset, root, downloads)
    (root / manifest.NAME).unlink(missing_ok=True)  # its pictures may now change
    places = _places(plan)
    _remove_stale(root, set(places.values()))

    for side, found in plan.ranges.items():
        print(
            f"data set {name}: {dataset.role_of(side)} values {found.low:g} to {found.high:g} ({found.type}) map to "
            "darkest and brightest; 16 bits are kept"
        )
    written: dict[str, str] = {}
    rejected: dict[str, str] = {}
    faint: dict[str, str] = {}
    for file, outcome in _write_pictures(plan, dataset, {file: root / at for file, at in places.items()}, name):
        if isinstance(outcome, str):
            rejected[file] = outcome
        else:
            written |= outcome.written
            faint |= {file: outcome.faint} if outcome.faint else {}
    _warn_of_faint(name, faint, len(plan.splits))
    splits = {file: split for file, split in plan.splits.items() if file in written}
    _check_splits(name, plan, set(splits))
    _remove_stale(root, {places[file] for file in written})

    def members(side: Side) -> dict[Split, tuple[str, ...]]:
        """The files of each split, sorted; for side B those that contain only B."""
        own = sorted(file for file in splits if (plan.alone.get(file, "A") == "B") == (side == "B"))
        return {split: tuple(places[file] for file in own if splits[file] == split) for split in get_args(Split)}

    built = Manifest(
        name=name,
        dataset=dataset.model_dump(mode="json"),
        kind=dataset.kind,
        size=dataset.size,
        splits=members("A"),
        splits_b={split: files for split, files in members("B").items() if files},
        classes=plan.classes,
        sha256={places[file]: digest for file, digest in written.items() if file in splits},
        truth={places[file]: digest for file, digest in written.items() if file not in splits},
        data_hash=hash_of(written),
        attribution=plan.attribution,
        rejected=rejected,
        ranges={dataset.role_of(side): found for side, found in plan.ranges.items()},
    ).model_dump(mode="json")
    write_text(root / ATTRIBUTION, plan.attribution)
    write_json(root / manifest.NAME, built)
    return built


def check(name: str, dataset: Dataset, root: Path, downloads: Path, sample: int = 64) -> None:
    """Check the data set on at most *sample* pictures, without writing. Raises GancompError as `build`."""
    plan = _checked_plan(name, dataset, root, downloads)
    files = sorted(plan.splits)
    drawn = files[:: -(-len(files) // sample)]
    rejected = {file for file in drawn if _rejected(plan.draw(file), plan.alone.get(file), dataset)}
    _check_splits(name, plan, set(files) - rejected)


def planned_counts(dataset: Dataset) -> dict[str, int] | None:
    """The maximum size of each split of the user's pictures, on the larger side if unpaired; None
    for a data set that is downloaded. Raises GancompError as `build`."""
    if not _brought(dataset):
        return None
    plan = _plan(dataset, paths.DOWNLOADS)
    sides = Counter((split, plan.alone.get(file, "A")) for file, split in plan.splits.items())
    return {split: max(sides[split, "A"], sides[split, "B"]) for split in get_args(Split)}


def _checked_plan(name: str, dataset: Dataset, root: Path, downloads: Path) -> Plan:
    _refuse_overwriting(dataset, root)
    plan = _plan(dataset, downloads)
    _check_splits(name, plan, set(plan.splits))
    return plan


def _plan(dataset: Dataset, downloads: Path) -> Plan:
    match dataset:
        case OpenmojiDataset():
            return openmoji.plan(dataset, downloads)
        case FluentDataset():
            return fluent.plan(dataset, downloads)
        case AlignedDataset():
            return aligned.plan(dataset)
        case FoldersDataset():
            return folders.plan(dataset)
        case LabelsDataset():
            return labels.plan(dataset)
        case DownloadDataset():
            return published.plan(dataset, downloads)
        case CityscapesDataset():
            return cityscapes.plan(dataset)
        case EarthDataset():
            return earth.plan(dataset, downloads)


def _places(plan: Plan) -> dict[str, str]:
    """The path of each file of *plan*, in order: its name, or, if there are too many for a folder, a path in numbered
    sub-folders."""
    truths = [_truth_of(file) for file, split in plan.splits.items() if plan.truth and split != "train-1"]
    places = {}
    for folder in FOLDERS:
        files = sorted(file for file in (*plan.splits, *truths) if file.startswith(f"{folder}/"))
        for rank, file in enumerate(files):
            many = len(files) > IN_A_FOLDER
            places[file] = f"{folder}/{rank // IN_A_FOLDER:04}/{Path(file).name}" if many else file
    return places


@dataclass(frozen=True)
class _Written:
    """The hashes of a picture's written files, and a note on sides that use little of their range."""

    written: dict[str, str]
    faint: str


def _write_pictures(
    plan: Plan, dataset: Dataset, places: Mapping[str, Path], name: str
) -> Iterable[tuple[str, _Written | str]]:
    """Render and write every picture; yields its file and hashes, or why it is rejected."""

    def write(file: str) -> _Written | str:
        sides = plan.draw(file)
        reason = _rejected(sides, plan.alone.get(file), dataset)
        if reason:
            return reason
        pictures = {file: _side_by_side(sides)}
        if plan.truth and plan.splits[file] != "train-1":
            pictures[_truth_of(file)] = plan.truth(file)
        written = {part: _write(places[part], picture) for part, picture in pictures.items()}
        return _Written(written, _faint(sides, plan, file, dataset))

    files = sorted(plan.splits)
    # Threads: decoding and encoding release the interpreter lock. map() cancels the rest when one fails.
    with (
        ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool,
        Progress(f"data set {name}", len(files), "pictures") as bar,
    ):
        for file, outcome in zip(files, pool.map(write, files), strict=True):
            bar.advance(1)
            yield file, outcome


def _write(path: Path, picture: Picture) -> str:
    """Write a PNG; returns its sha256."""
    png = encode_png(picture)
    with atomic(path) as temporary:
        temporary.write_bytes(png)
    return hashlib.sha256(png).hexdigest()


def _side_by_side(sides: tuple[Picture, ...]) -> Picture:
    """A|B, or the only side; if one has alpha, the other gets an opaque alpha channel."""
    channels = max(side.shape[2] for side in sides)
    opaque = [(0, 0), (0, 0), (0, 1)]
    return np.concatenate(
        [side if side.shape[2] == channels else np.pad(side, opaque, constant_values=255) for side in sides], axis=1
    )


def _rejected(sides: tuple[Picture, ...], alone: Side | None, dataset: Dataset) -> str:
    """Why a picture is rejected, or "". A label map of one class is accepted; only its photo is checked."""
    input_side: Side = "A" if dataset.direction == "AtoB" else "B"
    if alone:
        judged, name = sides[0], f"side {alone}"
    elif dataset.kind == "labels":
        judged, name = sides[1 if input_side == "A" else 0], "photo"
    else:
        judged, name = sides[0 if input_side == "A" else 1], f"input side {input_side}"
    return f"{name} is one colour" if (judged == judged[0, 0]).all() else ""


def _faint(sides: tuple[Picture, ...], plan: Plan, file: str, dataset: Dataset) -> str:
    """The sides of a picture that use less than a quarter of their range, with the values they use; or ""."""
    if not isinstance(dataset, OwnDataset):
        return ""
    names = (plan.alone[file],) if file in plan.alone else get_args(Side)
    told = []
    for side, picture in zip(names, sides, strict=True):
        if dataset.kind == "labels" and dataset.role_of(side) == "input":
            continue
        shown = unpack(picture) if side in plan.ranges else picture[..., :3]
        least, most, limit = int(shown.min()), int(shown.max()), int(np.iinfo(shown.dtype).max)
        if most - least < limit / 4:
            told.append(f"{side}: {least} to {most} of {limit}")
    return ", ".join(told)


def _warn_of_faint(name: str, faint: Mapping[str, str], count: int) -> None:
    """Warn of pictures that are nearly one shade, such as 12 bits in a 16-bit file, and list the first ones."""
    if not faint:
        return
    print(
        f"data set {name}: {len(faint)} of {count} pictures use less than a quarter of the range of values, and "
        "look nearly like one shade. If their files have another range (such as 12 bits in 16), set "
        f"datasets.{name}.range: [LOW, HIGH], or auto",
        *(f"  {file} ({told})" for file, told in list(faint.items())[:MOST_TOLD]),
        *([f"  and {len(faint) - MOST_TOLD} more"] if len(faint) > MOST_TOLD else []),
        sep="\n",
        file=sys.stderr,
    )


def _truth_of(file: str) -> str:
    return f"truth/{Path(file).name}"


def _check_splits(name: str, plan: Plan, files: set[str]) -> None:
    """Raises GancompError if a split lacks a side, because every later stage needs both sides of all three splits."""
    for split in get_args(Split):
        members = [file for file in files if plan.splits[file] == split]
        for side in get_args(Side):
            if all(plan.alone.get(file, side) != side for file in members):
                of_side = f" of side {side}" if members else ""
                raise GancompError(
                    f"data set {name}: split {split} has no pictures{of_side} ({len(files)} in all); give it more "
                    "pictures (limit), or change val_fraction, search_fraction or search_count"
                )


def _refuse_overwriting(dataset: Dataset, root: Path) -> None:
    """Raises GancompError if the user's pictures lie where prepared ones are written and stale ones removed."""
    for source in _brought(dataset):
        own = source.resolve()
        for kind in FOLDERS:
            written = (root / kind).resolve()
            if written == own or written in own.parents or own in written.parents:
                raise GancompError(
                    f"{source}: these pictures lie where the prepared data set is written ({root}); "
                    "move them elsewhere or give the data set another name"
                )


def _brought(dataset: Dataset) -> list[Path]:
    """The folders of pictures that the user named."""
    match dataset:
        case AlignedDataset():
            return [Path(dataset.path) / kind for kind in ("train", "val", "test")]
        case CityscapesDataset():
            return [Path(dataset.path)]
        case FoldersDataset():
            named = [dataset.a, dataset.b, dataset.val_a, dataset.val_b]
        case LabelsDataset():
            named = [dataset.images, dataset.labels, dataset.instances]
            named += [dataset.val_images, dataset.val_labels, dataset.val_instances]
        case _:
            named = []
    return [Path(folder) for folder in named if folder is not None]


def _remove_stale(root: Path, files: set[str]) -> None:
    """Remove files of other settings or a killed build from the folders of pictures, and nothing elsewhere."""
    for kind in FOLDERS:
        folder = root / kind
        if folder.is_symlink():
            raise GancompError(f"{folder}: is a link; stale pictures are removed there, so it must be a plain folder")
        numbered = [path for path in folder.glob("[0-9][0-9][0-9][0-9]") if path.is_dir() and not path.is_symlink()]
        for path in (file for parent in (folder, *numbered) for file in parent.glob("*")):
            if str(path.relative_to(root)) not in files and (path.is_symlink() or path.is_file()):
                path.unlink()
        for path in numbered:
            with suppress(OSError):  # it is not empty
                path.rmdir()
