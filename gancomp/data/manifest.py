"""The manifest of a prepared data set: its files, their hashes and splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from gancomp.artifacts import file_sha256, read_json
from gancomp.config import Split
from gancomp.errors import GancompError
from gancomp.spec import Strict

NAME = "manifest.json"
_FILE = re.compile(r"(train|val)/[\w-][\w.-]*\.png")


class Manifest(Strict):
    """`manifest.json`. Files are relative to its folder and cannot leave it."""

    name: str
    dataset: dict[str, Any]
    size: tuple[int, int]
    splits: dict[Split, tuple[str, ...]]
    sha256: dict[str, str]
    data_hash: str
    attribution: str
    rejected: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if set(self.splits) != {"train-1", "train-2", "val"}:
            raise ValueError(f"splits must be train-1, train-2 and val, not {', '.join(self.splits)}")
        files = [file for split in self.splits.values() for file in split]
        if len(files) != len(set(files)) or set(files) != set(self.sha256):
            raise ValueError("every file must be in one split and have one sha256")
        for split, members in self.splits.items():
            folder = "val/" if split == "val" else "train/"
            for file in members:
                if not _FILE.fullmatch(file) or not file.startswith(folder):
                    raise ValueError(f"splits.{split}: {file!r} is not a picture in {folder}")
        if self.data_hash != hash_of(self.sha256):
            raise ValueError("data_hash does not belong to the hashes of the files")
        return self


def hash_of(sha256: Mapping[str, str]) -> str:
    """The data hash: sha256 over the sorted lines `FILE SHA256`."""
    lines = sorted(f"{file} {digest}\n" for file, digest in sha256.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_manifest(root: Path) -> Manifest:
    """The manifest in the folder *root*; GancompError when it is missing, not JSON, or not consistent in itself."""
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
    """Hash every picture against the manifest: about a second for 100 MB, so cheap before a long training.

    Raises GancompError naming the first picture that is missing or has changed.
    """
    manifest = load_manifest(root)
    for file, expected in manifest.sha256.items():
        path = root / file
        if not path.is_file():
            raise GancompError(f"{path}: missing; delete {root / NAME} and build the data set again")
        if file_sha256(path) != expected:
            raise GancompError(
                f"{path}: changed since it was built (its sha256 differs); delete {root / NAME} and build it again"
            )
    return manifest
