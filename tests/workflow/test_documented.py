"""What the pages tell people to run can be planned; the targets beside the default ones plan what they need."""

from __future__ import annotations

import re
import shlex

import pytest
from test_docs import PAGES, blocks

from tests.workflow.conftest import Workspace
from tests.workflow.test_plan import EVERYTHING, QUICKLY


def documented() -> list[str]:
    """Every `snakemake …` of the pages' shell blocks, but those that need a finished run, a cluster or the like."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found = [match[1] for line in lines if (match := re.match(r"(?:uv run )?snakemake\b(.*?)(?:\s+#.*)?$", line))]
    needing_more = ("--touch", "--report", "profiles/slurm", "apptainer", "--default-storage-provider")
    return sorted({call for call in found if not any(option in call for option in needing_more)})


@pytest.mark.slow
@pytest.mark.parametrize("call", documented())
def test_a_documented_command_can_be_planned(fresh: Workspace, call: str) -> None:
    plan = fresh.snakemake("--dry-run", *shlex.split(call))
    assert plan.status == 0, plan.text
    assert plan.jobs


COMPRESSED = QUICKLY.keys() - {
    *("evaluate", "reference", "benchmark", "tabulate", "draw", "page", "narrow"),
}


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("export/model.onnx", {"export_onnx": 1}),
        ("export/model.tflite", {"export_litert": 1}),
        ("export/model.pte", {"export_executorch": 1}),
        ("export/model.mlpackage", {"export_coreml": 1}),
        ("export/model-tensorrt-fp16.onnx", {"export_tensorrt": 1}),
        ("export/model-fp16.xml", {"export_openvino": 1}),
        ("export/model.pt2", {"export_torch": 1}),
        ("demo/index.html", {"web_runtime": 1, "demo_page": 1}),
        ("latency/latency.md", {"latency": 1}),
    ],
)
def test_targets_of_deployment(fresh: Workspace, target: str, more: dict[str, int]) -> None:
    plan = fresh.plan(f"results/fluent-quick/{target}")
    assert plan.jobs == {rule: QUICKLY[rule] for rule in COMPRESSED} | more


def test_the_page_of_a_search_needs_the_search_and_what_real_pictures_score(fresh: Workspace) -> None:
    plan = fresh.plan("results/fluent-quick/explore/index.html")
    later = {"subnet", "finetune", "export"}
    assert plan.jobs == {rule: QUICKLY[rule] for rule in COMPRESSED - later} | {"explore": 1, "reference": 1}


def test_latency_is_measured_only_where_it_is_asked_for(fresh: Workspace) -> None:
    asked = fresh.plan("--config", "run=[emoji-quick]", "experiments={emoji-quick: {search: {latency: {limit_ms: 5}}}}")
    assert asked.jobs == EVERYTHING | {"subnet_latency": 1}
