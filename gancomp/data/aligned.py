"""One's own pictures: folders of A|B side by side, as pix2pix users know them."""

from __future__ import annotations

import re
from pathlib import Path

from gancomp.config import AlignedDataset, Split
from gancomp.data.images import SUFFIXES, read_rgb, resize
from gancomp.data.plan import Picture, Plan, split_of
from gancomp.errors import GancompError

ATTRIBUTION = """\
These pictures were made from the folder {path}.
Their licence is that of their originals; gancomp grants none.
"""


def plan(dataset: AlignedDataset) -> Plan:
    """The pictures of `train/` (by the hash of their names into train-1 and train-2) and of `val/`, else `test/`.

    Files with other endings than pictures' and hidden files are passed over. Raises GancompError for a missing or
    empty folder and for two pictures that would get the same name; when drawn, for a picture that does not decode
    or cannot be halved.
    """
    folder = Path(dataset.path)
    splits: dict[str, Split] = {}
    source_of: dict[str, Path] = {}
    for kind, pictures in (("train", _pictures(folder, "train")), ("val", _pictures(folder, "val", "test"))):
        for source in pictures:
            name = safe_name(source.stem)
            file = f"{kind}/{name}.png"
            if file in source_of:
                raise GancompError(f"{source}: would get the same name as {source_of[file].name}; rename one of them")
            source_of[file] = source
            splits[file] = "val" if kind == "val" else split_of(source.stem, 0.0, dataset.search_fraction)

    def draw(file: str) -> tuple[Picture, Picture]:
        return read_pair(source_of[file], dataset.size)

    return Plan(splits, draw, ATTRIBUTION.format(path=dataset.path))


def safe_name(stem: str) -> str:
    """A file name from *stem*: letters, digits, `.`, `_` and `-` stay, all else becomes `_`; never hidden."""
    return re.sub(r"^[.-]", "_", re.sub(r"[^\w.-]", "_", stem))


def read_pair(path: Path, size: tuple[int, int]) -> tuple[Picture, Picture]:
    """The left and right half of a picture, each resized on its own to *size*, so that neither bleeds into the other.

    Raises GancompError as `read_rgb`, and when the width is odd.
    """
    picture = read_rgb(path)
    width = picture.shape[1]
    if width % 2:
        raise GancompError(
            f"{path}: is {width} pixels wide; a picture A|B has two halves of equal width, so an even number"
        )
    return resize(picture[:, : width // 2], size), resize(picture[:, width // 2 :], size)


def _pictures(folder: Path, *kinds: str) -> list[Path]:
    """The pictures in the first of the subfolders *kinds* that exists, sorted by name."""
    found = next((folder / kind for kind in kinds if (folder / kind).is_dir()), None)
    if found is None:
        raise GancompError(f"{folder}: has no folder {' or '.join(f'{kind}/' for kind in kinds)} with pictures A|B")
    pictures = [path for path in found.iterdir() if _is_picture(path)]
    if not pictures:
        raise GancompError(f"{found}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return sorted(pictures)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
