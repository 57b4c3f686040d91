"""The manifest of a prepared data set: its files, their hashes and splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError, model_validator

from gancomp.config.strict import Strict
from gancomp.data.classes import LabelClass
from gancomp.data.settings import Kind, Split
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256, read_json
from gancomp.spec import Role, ValueRange

NAME = "manifest.json"
_FILE = re.compile(r"(train|val|truth)/(\d{4,}/)?[\w-][\w.-]*\.png")


class Manifest(Strict):
    """`manifest.json`. Files are relative to its folder and cannot leave it; they may be in numbered sub-folders.

    `splits` are files A|B. If `splits_b` has a split too, that split is unpaired: its files in `splits` contain only A,
    those in `splits_b` only B. `classes` are those of label maps, in the order of their indices and with their
    colours. `truth` has the hashes of label maps that are larger than the pictures, named
    `truth/NAME.png` for `val/NAME.png` or `train/NAME.png`. `ranges` are those of numeric pictures
    (`gancomp.data.values`).
    """

    name: str
    dataset: dict[str, Any]
    kind: Kind = "pairs"
    size: tuple[int, int]
    splits: dict[Split, tuple[str, ...]]
    splits_b: dict[Split, tuple[str, ...]] = Field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    sha256: dict[str, str]
    truth: dict[str, str] = Field(default_factory=dict)
    ranges: dict[Role, ValueRange] = Field(default_factory=dict)
    data_hash: str
    attribution: str
    rejected: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if set(self.splits) != {"train-1", "train-2", "val"}:
            raise ValueError(f"splits must be train-1, train-2 and val, not {', '.join(self.splits)}")
        both = (*self.splits.items(), *self.splits_b.items())
        files = [file for _, members in both for file in members]
        if len(files) != len(set(files)) or set(files) != set(self.sha256):
            raise ValueError("every file must be in one split and have one sha256")
        for split, members in both:
            folder = "val/" if split == "val" else "train/"
            for file in members:
                if not _FILE.fullmatch(file) or not file.startswith(folder):
                    raise ValueError(f"splits.{split}: {file!r} is not a picture in {folder}")
        for file in self.truth:
            if not _FILE.fullmatch(file) or not file.startswith("truth/"):
                raise ValueError(f"truth: {file!r} is not a picture in truth/")
        if self.data_hash != hash_of(self.sha256 | self.truth):
            raise ValueError("data_hash does not match the hashes of the files")
        return self

    @model_validator(mode="after")
    def _of_its_kind(self) -> Manifest:
        training_b = {split for split in self.splits_b if split != "val"}
        if training_b != ({"train-1", "train-2"} if self.kind == "unpaired" else set()):
            raise ValueError(f"splits_b: does not belong to a data set of {self.kind}")
        if bool(self.classes) != (self.kind == "labels"):
            raise ValueError(f"classes: {len(self.classes)} do not belong to a data set of {self.kind}")
        colours = {one.colour for one in self.classes}
        if len(colours) < len(self.classes) or any(
            blue % 2 or not all(0 <= value < 256 for value in (red, green, blue)) for red, green, blue in colours
        ):
            raise ValueError("classes: colours must be distinct, 8-bit, and even in blue")
        return self


def hash_of(sha256: Mapping[str, str]) -> str:
    """The data hash: sha256 over the sorted lines `NAME SHA256`, independent of sub-folders."""
    lines = sorted(f"{name_of(file)} {digest}\n" for file, digest in sha256.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def name_of(file: str) -> str:
    """A file's name without sub-folder: `train/0012/NAME.png` → `train/NAME.png`."""
    path = PurePosixPath(file)
    return f"{path.parts[0]}/{path.name}"


def load_manifest(root: Path) -> Manifest:
    """The manifest in the folder *root*. Raises GancompError if it is missing, not JSON, or inconsistent."""
    path = root / NAME
    data = read_json(path)
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise GancompError(
            f"{path}: {where + ': ' if where else ''}{message}; delete {root} and build the data set again"
        ) from None


def verify(root: Path) -> Manifest:
    """Compare the hash of every picture with the manifest: about a second per 100 MB, cheap before a long training.

    Raises GancompError with the first picture that is missing or has changed.
    """
    manifest = load_manifest(root)
    for file, expected in (manifest.sha256 | manifest.truth).items():
        path = root / file
        if not path.is_file():
            raise GancompError(f"{path}: missing; delete {root / NAME} and build the data set again")
        if file_sha256(path) != expected:
            raise GancompError(
                f"{path}: changed since it was built (its sha256 differs); delete {root / NAME} and build it again"
            )
    return manifest
