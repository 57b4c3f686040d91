"""Cityscapes, from the two archives (or their folders) that are available after registration."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gancomp.data.archives import ZipArchive
from gancomp.data.classes import CITYSCAPES
from gancomp.data.images import read_rgb, read_values, resize, resize_values
from gancomp.data.palette import Palette, borders
from gancomp.data.plan import Picture, Plan, file_of, split_names
from gancomp.data.settings import CityscapesDataset, Split
from gancomp.errors import GancompError

#: Annotated photos in each folder.
COUNTS = {"train": 2975, "val": 500}
#: The two halves of the data set: the folder in each archive, its contents, and its size.
PHOTOS, LABELS = "leftImg8bit", "gtFine"
_HALVES = {PHOTOS: "the photos, 11 GB", LABELS: "their fine annotations, 241 MB"}

ATTRIBUTION = """\
These pictures were made from Cityscapes (M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene
Understanding, CVPR 2016; https://www.cityscapes-dataset.com), which may be used for non-commercial research by those
who have registered for it, and may not be passed on; neither may these pictures.

Changes: photos and label maps were resized to {size} (height x width), and the training pictures split into pictures
for training and for search.
"""

#: id in a label map → class; the last is the licence plate (id -1, stored as 255 in 8 bits); -1 for unknown ids.
_CLASS_OF = np.full(256, -1, dtype=np.int32)
_CLASS_OF[: len(CITYSCAPES) - 1] = np.arange(len(CITYSCAPES) - 1)
_CLASS_OF[255] = len(CITYSCAPES) - 1
_COLOURS = np.array([one.colour for one in CITYSCAPES], dtype=np.uint8)
_SCORED_AS = np.array([one.scored_as for one in CITYSCAPES], dtype=np.uint8)


class _Scene(NamedTuple):
    """One annotated photo: its name, its folder, and its files."""

    name: str
    kind: str
    photo: Path
    ids: Path
    instances: Path


def plan(dataset: CityscapesDataset) -> Plan:
    """The 2,975 training photos (train-1, train-2) and the 500 for validation, with their label maps.

    With form "pairs", A is the photo and B its label map in the colours of the `gtFine_color` pictures. With form
    "labels", the input side is the label map as classes, with an edge wherever the instances change, and the other the
    photo. Photos are resized bicubically, label maps by nearest neighbour; `truth` returns the label map as train ids
    at full resolution, if the data set has a segmentation network.
    Raises GancompError that lists missing files and their origin, and for another number of photos; `draw` raises it
    for a picture that does not decode and for a label map that is invalid or has another size than its photo.
    """
    scenes: dict[str, _Scene] = {}
    splits: dict[str, Split] = {}
    found = _scenes(Path(dataset.path))
    split_of = split_names((scene.name for scene in found if scene.kind == "train"), dataset, 0.0)
    for scene in found:
        split = split_of[scene.name] if scene.kind == "train" else "val"
        file = file_of(split, scene.name)
        scenes[file], splits[file] = scene, split
    palette = Palette(CITYSCAPES)

    def draw(file: str) -> tuple[Picture, Picture]:
        scene = scenes[file]
        whole = read_rgb(scene.photo)
        photo = resize(whole, dataset.size)
        ids = resize_values(_of_shape(whole, _classes_in(scene.ids), scene.ids), dataset.size)
        if dataset.form == "pairs":
            return photo, _COLOURS[ids]
        instances = resize_values(_of_shape(whole, read_values(scene.instances), scene.instances), dataset.size)
        label_map = palette.draw(ids, borders(instances))
        return (photo, label_map) if dataset.direction == "BtoA" else (label_map, photo)

    def truth(file: str) -> Picture:
        scored: Picture = _SCORED_AS[_classes_in(scenes[file].ids)]
        return scored

    return Plan(
        splits=splits,
        draw=draw,
        attribution=ATTRIBUTION.format(size="x".join(map(str, dataset.size))),
        classes=palette.classes if dataset.form == "labels" else (),
        truth=truth if dataset.judge else None,
    )


# --- finding the files -------------------------------------------------------------------------


def _scenes(root: Path) -> list[_Scene]:
    """Every annotated photo for training and validation, in the order of their files."""
    files = _files(root)
    scenes = []
    for photo in sorted(files):
        match = re.fullmatch(rf"{PHOTOS}/({'|'.join(COUNTS)})/([^/]+)/([\w-]+)_{PHOTOS}\.png", photo)
        if match:
            kind, city, name = match.groups()
            labels = [f"{LABELS}/{kind}/{city}/{name}_{LABELS}_{what}.png" for what in ("labelIds", "instanceIds")]
            for file in labels:
                if file not in files:
                    raise GancompError(f"{root}: {file} is missing; get {LABELS}_trainvaltest.zip again")
            scenes.append(_Scene(name, kind, *(files[file] for file in (photo, *labels))))
    found = Counter(scene.kind for scene in scenes)
    for kind, expected in COUNTS.items():
        if found[kind] != expected:
            raise GancompError(
                f"{root}: {PHOTOS}/{kind} holds {found[kind]:,} photos instead of {expected:,}; "
                f"get {PHOTOS}_trainvaltest.zip again"
            )
    return scenes


def _files(root: Path) -> dict[str, Path]:
    """The contents of the two folders in *root*, or of the archive if there is no folder: {`gtFine/train/…`: file}."""
    files: dict[str, Path] = {}
    missing = []
    for half, content in _HALVES.items():
        archive = root / f"{half}_trainvaltest.zip"
        if (root / half).is_dir():
            files |= {path.relative_to(root).as_posix(): path for path in (root / half).glob("*/*/*.png")}
        elif archive.is_file():
            opened = ZipArchive(archive)
            # Reading a picture needs only a path's name and open().
            files |= {name: cast(Path, _Member(opened, name)) for name in opened.sizes}
        else:
            missing.append(f"  {archive} ({content}), or a folder {half}/ with its contents")
    if missing:
        raise GancompError(
            "\n".join(
                [
                    f"{root}: Cityscapes is incomplete. Missing:",
                    *missing,
                    "Register at https://www.cityscapes-dataset.com/register/, download the missing files there and "
                    f"put them into {root}.",
                ]
            )
        )
    return files


class _Member:
    """A picture in an archive, with the interface of a path."""

    def __init__(self, archive: ZipArchive, name: str) -> None:
        self._archive, self._name = archive, name

    def __str__(self) -> str:
        return f"{self._archive.path}/{self._name}"

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        return io.BytesIO(self._archive.read(self._name))


# --- label maps --------------------------------------------------------------------------------


def _classes_in(path: Path) -> NDArray[np.int32]:
    """The label map as indices of CITYSCAPES, (height, width)."""
    ids = read_values(path)
    classes = _CLASS_OF[ids] if ids.min() >= 0 and ids.max() < len(_CLASS_OF) else np.full_like(ids, -1)
    if classes.min() < 0:
        raise GancompError(
            f"{path}: has the value {ids[classes < 0][0]}, which is no label of Cityscapes; get it again"
        )
    return classes


def _of_shape(photo: Picture, label_map: NDArray[np.int32], path: Path) -> NDArray[np.int32]:
    """*label_map*. Raises GancompError with its name if it does not have the shape of its photo."""
    if label_map.shape != photo.shape[:2]:
        raise GancompError(f"{path}: has another size than its photo; get both archives again")
    return label_map
