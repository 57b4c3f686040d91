"""What the workflow plans: dry runs, which train nothing."""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import typer

from gancomp.cli.main import app
from gancomp.config.loading import load
from gancomp.pipeline.signatures import signature
from tests.workflow.conftest import ROOT, Workspace

QUICK = load([ROOT / "config.yaml"]).experiments["fluent-quick"]
TINY = load([ROOT / "config.yaml", ROOT / "config/tiny.yaml"]).experiments["tiny"]

TRAININGS = {"original": 1, "teacher": 1, "distill": 1, "supernet": 1, "finetune": 1, "narrow": 1}
EVERYTHING = TRAININGS | {
    "dataset": 1,
    "inception": 1,
    "statistics": 1,
    "search": QUICK.search.shards,
    "merge": 1,
    "select": 1,
    "subnet": 1,
    "evaluate": 4,
    "reference": 1,
    "export": 1,
    "benchmark": 1,
    "tabulate": 1,
    "draw": 1,
    "page": 1,
}
#: The first command's, whose original is the teacher.
QUICKLY = {rule: count for rule, count in EVERYTHING.items() if rule != "teacher"}


def overriding(experiment: str) -> tuple[str, str]:
    return "--config", f"experiments={{{experiment}}}"


@pytest.fixture(scope="module")
def tiny_made(new_workspace: Callable[[str], Workspace]) -> Workspace:
    """config/tiny.yaml seems to have run here; for dry runs only."""
    workspace = new_workspace("tiny-made")
    workspace.pretend_finished("--configfile", "config/tiny.yaml")
    for side in ("train", "val"):
        (workspace.folder / "data/emoji-tiny" / side).mkdir()
    return workspace


# --- what runs ---------------------------------------------------------------------------------


def test_lint(fresh: Workspace) -> None:
    linted = fresh.snakemake("--lint")
    assert linted.status == 0, linted.text


def test_by_default_every_stage_of_the_quick_experiment_runs_once(fresh: Workspace) -> None:
    assert fresh.plan().jobs == QUICKLY


def test_tiny_goes_through_every_rule_and_splits_the_search(fresh: Workspace) -> None:
    assert TINY.search.shards == 2
    assert fresh.plan("--configfile", "config/tiny.yaml").jobs == EVERYTHING | {"search": 2}


ALONE = {"dataset", "inception", "statistics", "original", "evaluate", "reference", "benchmark", "tabulate", "page"}


@pytest.mark.parametrize(
    ("files", "more", "less"),
    [
        (("tiny-cyclegan",), {}, set()),
        (("tiny-gaugan",), {"judge": 1, "perceptual": 1}, set()),
        (("tiny", "tiny-own"), {"search": 2}, set()),
        (("tiny", "tiny-imported"), {"search": 2}, set()),
        (("tiny-unet",), {"evaluate": 1, "draw_alone": 1}, EVERYTHING.keys() - ALONE),
    ],
)
def test_every_path_runs_its_stages_once(
    tiny_made: Workspace, files: tuple[str, ...], more: dict[str, int], less: set[str]
) -> None:
    plan = tiny_made.plan("--configfile", *(f"config/{file}.yaml" for file in files))
    fresh = {rule: count for rule, count in EVERYTHING.items() if rule not in less} | more
    # What config/tiny.yaml made is there already: the weights, and for an import of its original the pictures.
    shared = {"inception"} | ({"dataset", "statistics"} if files[-1] == "tiny-imported" else set())
    assert plan.jobs == {rule: count for rule, count in fresh.items() if rule not in shared}


@pytest.mark.parametrize("experiment", ["edges2shoes-pix2pix", "maps-pix2pix", "horse2zebra-cyclegan"])
def test_the_papers_experiments_plan_from_the_download_on(fresh: Workspace, experiment: str) -> None:
    shards = load([ROOT / "config.yaml"]).experiments[experiment].search.shards
    lpips = {"lpips": 1} if experiment == "edges2shoes-pix2pix" else {}
    assert fresh.plan("--config", f"run=[{experiment}]").jobs == EVERYTHING | {"search": shards} | lpips


def test_cityscapes_is_judged_by_its_network(fresh: Workspace) -> None:
    jobs = fresh.plan("--config", "run=[cityscapes-gaugan]").jobs
    assert jobs.items() >= {"judge": 1, "perceptual": 1, "search": 64}.items()


def test_any_file_is_a_target(fresh: Workspace) -> None:
    plan = fresh.plan("results/emoji/supernet/model.safetensors")
    assert plan.jobs == {"dataset": 1, "teacher": 1, "distill": 1, "supernet": 1}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("data", {"dataset": 1}),
        (
            "models",
            QUICKLY.keys() - {"evaluate", "reference", "narrow", "benchmark", "tabulate", "draw", "page"},
        ),
        ("tables", QUICKLY.keys() - {"export", "draw", "page"}),
        ("figures", QUICKLY.keys() - {"export", "benchmark", "tabulate", "page"}),
    ],
)
def test_named_targets(fresh: Workspace, target: str, expected: set[str]) -> None:
    assert fresh.plan(target).jobs.keys() == set(expected)


def test_the_search_runs_in_as_many_shards_as_asked_for(fresh: Workspace) -> None:
    plan = fresh.plan(*overriding("fluent-quick: {search: {shards: 5}}"))
    assert plan.jobs == QUICKLY | {"search": 5}
    assert [f"--shard {index}-of-5" in plan.text for index in range(6)] == [True] * 5 + [False]
    # Hundreds of shards do not bury the other stages' logs.
    assert set(re.findall(r"results/fluent-quick/logs/search\S*\.log", plan.text)) == {
        f"results/fluent-quick/logs/search/{index}-of-5.log" for index in range(5)
    }


@pytest.mark.parametrize(("method", "rule"), [("halving", "halve"), ("evolution", "evolve")])
def test_the_search_that_scores_fewer_is_one_job(fresh: Workspace, method: str, rule: str) -> None:
    plan = fresh.plan(*overriding(f"fluent-quick: {{search: {{method: {method}}}}}"))
    assert plan.jobs == {name: count for name, count in QUICKLY.items() if name not in {"search", "merge"}} | {rule: 1}


def test_parsing_imports_no_torch(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    imported = re.findall(r"^import time: .*\| +(\S+)$", fresh.plan().text, re.MULTILINE)
    assert "gancomp.config.settings" in imported
    assert not {"torch", "torchvision", "openvino"} & set(imported)


# --- the commands ------------------------------------------------------------------------------


def test_every_planned_command_is_one_that_gancomp_understands(fresh: Workspace) -> None:
    stages = {"search": "scores", "merge": "scores", "select": "search", "slim": "export"}
    files = [fresh.folder / "config.yaml", fresh.folder / "config/tiny.yaml"]
    config = load(files, {"experiments": {"tiny": {"seed": 7}}})
    group: Any = typer.main.get_command(app)
    commands = group.commands
    plan = fresh.plan("--configfile", "config/tiny.yaml", *overriding("tiny: {seed: 7}"))
    assert len(plan.commands) == sum((EVERYTHING | {"search": TINY.search.shards}).values())
    for line in plan.commands:
        command, log = line.split(" 2>&1 | tee ")
        _, name, *arguments = shlex.split(command)
        given = commands[name].make_context(name, arguments).params
        assert log.endswith(".log")
        if name == "inception":
            continue
        assert [str(path) for path in given["configfile"]] == ["config.yaml", "config/tiny.yaml"]
        assert load(files, {"experiments": {"tiny": {"seed": "7"}}}) == config
        assert given["set_"] == '{"experiments": {"tiny": {"seed": "7"}}}'
        if expected := given.get("expect"):
            stage = str(given["stage"].value if name == "evaluate" else stages.get(name, name))
            assert expected == signature(config, "tiny", stage)
    told = Counter("--expect" in line for line in plan.commands)
    assert told[True] == sum(TRAININGS.values()) + 2 + 4 + 4  # shards · merge, select, subnet, export · evaluate


def test_a_command_is_short_when_the_configuration_is_the_usual_one(fresh: Workspace) -> None:
    assert not any("--configfile" in line or "--set" in line for line in fresh.plan().commands)


def test_a_replaced_configuration_is_passed_on_alone(fresh: Workspace) -> None:
    shutil.copy(fresh.folder / "config.yaml", fresh.folder / "my own.yaml")
    plan = fresh.plan("--configfile", "my own.yaml", "--replace-workflow-config")
    assert plan.jobs == QUICKLY
    assert all("--configfile 'my own.yaml'" in line for line in plan.commands if " inception " not in line)
    assert not any("--configfile config.yaml" in line for line in plan.commands)


# --- bad configurations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (overriding("fluent-quick: {sede: 3}"), "experiments.fluent-quick.sede: unknown key (did you mean 'seed'?)"),
        (overriding("fluent-quick: {original: {lr: -1}}"), "experiments.fluent-quick.original.lr"),
        (overriding("fluent-quick: {base: emojo}"), "no experiment 'emojo' (did you mean 'emoji'?)"),
        (overriding("fluent-quick: {dataset: emoji-46}"), "no data set 'emoji-46' (did you mean 'emoji-64'?)"),
        (overriding("fluent-quick: {search: {budget: 100x}}"), "experiments.fluent-quick.search.budget: 100x allows"),
        (("--config", "run=[fluent-quik]"), "no experiment 'fluent-quik' (did you mean 'fluent-quick'?)"),
        (("--config", "experiment={}"), "experiment: unknown key"),
    ],
)
def test_a_bad_configuration_is_told_before_anything_is_planned(
    fresh: Workspace, arguments: tuple[str, ...], message: str
) -> None:
    refused = fresh.snakemake(*arguments)
    assert refused.status == 1
    assert message in refused.text
    assert "Traceback" not in refused.text
    assert not (fresh.folder / "data").exists()
    assert not (fresh.folder / "results").exists()


def test_an_unknown_experiment_is_no_target(fresh: Workspace) -> None:
    refused = fresh.snakemake("-n", "results/emoij/export/model.safetensors")
    assert refused.status == 1
    assert "results/emoij/export/model.safetensors" in refused.text


# --- base: nothing is trained twice ------------------------------------------------------------

CHILD = "run=[fluent-quick, child]", "experiments={child: {base: fluent-quick, finetune: {epochs_decay: 77}}}"


def test_a_base_shares_the_stages_that_are_equal(fresh: Workspace) -> None:
    plan = fresh.plan("--config", *CHILD)
    own = {
        "finetune": 2,
        "evaluate": 5,
        "reference": 2,
        "export": 2,
        "benchmark": 2,
        "tabulate": 2,
        "draw": 2,
        "page": 2,
    }
    assert plan.jobs == QUICKLY | own
    assert not [name for name in plan.outputs if name.startswith("results/child/original")]


def test_a_shared_stage_under_a_second_name_is_refused(fresh: Workspace) -> None:
    refused = fresh.snakemake("-n", "results/child/original/model.safetensors", "--config", *CHILD)
    assert refused.status == 1
    assert "use results/fluent-quick/original" in refused.text


# --- the paper's tables and figures ------------------------------------------------------------

LAPTOP = "--configfile", "config/laptop.yaml"
#: Table 3 at the laptop's scale: seven students and their teacher, each at three seeds.
TABLE_3 = {
    **{"dataset": 1, "inception": 1, "statistics": 1, "teacher": 3, "distill": 21, "evaluate": 24},
    **{"paper_table": 1, "table3": 1},
}


def test_a_table_trains_what_it_shows_once(fresh: Workspace) -> None:
    assert fresh.plan("table3", *LAPTOP).jobs == TABLE_3


def test_tables_share_what_they_both_show(fresh: Workspace) -> None:
    """Table 7 needs its four dense students, their teacher, the original, and the winner of the search."""
    both, one = (fresh.plan(*targets, *LAPTOP).jobs for targets in (("table3", "table7"), ("table7",)))
    assert both["distill"] == TABLE_3["distill"] + 4
    assert one["distill"] == 4 + 3  # the winner's students have three seeds
    assert both["teacher"] == 3


def test_the_paper_is_planned_at_its_own_scale(fresh: Workspace) -> None:
    jobs = fresh.plan("paper", "--configfile", "config/paper.yaml").jobs
    trained = {stage: jobs[stage] for stage in ("original", "teacher", "distill", "supernet", "finetune", "narrow")}
    assert trained == {"original": 18, "teacher": 5, "distill": 38, "supernet": 5, "finetune": 17, "narrow": 5}
    assert (jobs["paper_table"], jobs["paper_figure"], jobs["dataset"]) == (8, 15, 5)
    assert jobs["search"] == 16 * 4 + 64


def test_three_seeds_of_the_paper_train_three_times_as_much(fresh: Workspace) -> None:
    seeds = "--config", "experiments={edges2shoes-pix2pix: {seeds: [0, 1, 2]}}"
    one, three = (fresh.plan("table3", "--configfile", "config/paper.yaml", *more).jobs for more in ((), (*seeds,)))
    assert three["teacher"] - one["teacher"] == 2 * 2  # cityscapes is built on edges→shoes, so its own, too
    assert three["dataset"] == one["dataset"]


def test_the_scale_of_one_gpu_is_planned(fresh: Workspace) -> None:
    jobs = fresh.plan("paper", "--configfile", "config/gpu.yaml").jobs
    assert (jobs["paper_table"], jobs["dataset"]) == (8, 4)


@pytest.fixture(scope="module")
def table_made(new_workspace: Callable[[str], Workspace]) -> Workspace:
    """Table 3 seems to have run here; for dry runs only."""
    workspace = new_workspace("table-made")
    workspace.pretend_finished("table3", *LAPTOP)
    return workspace


def test_another_variant_trains_itself_alone(table_made: Workspace) -> None:
    change = "--config", "experiments={emoji-laptop: {variants: {prune: {distill: {batch: 4}}}}}"
    jobs = table_made.plan("table3", *LAPTOP, *change).jobs
    assert jobs == {"distill": 3, "evaluate": 3, "paper_table": 1, "table3": 1}


def test_a_deleted_table_is_made_anew_without_training(table_made: Workspace) -> None:
    table = table_made.folder / "results/studies/laptop/table3.md"
    content = table.read_bytes()
    table.unlink()
    assert table_made.plan("table3", *LAPTOP).jobs == {"paper_table": 1, "table3": 1}
    table.write_bytes(content)


# --- side by side ------------------------------------------------------------------------------


def test_experiments_side_by_side_run_at_all_their_seeds(fresh: Workspace) -> None:
    """And train what they share once: `tight` has its base's seeds, originals and once-for-all networks."""
    change = "experiments={fluent-quick: {seeds: [0, 1]}, tight: {base: fluent-quick, search: {budget: 11x}}}"
    plan = fresh.plan("results/compare/fluent-quick+tight/index.html", "--config", change)
    assert plan.jobs["side_by_side"] == 1
    assert (plan.jobs["original"], plan.jobs["supernet"], plan.jobs["finetune"]) == (2, 2, 4)
    assert "gancomp compare fluent-quick tight --set" in plan.text
    unknown = fresh.snakemake("-n", "results/compare/fluent-quick+tite/index.html", "--config", change)
    assert unknown.status == 1
    assert "results/compare/fluent-quick+tite/index.html" in unknown.text


# --- what runs again ---------------------------------------------------------------------------


def test_with_everything_built_there_is_nothing_to_be_done(finished: Workspace) -> None:
    assert finished.snakemake().nothing_to_be_done


AFTER_FINETUNE = {"finetune", "export", "evaluate", "benchmark", "tabulate", "draw", "page"}
AFTER_SEARCH = AFTER_FINETUNE | {"search", "merge", "select", "subnet", "narrow"}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("title: Another", {"tabulate", "page"}),
        ("benchmark: {runs: 77}", {"benchmark", "tabulate", "page"}),
        ("finetune: {epochs_decay: 77}", AFTER_FINETUNE),
        ("narrow: {epochs_decay: 77}", {"narrow", "evaluate", "benchmark", "tabulate", "draw", "page"}),
        # The band of real pictures is of as many as the search scores by.
        ("search: {images: 77}", AFTER_SEARCH | {"reference"}),
        ("distill: {prune: false}", AFTER_SEARCH | {"distill", "supernet"}),
        ("seed: 77", set(QUICKLY) - {"dataset", "inception", "statistics"}),
    ],
)
def test_a_changed_setting_runs_its_stage_and_what_follows(finished: Workspace, change: str, again: set[str]) -> None:
    assert finished.plan(*overriding(f"fluent-quick: {{{change}}}")).jobs.keys() == again


def test_a_changed_data_set_runs_everything_but_the_weights(finished: Workspace) -> None:
    plan = finished.plan("--config", "datasets={fluent-64: {flip: false}}")
    assert plan.jobs.keys() == set(QUICKLY) - {"inception"}


def test_the_same_setting_written_otherwise_runs_nothing(finished: Workspace) -> None:
    rising = [sorted(choices) for choices in QUICK.supernet.space]
    written = overriding(f"fluent-quick: {{seed: '{QUICK.seed}', supernet: {{space: {rising}}}}}")
    assert finished.snakemake("--dry-run", *written).nothing_to_be_done


def test_the_same_settings_in_another_file_run_nothing(finished: Workspace) -> None:
    shutil.copy(finished.folder / "config.yaml", finished.folder / "other.yaml")
    assert finished.snakemake("--dry-run", "--configfile", "other.yaml").nothing_to_be_done


def test_figures_redraw_where_only_tables_and_pictures_are_left(new_workspace: Callable[[str], Workspace]) -> None:
    workspace = new_workspace("published")
    workspace.pretend_finished()
    shutil.rmtree(workspace.folder / "data")
    shutil.rmtree(workspace.folder / "results/fluent-quick/figures")
    for model in workspace.folder.rglob("*.safetensors"):
        model.unlink()
    assert workspace.plan("figures").jobs == {"draw": 1}


def test_the_profile_does_not_compare_rules() -> None:
    profile = (ROOT / "profiles/default/profile.yaml").read_text(encoding="utf-8")
    assert not re.search(r"^ *- code$", profile, re.MULTILINE)
