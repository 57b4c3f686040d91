"""A whole run, from the data to the export, killed at moments that nobody chose: the same files in the end."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_run import Workspace

from gancomp.pipeline.files import read_json
from tests.train.test_resume import MEASURED as OF_A_RUN
from tests.train.test_resume import TIMES, run_killed

STAGES = (
    *("data", "statistics", "original", "teacher", "distill", "supernet", "search 0-of-2", "search 1-of-2"),
    *("merge", "select", "subnet", "finetune", "narrow", "export"),
)
#: What a run measured of itself, and of the commit that it ran.
MEASURED = (*OF_A_RUN, "code_version")
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
        return {name: value for name, value in read_json(path).items() if name not in MEASURED}
    if path.name == "log.csv":
        rows = csv.DictReader(path.read_text().splitlines())
        return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    return path.read_bytes()


@pytest.mark.parametrize(
    "during",
    [
        pytest.param(("teacher", "search 0-of-2", "finetune"), id="3 kills", marks=pytest.mark.slow),
        pytest.param((*STAGES, *STAGES[:-1], "teacher", "supernet", "finetune"), id="30 kills", marks=pytest.mark.long),
    ],
)
def test_killed_and_run_again(finished: Workspace, tmp_path: Path, during: tuple[str, ...]) -> None:
    """Each time a moment after a stage, or one that follows, began."""
    shutil.copytree(finished.folder / "pictures", tmp_path / "pictures")
    draw = random.Random(0)
    job = {"folder": str(tmp_path), "settings": finished.settings()}
    places = sorted(map(STAGES.index, during))
    kills = [job | {"during": STAGES[place:], "seconds": draw.uniform(0, 0.08)} for place in places]

    ends = run_killed([*kills, job])

    assert ends[-1] == 0
    assert {*ends[:-1]} <= {-9, 0}
    assert ends.count(-9) >= len(during) - 2  # the export may be over by then
    mine, theirs = everything(tmp_path), everything(finished.folder)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []
