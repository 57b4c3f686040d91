"""A whole run, from the data to the export, killed at moments that nobody chose: the same files in the end."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_run import Workspace

from tests.train.test_resume import TIMES, run_killed

#: What a run measured of itself, and of the commit that it ran.
MEASURED = ("seconds", "images_per_second", "code_version")
#: The undisturbed run scored in one shard, and trained one stage more.
LEFT_OUT = ("shards", "scratch")


def everything(folder: Path) -> dict[str, Any]:
    """All that a run wrote, hidden files too, less its measured times."""
    files: dict[str, Any] = {}
    for path in sorted((*(folder / "data").rglob("*"), *(folder / "results").rglob("*"))):
        if path.is_file() and not {*path.parts} & {*LEFT_OUT}:
            files[str(path.relative_to(folder))] = content(path)
    return files


def content(path: Path) -> Any:
    if path.name in ("metrics.json", "card.json"):
        return {name: value for name, value in json.loads(path.read_text()).items() if name not in MEASURED}
    if path.name == "log.csv":
        rows = csv.DictReader(path.read_text().splitlines())
        return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    return path.read_bytes()


@pytest.mark.parametrize(
    ("kills", "seed"),
    [pytest.param(3, 0, id="3 kills"), pytest.param(30, 1, id="30 kills", marks=pytest.mark.long)],
)
def test_killed_and_run_again(finished: Workspace, tmp_path: Path, kills: int, seed: int) -> None:
    shutil.copytree(finished.folder / "pictures", tmp_path / "pictures")
    draw, longest = random.Random(seed), 6 / kills + 0.3
    job = {"folder": str(tmp_path), "settings": finished.settings()}

    ends = run_killed([*(job | {"seconds": draw.uniform(0.1, longest)} for _ in range(kills)), job])

    assert ends[-1] == 0
    assert {*ends[:-1]} <= {-9, 0}  # a fast machine may come to the end
    assert ends[0] == -9
    mine, theirs = everything(tmp_path), everything(finished.folder)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []
