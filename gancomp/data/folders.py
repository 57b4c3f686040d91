"""The user's pictures in two folders: two domains, or pairs by equal names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gancomp.data.aligned import by_name, by_stem, safe_name
from gancomp.data.images import pictures_in, read_input, read_numbers, resize
from gancomp.data.plan import Picture, Plan, Side, file_of, split_names
from gancomp.data.settings import FoldersDataset, LabelsDataset, Split
from gancomp.data.values import stored, value_range
from gancomp.errors import GancompError

ATTRIBUTION = """\
These pictures were made from the folders {folders}.
Their licence is that of their originals; gancomp grants none.
"""


def plan(dataset: FoldersDataset) -> Plan:
    """The pictures of both folders as two domains, or with `paired` as pairs.

    Raises GancompError for a missing or empty folder, for pictures that would get the same name, and, for pairs, for a
    picture without a partner or a validation folder for only one side; `draw` raises it as `read_input`.
    """
    folders: Mapping[Side, str] = {"A": dataset.a, "B": dataset.b}
    ranges = {
        side: value_range(declared, pictures_in(Path(folder)))
        for side, folder in folders.items()
        if (declared := dataset.range_of(side))
    }

    def read(path: Path, side: Side) -> Picture:
        if side in ranges:
            return stored(read_numbers(path)[0], ranges[side], dataset.size)
        return resize(read_input(path, dataset.channels_of(side)), dataset.size)

    if dataset.paired:
        splits, sources = matched({"a": dataset.a, "b": dataset.b}, {"a": dataset.val_a, "b": dataset.val_b}, dataset)

        def draw_pair(file: str) -> tuple[Picture, ...]:
            return read(sources[file]["a"], "A"), read(sources[file]["b"], "B")

        return Plan(splits, draw_pair, _attribution(dataset), ranges=ranges)

    splits, paths, alone = _domains(dataset)

    def draw(file: str) -> tuple[Picture, ...]:
        return (read(paths[file], alone[file]),)

    return Plan(splits, draw, _attribution(dataset), alone=alone, ranges=ranges)


def _attribution(dataset: FoldersDataset) -> str:
    return ATTRIBUTION.format(folders=f"{dataset.a} and {dataset.b}")


def _domains(dataset: FoldersDataset) -> tuple[dict[str, Split], dict[str, Path], dict[str, Side]]:
    """Split, source and side of every file to write. A side without validation folder holds out a share."""
    splits: dict[str, Split] = {}
    paths: dict[str, Path] = {}
    alone: dict[str, Side] = {}
    sides: tuple[tuple[Side, str, str | None], ...]
    sides = (("A", dataset.a, dataset.val_a), ("B", dataset.b, dataset.val_b))
    for side, folder, val_folder in sides:
        pictures = by_name(pictures_in(Path(folder)))
        stems = (safe_name(path.stem) for path in pictures.values())
        split_of = split_names(stems, dataset, 0.0 if val_folder else dataset.val_fraction)
        members = [(split_of[safe_name(path.stem)], name, path) for name, path in pictures.items()]
        if val_folder:
            members += [("val", name, path) for name, path in by_name(pictures_in(Path(val_folder))).items()]
        for split, name, path in members:
            file = file_of(split, name, side)
            splits[file], paths[file], alone[file] = split, path, side
    return splits, paths, alone


def matched(
    folders: Mapping[str, str], val_folders: Mapping[str, str | None], dataset: FoldersDataset | LabelsDataset
) -> tuple[dict[str, Split], dict[str, dict[str, Path]]]:
    """Pictures with the same name in several folders: split and paths {key: path} of every file to write.

    *folders* and *val_folders* are by their keys in the configuration; without the latter, `val_fraction` of the former
    are for validation. Raises GancompError if a picture has no partner in another folder, or if some but
    not all of *val_folders* are set.
    """
    held_out = {key: folder for key, folder in val_folders.items() if folder}
    if held_out and len(held_out) < len(val_folders):
        missing = ", ".join(f"val_{key}" for key in val_folders if key not in held_out)
        raise GancompError(f"val_{next(iter(held_out))} is set, but not {missing}; set all of them or none")
    pictures = _partners(folders)
    split_of = split_names(pictures, dataset, 0.0 if held_out else dataset.val_fraction)
    members = [(split_of[name], name, paths) for name, paths in pictures.items()]
    if held_out:
        members += [("val", name, paths) for name, paths in _partners(held_out).items()]
    splits = {file_of(split, name): split for split, name, _ in members}
    return splits, {file_of(split, name): paths for split, name, paths in members}


def _partners(folders: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    """{name: {key: path}} of the pictures with the same name in *folders* {key: folder}."""
    found = {key: by_stem(pictures_in(Path(folder))) for key, folder in folders.items()}
    names = {name: path for pictures in found.values() for name, path in pictures.items()}
    for key, pictures in found.items():
        lonely = sorted(names.keys() - pictures.keys())
        if lonely:
            more = f" ({len(lonely)} have none)" if len(lonely) > 1 else ""
            raise GancompError(
                f"{names[lonely[0]]}: has no partner of the same name in {folders[key]}{more}; add or remove it"
            )
    return {name: {key: pictures[name] for key, pictures in found.items()} for name in names}
