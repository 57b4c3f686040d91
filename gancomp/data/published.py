"""The published data sets edges2shoes, maps and horse2zebra: fetched, verified, unpacked, counted, split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gancomp.data.aligned import read_pair
from gancomp.data.archives import check_archive, unpack
from gancomp.data.download import fetch_file
from gancomp.data.images import read_rgb, resize
from gancomp.data.plan import Picture, Plan, Side, file_of, hash_fraction, split_names
from gancomp.data.settings import DownloadDataset, Split
from gancomp.errors import GancompError

_PIX2PIX = (
    "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{}",
    "https://people.eecs.berkeley.edu/~tinghuiz/projects/pix2pix/datasets/{}",
    "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{}",
)
_CYCLEGAN = (
    "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{}",
    "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/{}",
    "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{}",
)


@dataclass(frozen=True)
class Published:
    """One archive: its addresses in order ({} is its name), and the number of pictures in each folder that is read.

    `held_out`: number of validation pictures sampled from all, if the paper does not use the archive's own.
    """

    archive: str
    addresses: tuple[str, ...]
    counts: Mapping[str, int]
    credit: str
    held_out: int | None = None

    @property
    def urls(self) -> list[str]:
        return [address.format(self.archive) for address in self.addresses]


PUBLISHED: dict[str, Published] = {
    "edges2shoes": Published(
        "edges2shoes.tar.gz",
        _PIX2PIX,
        {"train": 49_825, "val": 200},
        "photos of UT Zappos50K (A. Yu and K. Grauman, CVPR 2014 and ICCV 2017; for academic, non-commercial use),\n"
        "with the edges that were found in them by P. Isola et al. for pix2pix (CVPR 2017)",
        held_out=2048,
    ),
    "maps": Published(
        "maps.tar.gz",
        _PIX2PIX,
        {"train": 1096, "val": 1098},
        "aerial photos and maps of Google Maps (Google's terms apply), collected by P. Isola et al. for pix2pix\n"
        "(CVPR 2017)",
    ),
    "horse2zebra": Published(
        "horse2zebra.zip",
        _CYCLEGAN,
        {"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140},
        "photos of ImageNet (J. Deng et al., CVPR 2009; they belong to their photographers), collected by J.-Y. Zhu\n"
        "et al. for CycleGAN (ICCV 2017)",
    ),
}

ATTRIBUTION = """\
These pictures were made from {archive}, sha256 {sha256}:
{credit}.

Changes: resized to {size} (height x width), and split anew into pictures for training, search and validation.
gancomp grants no licence to them.
"""


def plan(dataset: DownloadDataset, downloads: Path) -> Plan:
    """The data set as the paper splits it (Section 4.1), from the archive in *downloads*, fetched if it is missing.

    For maps and horse→zebra, the archive's validation (test) pictures are used, and train-2 is sampled from its
    training pictures; the sides of horse→zebra are split separately. For edges→shoes, 2,048 of all pictures are for
    validation. The archive is unpacked once, into a folder of its name in *downloads*.
    Raises GancompError as `fetch_file` and `unpack`, and if a folder has another number of pictures than was
    published; `draw` raises it as `read_rgb`.
    """
    published = PUBLISHED[dataset.name]
    archive = downloads / published.archive
    sha256 = fetch_file([*dataset.mirrors, *published.urls], archive, dataset.sha256, check=check_archive)
    folder = downloads / dataset.name
    expected = sum(published.counts.values())
    files = unpack(archive, sha256, folder, lambda member: _target(member, published.counts), expected)
    _check_counts(archive, files, published.counts)
    chosen = _pairs(dataset, files, published.held_out) if dataset.kind == "pairs" else _unpaired(dataset, files)
    pictures = {file_of(one.split, one.name, one.side): one for one in chosen}

    def draw(file: str) -> tuple[Picture, ...]:
        path = folder / pictures[file].source
        if pictures[file].side is None:
            return read_pair(path, dataset.size)
        return (resize(read_rgb(path), dataset.size),)

    return Plan(
        splits={file: one.split for file, one in pictures.items()},
        draw=draw,
        attribution=ATTRIBUTION.format(
            archive=archive.name, sha256=sha256, credit=published.credit, size="x".join(map(str, dataset.size))
        ),
        alone={file: one.side for file, one in pictures.items() if one.side is not None},
    )


class _Picture(NamedTuple):
    """A picture of the archive: its folder, its name there, and its file."""

    split: Split
    name: str
    side: Side | None
    source: str


def _target(member: str, counts: Mapping[str, int]) -> str | None:
    """`train/1.jpg` for `maps/train/1.jpg`; None for files that are not needed."""
    match = re.fullmatch(r"(?:\./)?(?:[^/]+/)?([^/]+)/(\w[\w.-]*\.jpg)", member, re.ASCII)
    return f"{match[1]}/{match[2]}" if match and match[1] in counts else None


def _check_counts(archive: Path, files: Sequence[str], counts: Mapping[str, int]) -> None:
    found = Counter(PurePosixPath(file).parts[0] for file in files)
    for kind, expected in counts.items():
        if found[kind] != expected:
            raise GancompError(
                f"{archive}: {kind}/ holds {found[kind]:,} pictures instead of {expected:,}; it is not the published "
                f"archive: delete it and {archive.name}.sha256 beside it, and run this again"
            )


def _pairs(dataset: DownloadDataset, files: Sequence[str], held_out: int | None) -> Iterator[_Picture]:
    if held_out is None:
        training = {_stem(file): file for file in files if file.startswith("train/")}
        validation = {_stem(file): file for file in files if file.startswith("val/")}
    else:  # names restart in each folder
        training = {f"{PurePosixPath(file).parts[0]}-{_stem(file)}": file for file in files}
        ranked = sorted(training, key=lambda name: (hash_fraction(name), name))
        validation = {name: training.pop(name) for name in ranked[:held_out]}
    for name, split in split_names(training, dataset, 0.0).items():
        yield _Picture(split, name, None, training[name])
    for name, source in validation.items():
        yield _Picture("val", name, None, source)


def _unpaired(dataset: DownloadDataset, files: Sequence[str]) -> Iterator[_Picture]:
    sides: tuple[Side, Side] = ("A", "B")
    for side in sides:
        training = {_stem(file): file for file in files if file.startswith(f"train{side}/")}
        for name, split in split_names(training, dataset, 0.0).items():
            yield _Picture(split, name, side, training[name])
        for file in files:
            if file.startswith(f"test{side}/"):
                yield _Picture("val", _stem(file), side, file)


def _stem(file: str) -> str:
    return PurePosixPath(file).stem
