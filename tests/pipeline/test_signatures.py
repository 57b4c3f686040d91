"""The stages' files: every reader of a generator checks its stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.config.settings import Config
from gancomp.deploy.slim import export_slim
from gancomp.errors import GancompError
from gancomp.measure.benchmark import benchmark
from gancomp.measure.evaluate import evaluate
from gancomp.measure.runtimes import measure_runtimes
from gancomp.paper.votes import write_vote_page
from gancomp.pipeline.places import model_of
from gancomp.pipeline.stages import stages_of
from gancomp.search.scores import score_shard

READERS: dict[str, tuple[str, Callable[[Config], None]]] = {
    "evaluate": ("narrow", lambda config: evaluate(config, EXPERIMENT, "narrow", "cpu")),
    "benchmark": ("finetune", lambda config: benchmark(config, EXPERIMENT, "cpu")),
    "export": ("finetune", lambda config: export_slim(config, EXPERIMENT)),
    "latency": ("original", lambda config: measure_runtimes(config, EXPERIMENT)),
    "search": ("supernet", lambda config: score_shard(config, EXPERIMENT, 0, 1, "cpu")),
    "votes": ("narrow", lambda config: write_vote_page(config, EXPERIMENT, 2, "cpu")),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_takes_the_generator_of_another_stage(workspace: Workspace, reader: str) -> None:
    """Otherwise it would be scored, measured or shown under the wrong name."""
    stage, read = READERS[reader]
    shutil.copyfile(workspace.stage("teacher") / "model.safetensors", workspace.stage(stage) / "model.safetensors")
    with pytest.raises(GancompError, match=f"{stage}/model.safetensors: contains .*'teacher' instead of '{stage}'"):
        read(workspace.config())


def test_every_stage_has_its_own_generator(workspace: Workspace) -> None:
    config = workspace.config()
    for stage in stages_of(config, EXPERIMENT):
        path = workspace.stage(stage) / "model.safetensors"
        if path.is_file() and stage != "judge":
            assert model_of(config, EXPERIMENT, stage).resolve() == path.resolve()
