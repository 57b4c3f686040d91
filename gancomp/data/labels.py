"""The user's photos and label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancomp.data.classes import LabelClass
from gancomp.data.folders import matched
from gancomp.data.images import read_input, read_values, resize, resize_values
from gancomp.data.palette import Palette, borders, distinct_colours
from gancomp.data.plan import Picture, Plan
from gancomp.data.settings import LabelsDataset
from gancomp.errors import GancompError

ATTRIBUTION = """\
These pictures were made from the folders {folders}.
Their licence is that of their originals; gancomp grants none.
"""
UNLABELLED = LabelClass("unlabelled", (0, 0, 0))


def plan(dataset: LabelsDataset) -> Plan:
    """Label maps (A) and photos (B) with the same names; pixels with other values get an additional class.

    Edges are the boundaries of instances if there is a folder of them, else of the labels. Label maps are resized by
    nearest neighbour, photos bicubically. Raises GancompError as `folders.plan`; `draw` raises it
    for pictures that do not decode, label maps in colour or with more than 8 bits, and label or instance maps without
    the shape of their photo.
    """
    folders = {"images": dataset.images, "labels": dataset.labels}
    val_folders = {"images": dataset.val_images, "labels": dataset.val_labels}
    if dataset.instances is not None:
        folders["instances"] = dataset.instances
        val_folders["instances"] = dataset.val_instances
    splits, sources = matched(folders, val_folders, dataset)
    palette = Palette((*distinct_colours(dataset.names), UNLABELLED))

    def draw(file: str) -> tuple[Picture, ...]:
        paths = sources[file]
        photo = read_input(paths["images"], dataset.target_channels)
        ids = resize_values(_map_of(photo, paths["labels"], 8), dataset.size)
        ids = np.where((ids >= 0) & (ids < len(dataset.names)), ids, len(dataset.names))
        bordered = ids
        if "instances" in paths:
            bordered = resize_values(_map_of(photo, paths["instances"], 16), dataset.size)
        return palette.draw(ids, borders(bordered)), resize(photo, dataset.size)

    attribution = ATTRIBUTION.format(folders=" and ".join(folders.values()))
    return Plan(splits, draw, attribution, classes=palette.classes)


def _map_of(photo: Picture, path: Path, bits: int) -> NDArray[np.int32]:
    """The values of a label map, which must have the aspect ratio of its photo, but not its size."""
    values = read_values(path, bits)
    (height, width), (photo_height, photo_width) = values.shape, photo.shape[:2]
    if height * photo_width != width * photo_height:
        raise GancompError(
            f"{path}: is {height}x{width} (height x width), but its photo {photo_height}x{photo_width}, which is "
            "another shape; they must show the same"
        )
    return values
