"""Label maps as pictures: one colour per class, and edges in the lowest bit of blue."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gancomp.data.classes import LabelClass
from gancomp.data.plan import Picture

#: The index of unknown colours, which limits the number of classes.
_UNKNOWN = 255


class Palette:
    """Encodes class indices as colours and decodes them exactly.

    The lowest bit of blue, which marks edges, is cleared in the classes' colours, and a colour that another class has
    is replaced by the next free one: `classes` have the resulting colours.
    """

    def __init__(self, classes: Sequence[LabelClass]) -> None:
        if not 1 <= len(classes) <= _UNKNOWN:
            raise ValueError(f"{len(classes)} classes; a label map has 1 to {_UNKNOWN}")
        drawn: dict[int, LabelClass] = {}
        for one in classes:
            red, green, blue = one.colour
            code = (red << 16 | green << 8 | blue) >> 1
            while code in drawn:
                code = (code + 1) % (1 << 23)
            drawn[code] = replace(one, colour=(code >> 15, code >> 7 & 255, (code & 127) << 1))
        self.classes = tuple(drawn.values())
        self._colours = np.array([one.colour for one in self.classes], dtype=np.uint8)
        self._class_of = np.full(1 << 23, _UNKNOWN, dtype=np.uint8)
        self._class_of[list(drawn)] = np.arange(len(drawn))

    def draw(self, ids: NDArray[np.integer], edges: NDArray[np.bool_]) -> Picture:
        """Class indices and edges, (…, height, width) each, as colours (…, height, width, 3).

        Raises IndexError for an index without a class.
        """
        picture: Picture = self._colours[ids]
        picture[..., 2] |= edges.astype(np.uint8)
        return picture

    def ids(self, pictures: Picture) -> NDArray[np.uint8]:
        """Class indices (…, height, width) of pictures (…, height, width, 3). Raises ValueError for unknown colours."""
        red, green, blue = (pictures[..., channel].astype(np.int32) for channel in range(3))
        ids: NDArray[np.uint8] = self._class_of[(red << 16 | green << 8 | blue) >> 1]
        if (ids == _UNKNOWN).any():
            colour = tuple(int(value) for value in pictures[ids == _UNKNOWN][0, :3])
            raise ValueError(f"the colour {colour} belongs to no class")
        return ids


def edges_in(pictures: Picture) -> NDArray[np.bool_]:
    """The edges (…, height, width) in label maps that are encoded as pictures."""
    return (pictures[..., 2] & 1).astype(bool)


def borders(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where a map (height, width) differs from a neighbour above, below, left or right; both pixels are marked."""
    edges = np.zeros(values.shape, dtype=bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def distinct_colours(names: Sequence[str]) -> tuple[LabelClass, ...]:
    """Classes with these names, in colours of evenly spaced hue, each with its own index in metrics."""
    # The golden ratio keeps any number of hues apart; brightness alternates so that neighbours differ in gray too.
    colours = [colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.65, 0.95 - 0.3 * (index % 2)) for index in range(len(names))]
    return tuple(
        LabelClass(name, (round(255 * red), round(255 * green), round(255 * blue)), index)
        for index, (name, (red, green, blue)) in enumerate(zip(names, colours, strict=True))
    )
