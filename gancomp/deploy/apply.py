"""Pictures through a generator: from Python one by one, from the command line by the folder."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gancomp.data.datasets import STORED, to_float, to_uint8
from gancomp.data.images import (
    SUFFIXES,
    as_image,
    encode_numbers,
    encode_png,
    read_input,
    read_numbers,
    read_values,
    reflected,
    resize,
    resize_numbers,
    resize_values,
    size_of,
    suffix_of,
)
from gancomp.data.palette import borders
from gancomp.data.plan import Picture
from gancomp.data.values import restored, scaled
from gancomp.deploy.runtimes import Model, Pixels, on_pytorch, open_model
from gancomp.deploy.tiles import in_tiles
from gancomp.errors import GancompError
from gancomp.nets import Generator
from gancomp.pipeline.files import atomic, file_sha256, read_json, write_json
from gancomp.pipeline.progress import Progress
from gancomp.spec import GeneratorSpec

#: Says which model made the pictures of a folder.
RECORD = "apply.json"
#: Of what was passed over so many kinds are named, the most frequent first.
KINDS_TOLD = 6
#: A picture so many times as large as those of training, or as small, is warned of.
FAR = 2.0


def translate(
    model: Generator | Model, path: Path | str, *, training_size: bool = False, tile: int | None = None
) -> Image.Image:
    """The picture that *model* makes of the one in *path*, at its size; with *training_size* resized to what the model
    was trained on, and left so.

    With *tile* the model sees at most *tile* × *tile* pixels at once, which bounds memory (`in_tiles` says what comes
    out). What a model of numbers makes is in its range again. Of a GauGAN model the picture is a map of class numbers.
    GancompError names a file that cannot be read. Warns (UserWarning) of a size that is far from that of training.
    """
    opened = Model(model.spec, on_pytorch(model), ranges=model.ranges) if isinstance(model, Generator) else model
    refuse_both(training_size, tile)
    if tile:
        opened, _ = in_tiles(opened, tile)
    path = Path(path)
    if not training_size and (told := advice(opened, [size_of(path)])):
        warnings.warn(told, stacklevel=2)
    made = _translated(opened, path, training_size=training_size)
    return as_image(made.astype(np.int32) if made.dtype == np.int16 else made)


def apply_folder(
    model: Path,
    folder: Path,
    out: Path | None = None,
    *,
    training_size: bool = False,
    tile: int | None = None,
    threads: int = 0,
) -> Path:
    """Translate every picture of *folder* and its sub-folders into the same tree under *out*, as PNG of the same name,
    or as TIFF where the model makes signed or floating-point numbers; returns *out*.

    Each has the size of its input or, with *training_size*, that of the model's training. With *tile* the model sees at
    most *tile* × *tile* pixels at once, and how is printed. Where inputs differ in their endings alone, the pictures
    keep those in their names: a.png.png, a.webp.png. Other files, hidden ones, linked
    folders and folders of outputs are passed over, and their number is printed, as is how many pictures are far from
    the size of training. Those that this model made there before are left. GancompError before anything is written if
    *out* holds another model's pictures, if two inputs would have one name, or if one is no picture.
    """
    opened = open_model(model, threads)
    refuse_both(training_size, tile)
    if tile:
        opened, how = in_tiles(opened, tile)
        print(f"{folder}: {how}", file=sys.stderr)
    if out is None:
        whole = folder.resolve() if folder.name in ("", "..") else folder
        out = whole.with_name(f"{whole.name}-{model.stem}")
    numbers = opened.ranges.get("target")
    targets: dict[Path, Path] = {}
    bare = {path: path.relative_to(folder).parent / path.stem for path in _pictures_below(folder, out)}
    like = Counter(bare.values())
    for path, stem in bare.items():
        name = stem if like[stem] == 1 else path.relative_to(folder)
        target = out / f"{name}{suffix_of(numbers.type) if numbers else '.png'}"
        if target in targets:
            raise GancompError(f"{path}: would be written to {target}, as {targets[target].name}; rename one")
        targets[target] = path
    if out.resolve() == folder.resolve():
        raise GancompError(f"{out}: holds the inputs; name another folder")
    made_by = {"model_sha256": file_sha256(model), "training_size": training_size} | ({"tile": tile} if tile else {})
    record = out / RECORD
    if record.is_file() and read_json(record) != made_by:
        raise GancompError(f"{out}: holds pictures of another model, size or tile; name another folder, or delete it")
    if not record.is_file() and any(target.exists() for target in targets):
        raise GancompError(f"{out}: holds pictures of these names that gancomp did not make; name another folder")
    left = [target for target in targets if not target.exists()]
    sizes = [size_of(targets[target]) for target in left]
    if not training_size and (told := advice(opened, sizes)):
        print(f"{folder}: {told}", file=sys.stderr)
    write_json(record, made_by)
    with Progress("apply", len(left), "pictures") as progress:
        for target in left:
            with atomic(target) as temporary:
                made = _translated(opened, targets[target], training_size=training_size)
                temporary.write_bytes(encode_numbers(made) if numbers else encode_png(made))
            progress.advance(1)
    return out


def refuse_both(training_size: bool, tile: int | None) -> None:
    """GancompError where both are asked for."""
    if training_size and tile:
        raise GancompError("--training-size and --tile: a picture is resized or read in tiles, not both; leave one")


def _pictures_below(folder: Path, out: Path) -> list[Path]:
    """The pictures in *folder* and its sub-folders, sorted; prints how many files and folders of each other kind were
    passed over. GancompError if there are none, or if a folder cannot be read."""
    if not folder.is_dir():
        raise GancompError(f"{folder}: no such folder")

    def unreadable(error: OSError) -> None:
        raise GancompError(f"{error.filename}: cannot be read: {error.strerror}") from error

    pictures: list[Path] = []
    passed_over: Counter[str] = Counter()
    for where, folders, files in os.walk(folder, onerror=unreadable):
        for name in list(folders):
            path = Path(where, name)
            if name.startswith("."):
                kind = "hidden"
            elif path.is_symlink():
                kind = "linked folders"
            elif path.resolve() == out.resolve() or (path / RECORD).is_file():
                kind = "folders that gancomp apply writes"
            else:
                continue
            folders.remove(name)
            passed_over[kind] += 1
        for path in (Path(where, name) for name in files):
            if path.name.startswith("."):
                passed_over["hidden"] += 1
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                pictures.append(path)
            else:
                passed_over[path.suffix.lower() or "without an ending"] += 1
    told = ", ".join(f"{kind} ({count:,})" for kind, count in passed_over.most_common(KINDS_TOLD))
    if others := passed_over.total() - sum(count for _, count in passed_over.most_common(KINDS_TOLD)):
        told += f", others ({others:,})"
    if not pictures:
        found = f"; passed over: {told}" if told else ""
        raise GancompError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}){found}")
    if told:
        print(f"{folder}: {len(pictures):,} pictures; passed over: {told}", file=sys.stderr)
    return sorted(pictures)


def advice(model: Model, sizes: Sequence[tuple[int, int]]) -> str | None:
    """What to know of pictures of these sizes before they go through *model*, if there is anything. No picture is
    named, so that Python shows one warning of many pictures alike."""
    known = model.size or model.spec.size
    shown = f"{known[0]} × {known[1]}"
    if model.size:
        count = sum(size != known for size in sizes)
        told = (
            f"this export makes {shown} only: {count:,} of {len(sizes):,} pictures are resized to that, and what it "
            "makes of them back; --tile reads them piece by piece, and one with --dynamic takes any size"
        )
        return told if count else None
    factors = [math.sqrt(math.prod(size) / math.prod(known)) for size in sizes]
    far = [factor for factor in factors if not 1 / FAR < factor < FAR]
    if not far:
        return None
    furthest = max(far, key=lambda factor: abs(math.log(factor)))
    return (
        f"{len(far):,} of {len(sizes):,} pictures are far from {shown}, the size of training (the furthest has "
        f"{furthest:.2g} times its sides), where networks do worse; --training-size (training_size=True) resizes"
    )


def translated(model: Model, pictures: Picture, *, training_size: bool = False) -> Picture:
    """What *model* makes of *pictures* (n, h, w, c) of one size, as `read_input` reads them: 8-bit, at that size or,
    with *training_size*, at that of its training."""
    fixed = model.size or (model.spec.size if training_size else None)
    read = np.stack([_fitted(picture, model.spec, fixed, resize) for picture in pictures])
    made = _made(model, _pixels(read, model.spec), pictures.shape[1:3], training_size=training_size)
    return to_uint8(torch.from_numpy(made))


def _translated(model: Model, path: Path, *, training_size: bool) -> NDArray[Any]:
    """8-bit (h, w, c), or numbers (h, w) where the model makes such, at the size of the picture in *path*."""
    spec, read = model.spec, model.ranges.get("input")
    fixed = model.size or (spec.size if training_size else None)
    picture: NDArray[Any]
    if spec.reads_labels:
        picture = read_values(path, bits=8)
        x = _classes(path, _fitted(picture, spec, fixed, resize_values), spec)
    elif read:
        picture = scaled(read_numbers(path)[0], read)
        x = _fitted(picture, spec, fixed, resize_numbers).clip(0, 1)[None, None] * 2 - 1
    else:
        picture = read_input(path, spec.in_channels)
        x = _pixels(_fitted(picture, spec, fixed, resize)[None], spec)
    made = _made(model, x, picture.shape[:2], training_size=training_size)
    if numbers := model.ranges.get("target"):
        return restored((made[0, 0] + 1) / 2, numbers)
    shown: Picture = to_uint8(torch.from_numpy(made))[0]
    return shown


def _made(model: Model, x: Pixels, size: tuple[int, ...], *, training_size: bool) -> Pixels:
    """What *model* makes of *x*, which was fitted from pictures of *size* (height, width), at that size again."""
    made = model.run(x)
    if training_size:
        return made
    height, width = size
    if model.size is None:
        return made[..., :height, :width]
    return np.stack([[resize_numbers(plane, (height, width)) for plane in one] for one in made])


def _fitted(
    picture: NDArray[Any],
    spec: GeneratorSpec,
    fixed: tuple[int, int] | None,
    resized: Callable[[NDArray[Any], tuple[int, int]], NDArray[Any]],
) -> NDArray[Any]:
    """*picture* (h, w, …) at the *fixed* size, or grown to one that the generator reads."""
    return resized(picture, fixed) if fixed else reflected(picture, spec.fitting(picture.shape[:2]))


def _pixels(pictures: Picture, spec: GeneratorSpec) -> Pixels:
    read: Pixels = to_float(pictures[..., STORED[spec.in_channels]]).numpy()
    return read


def _classes(path: Path, ids: np.ndarray, spec: GeneratorSpec) -> Pixels:
    classes = spec.in_channels - 1
    if ids.max() >= classes:
        raise GancompError(f"{path}: has class {ids.max()}, but this model knows 0 to {classes - 1}")
    planes = np.zeros((1, spec.in_channels, *ids.shape), np.float32)
    np.put_along_axis(planes, ids[None, None], 1.0, axis=1)
    planes[0, -1] = borders(ids)
    return planes
