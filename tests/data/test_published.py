"""The published data sets, of small archives with their layout on a loopback server."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancomp.data import download, published
from gancomp.data.build import build
from gancomp.data.datasets import Pictures
from gancomp.data.plan import Plan
from gancomp.data.published import PUBLISHED
from gancomp.data.settings import DownloadDataset
from gancomp.errors import GancompError

from .server import Server, serve

COUNTS = {
    "edges2shoes": {"train": 20, "val": 4},
    "maps": {"train": 12, "val": 5},
    "horse2zebra": {"trainA": 9, "trainB": 11, "testA": 3, "testB": 4},
}
SEARCH = {"edges2shoes": 6, "maps": 5, "horse2zebra": 4}


def jpeg(folder: str, index: int, paired: bool) -> bytes:
    """A picture whose brightness tells its number; B of a pair is brighter, and `val` or `test` are brightest."""
    picture = np.full((12, 32 if paired else 16, 3), 4 * index, dtype=np.uint8)
    if paired:
        picture[:, 16:] += 100
    if folder.startswith(("val", "test")):
        picture += 50
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def members_of(name: str, counts: Mapping[str, int]) -> dict[str, bytes]:
    """The members of an archive: pictures in folders, and what else such archives hold."""
    paired = name != "horse2zebra"
    members = {f"{name}/.DS_Store": b"x", f"__MACOSX/{name}/trainA/._1.jpg": b"x", f"{name}/readme.txt": b"x"}
    for folder, count in counts.items():
        members[f"{name}/{folder}/._0.jpg"] = b"x"
        for index in range(count):
            stem = f"{index + 1}_AB" if name == "edges2shoes" else f"{index + 1}"
            members[f"{name}/{folder}/{stem}.jpg"] = jpeg(folder, index, paired)
    members[f"{name}/thumbs/train/1.jpg"] = b"x"
    return members


def pack(name: str, members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if name == "horse2zebra":
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for member, content in members.items():
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves the three small archives at the second of their addresses; the first one lacks them."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serve() as started:
        for name, counts in COUNTS.items():
            archive = PUBLISHED[name].archive
            started.add(f"mirror/{archive}", pack(name, members_of(name, counts)))
            small = dataclasses.replace(
                PUBLISHED[name],
                addresses=(started.url("gone/{}"), started.url("mirror/{}")),
                counts=counts,
                held_out=PUBLISHED[name].held_out and 7,
            )
            monkeypatch.setitem(PUBLISHED, name, small)
        yield started


def dataset(name: str, **settings: Any) -> DownloadDataset:
    declared = {"source": "download", "name": name, "size": (12, 16), "search_count": SEARCH[name], **settings}
    return DownloadDataset.model_validate(declared)


def number(side: np.ndarray) -> int:
    """Which picture this is, times four."""
    return round(float(side.mean()))


def sizes(plan: Plan) -> dict[str, int]:
    return dict(Counter(plan.splits.values()))


def test_maps_keeps_its_validation_pictures(server: Server, tmp_path: Path) -> None:
    plan = published.plan(dataset("maps"), tmp_path)
    assert sizes(plan) == {"train-1": 7, "train-2": 5, "val": 5}
    assert sorted(file for file in plan.splits if plan.splits[file] == "val") == [f"val/{n}.png" for n in range(1, 6)]
    assert not plan.alone
    a, b = plan.draw("train/9.png")
    assert a.shape == b.shape == (12, 16, 3)
    assert (number(a), number(b)) == (32, 132)
    assert number(plan.draw("val/3.png")[0]) == 58
    assert "maps.tar.gz" in plan.attribution
    assert "12x16" in plan.attribution


def test_edges2shoes_draws_its_validation_pictures_out_of_all(server: Server, tmp_path: Path) -> None:
    """Section 4.1: 2,048 of the 50,025; in each folder the names begin anew, and none is lost."""
    plan = published.plan(dataset("edges2shoes"), tmp_path)
    assert sizes(plan) == {"train-1": 11, "train-2": 6, "val": 7}
    assert Counter(file.split("/")[1].split("-")[0] for file in plan.splits) == {"train": 20, "val": 4}
    held_out = {file for file in plan.splits if file.startswith("val/")}
    assert any("/train-" in file for file in held_out)
    for file in plan.splits:
        folder, stem = file.removesuffix(".png").split("/")[1].split("-")
        expected = 4 * (int(stem.removesuffix("_AB")) - 1) + (50 if folder == "val" else 0)
        assert number(plan.draw(file)[0]) == expected


def test_the_sides_of_horse2zebra_are_split_on_their_own(server: Server, tmp_path: Path) -> None:
    plan = published.plan(dataset("horse2zebra"), tmp_path)
    by_side = {
        side: Counter(split for file, split in plan.splits.items() if plan.alone[file] == side) for side in ("A", "B")
    }
    assert by_side == {"A": {"train-1": 5, "train-2": 4, "val": 3}, "B": {"train-1": 7, "train-2": 4, "val": 4}}
    assert all(file.split("/")[1].startswith(f"{side}-") for file, side in plan.alone.items())
    (horse,) = plan.draw("val/A-3.png")
    assert horse.shape == (12, 16, 3)
    assert number(horse) == 58


def test_prepared_horses_and_zebras_are_unpaired(server: Server, tmp_path: Path) -> None:
    """The first picture of each side is black, and left out as one that no instance normalisation can take."""
    members = members_of("horse2zebra", COUNTS["horse2zebra"])
    noise = np.random.default_rng(0)
    for member in members:
        if member.endswith(".jpg") and not member.endswith(("._0.jpg", "/1.jpg")) and "MACOSX" not in member:
            buffer = io.BytesIO()
            Image.fromarray(noise.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(buffer, "JPEG")
            members[member] = buffer.getvalue()
    server.add("mirror/horse2zebra.zip", pack("horse2zebra", members))
    built = build("horses", dataset("horse2zebra"), tmp_path / "data", tmp_path / "downloads")
    assert set(built["rejected"]) == {"train/A-1.png", "train/B-1.png", "val/A-1.png", "val/B-1.png"}
    training = Pictures(tmp_path / "data", ["train-1", "train-2"], "AtoB")
    assert (training.paired, len(training), training.target_count) == (False, 8, 10)
    validation = Pictures(tmp_path / "data", ["val"], "BtoA")
    assert (len(validation), validation.target_count) == (3, 2)


@pytest.mark.parametrize("name", list(COUNTS))
def test_a_second_plan_needs_no_network_and_is_the_same(server: Server, tmp_path: Path, name: str) -> None:
    first = published.plan(dataset(name), tmp_path)
    server.files.clear()
    second = published.plan(dataset(name), tmp_path)
    assert (first.splits, first.alone, first.attribution) == (second.splits, second.alone, second.attribution)


def test_a_damaged_archive_of_one_mirror_sends_to_the_next(server: Server, tmp_path: Path) -> None:
    whole = server.files["mirror/maps.tar.gz"].content
    server.add("gone/maps.tar.gz", whole[: len(whole) // 2])
    plan = published.plan(dataset("maps"), tmp_path)
    assert len(plan.splits) == 17
    assert server.files["gone/maps.tar.gz"].asked == [None]


def test_ones_own_mirror_comes_first(server: Server, tmp_path: Path) -> None:
    own = server.add("own", server.files["mirror/maps.tar.gz"].content)
    published.plan(dataset("maps", mirrors=(own,)), tmp_path)
    assert server.files["own"].asked == [None]
    assert server.files["mirror/maps.tar.gz"].asked == []


def test_a_declared_hash_is_checked(server: Server, tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=rf"its sha256 is .* and not {'0' * 64}"):
        published.plan(dataset("maps", sha256="0" * 64), tmp_path)
    assert not (tmp_path / "maps.tar.gz").exists()


@pytest.mark.parametrize("name", list(COUNTS))
def test_a_wrong_count_is_an_error_with_both_numbers(server: Server, tmp_path: Path, name: str) -> None:
    folder, count = next(iter(COUNTS[name].items()))
    archive = PUBLISHED[name].archive
    server.add(f"mirror/{archive}", pack(name, members_of(name, {**COUNTS[name], folder: count - 1})))
    with pytest.raises(GancompError, match=rf"{archive}: {folder}/ holds {count - 1} pictures instead of {count}"):
        published.plan(dataset(name), tmp_path)


def test_nothing_but_pictures_is_unpacked(server: Server, tmp_path: Path) -> None:
    published.plan(dataset("maps"), tmp_path)
    unpacked = {path.suffix for path in (tmp_path / "maps").rglob("*") if path.is_file()}
    assert unpacked == {".jpg", ".json"}
    assert not list((tmp_path / "maps").rglob("._*"))


def test_an_archive_that_would_write_elsewhere_is_refused(server: Server, tmp_path: Path) -> None:
    members = {**members_of("maps", COUNTS["maps"]), "../../outside.jpg": b"x"}
    server.add("mirror/maps.tar.gz", pack("maps", members))
    with pytest.raises(GancompError, match="leads out of the archive"):
        published.plan(dataset("maps"), tmp_path / "downloads")
    assert {path.name for path in tmp_path.iterdir()} == {"downloads"}


def test_the_published_counts_are_the_papers() -> None:
    """Section 4.1, and of edges→shoes the 45,929 pictures that distillation is left with."""
    totals = {name: sum(PUBLISHED[name].counts.values()) for name in PUBLISHED}
    assert totals == {"edges2shoes": 50_025, "maps": 2194, "horse2zebra": 1187 + 1474}
    assert totals["edges2shoes"] - 2 * 2048 == 45_929
    assert all(url.endswith(entry.archive) for entry in PUBLISHED.values() for url in entry.urls)
