"""The workflow as a part of another: as `snakedeploy` sets it up, and as a module that is handed its configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.workflow.conftest import ROOT, Plan, run_snakemake
from tests.workflow.test_plan import QUICKLY

pytestmark = pytest.mark.slow

#: What `snakedeploy deploy-workflow` writes beside a copy of config/, but for where the workflow comes from.
DEPLOYED = f"""
configfile: "config/config.yaml"

module gancomp:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config

use rule * from gancomp
"""
#: A workflow whose configuration has more in it than gancomp's.
AROUND = f"""
configfile: "all.yaml"

module gancomp:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config["compression"]

use rule * from gancomp as gancomp_*

rule listed:
    default_target: True
    input: "data/pairs/manifest.json"
    output: "listed.txt"
    shell: "ls data/pairs/train > {{output}}"
"""
SETTINGS: dict[str, Any] = {
    "other": {"key": 1},
    "compression": {
        "run": ["mine"],
        "datasets": {"pairs": {"source": "aligned", "path": "pictures", "size": 32, "search_count": 2}},
        "experiments": {
            "mine": {
                "dataset": "pairs",
                "original": {"widths": 8, "lr": 1e-05},
                "teacher": {"widths": 6},
                "distill": {"widths": 4},
                "supernet": {"space": [[4, 2]] * 8},
                "search": {"budget": "5x"},
            }
        },
    },
}


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with AROUND and a few pictures."""
    folder = tmp_path_factory.mktemp("around")
    (folder / "Snakefile").write_text(AROUND)
    (folder / "all.yaml").write_text(yaml.safe_dump(SETTINGS))
    for side, count in (("train", 8), ("val", 2)):
        (folder / "pictures" / side).mkdir(parents=True)
        for index in range(count):
            drawn = np.random.default_rng(index + count).integers(0, 255, (32, 64, 3), np.uint8)
            Image.fromarray(drawn).save(folder / "pictures" / side / f"{index}.png")
    return folder


def test_deployed_it_plans_what_it_does_in_a_clone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(DEPLOYED)
    plan = run_snakemake(tmp_path, "--dry-run", "--printshellcmds", "--cores", "1", timeout=600)
    assert plan.status == 0, plan.text
    assert plan.jobs == QUICKLY
    assert all("--configfile config/config.yaml" in line for line in plan.commands if " inception " not in line)


def test_a_part_of_a_configuration_is_checked_by_key(around: Path) -> None:
    refused = run_snakemake(around, "--dry-run", "--config", "compression={runn: [mine]}")
    assert refused.status == 1
    assert "runn: unknown key (did you mean 'run'?)" in refused.text


def test_a_renamed_rule_runs_on_the_part_that_it_was_handed(around: Path) -> None:
    def run() -> Plan:
        return run_snakemake(around, "--printshellcmds", "--cores", "1", timeout=600)

    done = run()
    assert done.status == 0, done.text
    assert done.ran == ["gancomp_dataset", "listed"]
    assert json.loads((around / "data/pairs/manifest.json").read_text())
    assert (around / "listed.txt").read_text()
    assert run().nothing_to_be_done
