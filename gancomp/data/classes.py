"""The classes of label maps and their colours. Plain Python, because the configuration imports it."""

from __future__ import annotations

from dataclasses import dataclass

#: The id of pixels that metrics ignore.
IGNORED = 255


@dataclass(frozen=True)
class LabelClass:
    """One class: its name, its colour, and its index in metrics (Cityscapes' train id)."""

    name: str
    colour: tuple[int, int, int]
    scored_as: int = IGNORED


#: The 35 labels of Cityscapes, in the order of their ids (the last, id -1, is stored as 34), with their train ids.
CITYSCAPES: tuple[LabelClass, ...] = (
    LabelClass("unlabeled", (0, 0, 0)),
    LabelClass("ego vehicle", (0, 0, 0)),
    LabelClass("rectification border", (0, 0, 0)),
    LabelClass("out of roi", (0, 0, 0)),
    LabelClass("static", (0, 0, 0)),
    LabelClass("dynamic", (111, 74, 0)),
    LabelClass("ground", (81, 0, 81)),
    LabelClass("road", (128, 64, 128), 0),
    LabelClass("sidewalk", (244, 35, 232), 1),
    LabelClass("parking", (250, 170, 160)),
    LabelClass("rail track", (230, 150, 140)),
    LabelClass("building", (70, 70, 70), 2),
    LabelClass("wall", (102, 102, 156), 3),
    LabelClass("fence", (190, 153, 153), 4),
    LabelClass("guard rail", (180, 165, 180)),
    LabelClass("bridge", (150, 100, 100)),
    LabelClass("tunnel", (150, 120, 90)),
    LabelClass("pole", (153, 153, 153), 5),
    LabelClass("polegroup", (153, 153, 153)),
    LabelClass("traffic light", (250, 170, 30), 6),
    LabelClass("traffic sign", (220, 220, 0), 7),
    LabelClass("vegetation", (107, 142, 35), 8),
    LabelClass("terrain", (152, 251, 152), 9),
    LabelClass("sky", (70, 130, 180), 10),
    LabelClass("person", (220, 20, 60), 11),
    LabelClass("rider", (255, 0, 0), 12),
    LabelClass("car", (0, 0, 142), 13),
    LabelClass("truck", (0, 0, 70), 14),
    LabelClass("bus", (0, 60, 100), 15),
    LabelClass("caravan", (0, 0, 90)),
    LabelClass("trailer", (0, 0, 110)),
    LabelClass("train", (0, 80, 100), 16),
    LabelClass("motorcycle", (0, 0, 230), 17),
    LabelClass("bicycle", (119, 11, 32), 18),
    LabelClass("license plate", (0, 0, 142)),
)

#: Main climate groups of Köppen and Geiger, as far as a satellite photo distinguishes them, and water.
CLIMATE: tuple[LabelClass, ...] = (
    LabelClass("tropical", (0, 114, 60), 0),
    LabelClass("desert", (230, 190, 120), 1),
    LabelClass("steppe", (200, 170, 60), 2),
    LabelClass("temperate", (130, 200, 80), 3),
    LabelClass("continental", (60, 140, 140), 4),
    LabelClass("tundra", (170, 150, 180), 5),
    LabelClass("ice", (240, 248, 254), 6),
    LabelClass("sea", (20, 60, 140), 7),
    LabelClass("lake", (90, 160, 230), 8),
)
