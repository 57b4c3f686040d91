"""Verify results from another machine: intact, and made with this configuration and these pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from gancomp.config.settings import Config
from gancomp.data.manifest import load_manifest
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256, read_csv, read_json
from gancomp.pipeline.places import owner
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import stages_of

#: The file beside the stages' folders with the hashes from the other machine, as `sha256sum` writes it.
SUMS = "SHA256SUMS"
#: Files with the data hash of their pictures.
OF_THE_DATA = ("metrics.json", "evaluation.json")
#: Readers that detect damaged files.
READERS = {".json": read_json, ".csv": read_csv}


def verify_results(config: Config, experiment: str) -> None:
    """Check the files of *experiment* against the configuration, the data set and their hashes; print what agrees.

    Checks settings in each stage's `config.json` and in checkpoints' headers, data hashes in `metrics.json` and
    `evaluation.json`, file hashes in `SHA256SUMS` (if present) and in the exported generator's card, and checksums
    within JSON and CSV files. Stages that a base owns are verified under the base's name. Reads weights only to hash
    them.
    Raises GancompError with all invalid files, or if there are no results.
    """
    root = paths.RESULTS / experiment
    data_hash = load_manifest(paths.dataset(config.experiments[experiment].dataset)).data_hash
    own = [stage for stage in stages_of(config, experiment) if owner(config, experiment, stage) == experiment]
    there = [stage for stage in (*own, "reference") if any(paths.stage(experiment, stage).glob("*.*"))]
    if not there:
        raise GancompError(f"{root}: contains no stage of {experiment!r}; copy the folder there first")

    faults = [fault for stage in there for fault in _stage_faults(config, experiment, stage, data_hash)]
    sums = root / SUMS
    hashes = _read_sums(sums) if sums.is_file() else {}
    faults += _hash_faults(root, hashes)
    if faults:
        raise GancompError("these results are invalid:\n" + "\n".join(faults))
    print(f"{root}: settings and pictures agree: {', '.join(there)}")
    print(f"{sums}: " + (f"{len(hashes)} files agree" if hashes else "missing, so no file hashes were checked"))


def _stage_faults(config: Config, experiment: str, stage: str, data_hash: str) -> Iterator[str]:
    folder = paths.stage(experiment, stage)
    if damaged := list(_damaged(folder)):
        yield from damaged
        return
    if stage not in ("export", "reference"):
        expected = json.loads(json.dumps(stage_settings(config, experiment, stage)))
        if difference := first_difference(read_json(folder / "config.json"), expected):
            yield f"{folder / 'config.json'}: made with other settings: {difference} in the configuration"
    for path in (folder / name for name in OF_THE_DATA):
        if path.is_file() and _value(path, "data_hash") != data_hash:
            yield f"{path}: made on other pictures (its data_hash differs from the data set's manifest)"
    metrics = folder / "metrics.json"
    if imported := _value(metrics, "imported") if metrics.is_file() else None:
        source = Path(imported["checkpoint"])
        if source.is_file() and file_sha256(source) != imported["sha256"]:
            yield f"{metrics}: imported from another file than the present {source} (its sha256 differs)"
    model = folder / "model.safetensors"
    if model.is_file() and read_header(model).signature != signature(config, experiment, stage):
        yield f"{model}: made with other settings, or by another stage (its header's signature)"
    card = folder / "card.json"
    if card.is_file() and model.is_file() and _value(card, "sha256") != file_sha256(model):
        yield f"{model}: is not the file that {card.name} describes (its sha256 differs)"


def _damaged(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except GancompError as error:
                yield str(error)


def _value(path: Path, key: str) -> Any:
    data = read_json(path)
    return data.get(key) if isinstance(data, dict) else None


def first_difference(found: Any, expected: Any, key: str = "") -> str:
    """The first difference of two trees of plain data, as `key: found, but expected`; empty if they are equal."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted(found.keys() | expected.keys()):
            inner = f"{key}.{name}" if key else name
            if difference := first_difference(found.get(name), expected.get(name), inner):
                return difference
        return ""
    return "" if found == expected else f"{key}: {found!r}, but {expected!r}"


def _read_sums(path: Path) -> dict[str, str]:
    """File → sha256. Raises GancompError for a line not from `sha256sum`, or a file outside the folder."""
    hashes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if not match:
            raise GancompError(f"{path}, line {number}: expected a sha256 and a file, as `sha256sum` writes them")
        file = PurePosixPath(match[2])
        inside = (path.parent / file).resolve().is_relative_to(path.parent.resolve())
        if file.is_absolute() or ".." in file.parts or not inside:
            raise GancompError(f"{path}, line {number}: {match[2]!r} is outside this folder")
        hashes[str(file)] = match[1]
    return hashes


def _hash_faults(root: Path, hashes: dict[str, str]) -> Iterator[str]:
    for file, expected in hashes.items():
        if not (root / file).is_file():
            yield f"{root / file}: missing, but listed in {SUMS}; copy it again, or remove its line"
        elif file_sha256(root / file) != expected:
            yield f"{root / file}: truncated or changed (its sha256 differs from {SUMS}); copy it again"
