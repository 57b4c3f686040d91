"""The user's pictures A|B side by side, the format of pix2pix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from numpy.typing import NDArray

from gancomp.data.images import pictures_in, read_input, read_numbers, resize
from gancomp.data.plan import Picture, Plan, Side, file_of, split_names
from gancomp.data.settings import AlignedDataset, Split
from gancomp.data.values import stored, value_range
from gancomp.errors import GancompError
from gancomp.spec import ValueRange

ATTRIBUTION = """\
These pictures were made from the folder {path}.
Their licence is that of their originals; gancomp grants none.
"""


def plan(dataset: AlignedDataset) -> Plan:
    """The pictures of `train/` (by the hash of their names into train-1 and train-2) and of `val/`, else `test/`.

    Files that differ only in their suffix are probably the same picture, and go into one split.

    Hidden files and files without a picture's suffix are ignored. Raises GancompError for a missing or
    empty folder and for two pictures that would get the same name; `draw` raises it for a picture that does not decode
    or cannot be halved.
    """
    folder = Path(dataset.path)
    training = by_name(pictures_in(_subfolder(folder, "train")))
    split_of = split_names((path.stem for path in training.values()), dataset, 0.0)
    splits: dict[str, Split] = {}
    source_of: dict[str, Path] = {}
    for name, path in training.items():
        file = file_of(split_of[path.stem], name)
        splits[file], source_of[file] = split_of[path.stem], path
    for name, path in by_name(pictures_in(_subfolder(folder, "val", "test"))).items():
        file = file_of("val", name)
        splits[file], source_of[file] = "val", path

    def ranged(side: Side) -> ValueRange | None:
        declared = dataset.range_of(side)
        return value_range(declared, list(training.values()), lambda width: _half(side, width)) if declared else None

    ranges = {side: found for side in get_args(Side) if (found := ranged(side))}

    def draw(file: str) -> tuple[Picture, Picture]:
        return read_pair(source_of[file], dataset.size, (dataset.channels_of("A"), dataset.channels_of("B")), ranges)

    return Plan(splits, draw, ATTRIBUTION.format(path=dataset.path), ranges=ranges)


def by_name(pictures: Iterable[Path]) -> dict[str, Path]:
    """Unpaired pictures by the names that they are stored under: without suffix, or with it if several differ only in
    that. Raises GancompError if two would still get the same name."""
    stems = {path: safe_name(path.stem) for path in pictures}
    like = Counter(stems.values())
    return _distinct((stem if like[stem] == 1 else safe_name(path.name), path) for path, stem in stems.items())


def by_stem(pictures: Iterable[Path]) -> dict[str, Path]:
    """Pictures that are paired by name, by their names without suffix. Raises GancompError if two get the same name,
    because the partner is then ambiguous."""
    return _distinct((safe_name(path.stem), path) for path in pictures)


def _distinct(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise GancompError(f"{path}: would get the same name as {found[name].name}; rename one of them")
        found[name] = path
    return found


def safe_name(stem: str) -> str:
    """A file name from *stem*: characters other than letters, digits, `.`, `_` and `-` become `_`; never hidden."""
    return re.sub(r"^[.-]", "_", re.sub(r"[^\w.-]", "_", stem))


def read_pair(
    path: Path,
    size: tuple[int, int],
    channels: tuple[int, int] = (3, 3),
    ranges: Mapping[Side, ValueRange] = MappingProxyType({}),
) -> tuple[Picture, Picture]:
    """The left and right half of a picture, each resized to *size* separately, so that they do not mix.

    Each is read like `read_input` with its *channels*, or as numbers with its range. Raises GancompError as those,
    and if the width is odd.
    """

    @cache
    def whole(count: int | None) -> NDArray[Any]:
        return read_input(path, count) if count else read_numbers(path)[0]

    def half(side: Side, count: int) -> Picture:
        picture = whole(None if side in ranges else count)
        width = picture.shape[1]
        if width % 2:
            raise GancompError(
                f"{path}: is {width} pixels wide; a picture A|B has two halves of equal width, so an even number"
            )
        own = picture[:, _half(side, width)]
        return stored(own, ranges[side], size) if side in ranges else resize(own, size)

    return half("A", channels[0]), half("B", channels[1])


def _half(side: Side, width: int) -> slice:
    """The columns of a side in a picture A|B."""
    return slice(width // 2) if side == "A" else slice(width // 2, None)


def _subfolder(folder: Path, *kinds: str) -> Path:
    """The first of the subfolders *kinds* that exists."""
    found = next((folder / kind for kind in kinds if (folder / kind).is_dir()), None)
    if found is None:
        raise GancompError(f"{folder}: has no folder {' or '.join(f'{kind}/' for kind in kinds)} with pictures A|B")
    return found
