"""One's own pictures: folders of A|B side by side, as pix2pix users know them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gancomp.data.images import pictures_in, read_input, resize
from gancomp.data.plan import Picture, Plan, file_of, split_names
from gancomp.data.settings import AlignedDataset, Split
from gancomp.errors import GancompError

ATTRIBUTION = """\
These pictures were made from the folder {path}.
Their licence is that of their originals; gancomp grants none.
"""


def plan(dataset: AlignedDataset) -> Plan:
    """The pictures of `train/` (by the hash of their names into train-1 and train-2) and of `val/`, else `test/`.

    Those that differ in their endings alone are likely one picture twice, and go into one split.

    Files with other endings than pictures' and hidden files are passed over. Raises GancompError for a missing or
    empty folder and for two pictures that would get the same name; when drawn, for a picture that does not decode
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

    def draw(file: str) -> tuple[Picture, Picture]:
        return read_pair(source_of[file], dataset.size, (dataset.channels_of("A"), dataset.channels_of("B")))

    return Plan(splits, draw, ATTRIBUTION.format(path=dataset.path))


def by_name(pictures: Iterable[Path]) -> dict[str, Path]:
    """Pictures that stand for themselves, by the names that they are stored under: their own without the ending, or,
    where several differ in nothing but that, with it. GancompError when two would still get the same."""
    pictures = list(pictures)
    like = Counter(safe_name(path.stem) for path in pictures)
    return _distinct(
        (safe_name(path.stem if like[safe_name(path.stem)] == 1 else path.name), path) for path in pictures
    )


def by_stem(pictures: Iterable[Path]) -> dict[str, Path]:
    """Pictures that find their partners by name, by their names without the ending; GancompError when two would get
    the same, since nothing says which of them is the partner."""
    return _distinct((safe_name(path.stem), path) for path in pictures)


def _distinct(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise GancompError(f"{path}: would get the same name as {found[name].name}; rename one of them")
        found[name] = path
    return found


def safe_name(stem: str) -> str:
    """A file name from *stem*: letters, digits, `.`, `_` and `-` stay, all else becomes `_`; never hidden."""
    return re.sub(r"^[.-]", "_", re.sub(r"[^\w.-]", "_", stem))


def read_pair(path: Path, size: tuple[int, int], channels: tuple[int, int] = (3, 3)) -> tuple[Picture, Picture]:
    """The left and right half of a picture, each resized on its own to *size*, so that neither bleeds into the other.

    Each is read as `read_input` does by its *channels*. Raises GancompError as that, and when the width is odd.
    """
    left = read_input(path, channels[0])
    right = left if channels[0] == channels[1] else read_input(path, channels[1])
    width = left.shape[1]
    if width % 2:
        raise GancompError(
            f"{path}: is {width} pixels wide; a picture A|B has two halves of equal width, so an even number"
        )
    return resize(left[:, : width // 2], size), resize(right[:, width // 2 :], size)


def _subfolder(folder: Path, *kinds: str) -> Path:
    """The first of the subfolders *kinds* that exists."""
    found = next((folder / kind for kind in kinds if (folder / kind).is_dir()), None)
    if found is None:
        raise GancompError(f"{folder}: has no folder {' or '.join(f'{kind}/' for kind in kinds)} with pictures A|B")
    return found
