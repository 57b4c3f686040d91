"""Helpers of the rules: the checked configuration, the folders of stages, and the options of commands."""

import hashlib
import json
import os
import re
import shlex
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from gancomp.pipeline import paths
from gancomp.pipeline.files import write_text
from gancomp.report.times import benchmark_files
from gancomp.report.comparison import files_of as compared_files, folder_of as comparison_folder
from gancomp.deploy.demo.web_runtime import FILES as WEB_RUNTIME_FILES
from gancomp.metrics.given import given_on, given_weights
from gancomp.paper.measured import files_of
from gancomp.paper.places import FIGURES, GRIDS, TABLES, measured_in, scored_in
from gancomp.config.loading import load, merged
from gancomp.pipeline.signatures import STAGE_VERSION, latency_signature, signature
from gancomp.pipeline.stages import COMPARED, MEASURED, STAGES, TRAININGS, stages_of
from gancomp.pipeline.places import folder, owner
from gancomp.config.study import JOINT, resolve, runs_of
from gancomp.errors import GancompError
from gancomp.extras import absent, installed

TRAINED = tuple(stage for stage in TRAININGS if stage != "scratch")
SCORED = (*COMPARED, "teacher", "distill", "scratch")  # all stages that can be evaluated
# Computing jobs do not share cores; these networks do not benefit from more than 8.
HEAVY = min(workflow.cores, 8)


# --- the configuration -------------------------------------------------------------------------


def config_files():
    """The configuration files in the order of merging: the workflow's own, then those of --configfile."""
    given = workflow.overwrite_configfiles
    replaced = workflow.config_settings.replace_workflow_config
    own = [] if replaced else workflow.configfiles[len(given) :]
    return [Path(file) for file in (*own, *given)]


def config_overrides():
    """The values of --config, which override all files."""
    return dict(workflow.config_settings.config)


def config_sources():
    """The configuration files for the commands, and the overrides.

    A `module` gets its configuration from another workflow: if that differs from the files, for example because it is
    a part of them, it is written to a separate file for the commands.
    """
    sources = config_files(), config_overrides()
    if not workflow.modifier.is_module:
        return sources
    handed_over = json.loads(json.dumps(config))
    if handed_over == merged(*sources):
        return sources
    text = yaml.safe_dump(handed_over, sort_keys=False, allow_unicode=True)
    file = Path(".snakemake/gancomp", f"handed-to-module-{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml")
    if not file.is_file():
        write_text(file, text)
    return [file], {}


def checked_config():
    """The configuration as all commands will read it. Raises WorkflowError before planning if it is invalid."""
    try:
        return load(*CONFIG_SOURCES)
    except GancompError as error:
        raise WorkflowError(str(error)) from None


CONFIG_SOURCES = config_sources()
CONFIG = checked_config()


# Regular expressions of experiments by search.method: "exhaustive", "halving" or "evolution".
SEARCHED = {
    method: "|".join(
        re.escape(name) for name, experiment in CONFIG.experiments.items() if experiment.search.method == method
    )
    or "(?!)"
    for method in ("exhaustive", "halving", "evolution")
}
COMPRESSED = [name for name, experiment in CONFIG.experiments.items() if experiment.compressed]


wildcard_constraints:
    dataset="|".join(map(re.escape, CONFIG.datasets)) or "(?!)",
    experiment="|".join(map(re.escape, CONFIG.experiments)) or "(?!)",
    shard=r"\d+-of-\d+",


def time_limit(wildcards, output, resources):
    """The option with a job's time limit on a cluster, so that a training or search saves and stops in time.

    The parameter `output` has the same purpose as in `options`.
    """
    submitted = workflow.remote_exec or "SLURM_JOB_ID" in os.environ and not workflow.is_main_process
    return f"--minutes {resources.runtime}" if submitted else ""


def options(wildcards, output):
    """The options with the configuration for a command.

    The parameter `output` makes Snakemake treat the result as derived: a stage does not run again if the same settings
    come from another file, but only if the settings change (`params.signature`).
    """
    sources, overrides = CONFIG_SOURCES
    files = [file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file for file in sources]
    arguments = (
        [] if files == [Path("config.yaml")] else [part for file in files for part in ("--configfile", str(file))]
    )
    if overrides:
        arguments += ["--set", json.dumps(overrides)]
    return shlex.join(arguments)


# --- files of stages ---------------------------------------------------------------------------


# Cached, because it is called for each of thousands of search shards.
@cache
def stage_folder(experiment, stage):
    return folder(CONFIG, experiment, stage) if stage in STAGES else paths.stage(experiment, stage)


stage_signature = cache(lambda experiment, stage: signature(CONFIG, experiment, stage))
stage_owner = cache(lambda experiment, stage: owner(CONFIG, experiment, stage))


def stage_file(experiment, stage, name):
    """A file of a stage, of the base if the experiment changes nothing up to this stage."""
    return str(stage_folder(experiment, stage) / name)


def from_stage(stage, name):
    """Input function: a file of another stage of the same experiment."""
    return lambda wildcards: stage_file(wildcards.experiment, stage, name)


def from_stages(stages, name):
    """Input function: the file *name* of those *stages* that the experiment has."""
    return lambda wildcards: [
        stage_file(wildcards.experiment, stage, name)
        for stage in stages
        if stage in stages_of(CONFIG, wildcards.experiment)
    ]


def figures_of(experiment):
    """The figures of an experiment; the trade-off only if it compresses."""
    names = ["losses", "grid", *(["tradeoff"] if experiment in COMPRESSED else [])]
    return [f"results/{experiment}/figures/{name}.{suffix}" for name in names for suffix in ("svg", "png")]


def from_data(name):
    """Input function: a file of the experiment's data set."""
    return lambda wildcards: data_file(CONFIG.experiments[wildcards.experiment].dataset, name)


def real_pictures(wildcards):
    """The options for comparing an export on the experiment's pictures."""
    experiment = CONFIG.experiments[wildcards.experiment]
    return f"--data {paths.dataset(experiment.dataset)} --direction {CONFIG.datasets[experiment.dataset].direction}"


def builder_of(wildcards):
    """The option with the function that builds the experiment's network, if it is one of the user's."""
    builder = CONFIG.experiments[wildcards.experiment].generator.builder
    return f"--builder {shlex.quote(builder)}" if builder else ""


def latency_of_subnets(wildcards):
    """Input function: the latency model of the subnets, if the search uses latency."""
    asked = CONFIG.experiments[wildcards.experiment].search.asks_latency
    return f"results/{wildcards.experiment}/latency/subnets.json" if asked else []


def table_of_latency(wildcards):
    """Input function: the table of another device's times, if the experiment has one."""
    latency = CONFIG.experiments[wildcards.experiment].search.latency
    return [latency.runtime] if latency and latency.table else []


def settings_of_latency(wildcards):
    """Params function: what the times of subnets depend on, without the limit, which does not affect them."""
    return latency_signature(CONFIG, wildcards.experiment)


def data_file(dataset, name):
    return str(paths.dataset(dataset) / name)


def source_folders(wildcards):
    """Input function: a user's own folders, so that adding or removing a picture rebuilds the data set."""
    declared = CONFIG.datasets[wildcards.dataset]
    if declared.source == "aligned":
        folders = [folder for name in ("train", "val", "test") if (folder := Path(declared.path) / name).is_dir()]
        return [local(str(folder)) for folder in folders]
    keys = {
        "folders": ("a", "b", "val_a", "val_b"),
        "labels": ("images", "labels", "instances", "val_images", "val_labels", "val_instances"),
    }
    named = [getattr(declared, key) for key in keys.get(declared.source, ())]
    return [local(folder) for folder in named if folder is not None]


def imported(stage):
    """Input function: the checkpoint that a stage imports instead of training, and its discriminator."""

    def files(wildcards):
        declared = getattr(CONFIG.experiments[wildcards.experiment], stage)
        if isinstance(declared, str):
            return []
        return [local(file) for file in (declared.checkpoint, declared.discriminator) if file]

    return files


def perceptual_weights(wildcards):
    """Input function: the network of GauGAN's perceptual loss."""
    experiment = CONFIG.experiments[wildcards.experiment]
    return [str(paths.perceptual(experiment.objective.perceptual))] if experiment.model == "gaugan" else []


def perceptual_of_students(wildcards):
    """Input function: the perceptual network of GauGAN's loss or of a term of the students' loss."""
    experiment = CONFIG.experiments[wildcards.experiment]
    looks = experiment.model == "gaugan" or experiment.objective.looks
    return [str(paths.perceptual(experiment.objective.perceptual))] if looks else []


def what_judges_teachers(wildcards):
    """Input function: the files for selecting the best teacher in unpaired online distillation."""
    experiment = CONFIG.experiments[wildcards.experiment]
    alternating = experiment.model == "cyclegan" and experiment.objective.online
    return [str(paths.INCEPTION), data_file(experiment.dataset, "statistics.safetensors")] if alternating else []


def judge_files(wildcards):
    """Input function: the segmentation network of the data set, if it has one."""
    dataset = CONFIG.experiments[wildcards.experiment].dataset
    return [data_file(dataset, "judge/metrics.json")] if CONFIG.datasets[dataset].judge else []


def lpips_files(wildcards):
    """Input function: the status of LPIPS's weights, if the experiment measures LPIPS."""
    return ["data/lpips/status.json"] if CONFIG.experiments[wildcards.experiment].lpips else []


def lpips_to_choose_by(wildcards):
    """Input function: the status of LPIPS's weights, if it is the metric of the search."""
    return lpips_files(wildcards) if CONFIG.experiments[wildcards.experiment].metric == "lpips" else []


def given(find, name):
    """What *find* returns of the weights that the configuration gives for metrics; a missing file stops the plan."""
    try:
        return find(CONFIG, name)
    except GancompError as error:
        raise WorkflowError(str(error)) from None


def given_files(wildcards):
    """Input function: the weights of metrics that nothing fetches, where the experiment gives them."""
    found = given(given_weights, wildcards.experiment).values()
    return [local(str(file)) for weights in found for file in weights.files]


def given_to_choose_by(wildcards):
    """Input function: those of the metric that the search chooses by."""
    chosen = given(given_weights, wildcards.experiment).get(CONFIG.experiments[wildcards.experiment].metric)
    return [local(str(file)) for file in chosen.files] if chosen else []


def what_simulates(wildcards):
    """Input function, of no file: a fine-tuning by int8 numbers stops the plan where torchao is not installed."""
    there = Path("results") / wildcards.experiment / "finetune" / "model.safetensors"
    if CONFIG.experiments[wildcards.experiment].finetune.quantise and not installed("torchao") and not there.is_file():
        raise WorkflowError(f"experiments.{wildcards.experiment}.finetune.quantise: {absent('torchao')}")
    return []


@cache
def features_of(dataset):
    """The given weights that make features of the pictures of *dataset*."""
    return given(given_on, dataset)


def weights_of_features(wildcards):
    """Input function: their files."""
    return [local(str(file)) for weights in features_of(wildcards.dataset) for file in weights.files]


def shard_files(wildcards):
    """Input function: all shards of the search."""
    count = CONFIG.experiments[wildcards.experiment].search.shards
    return [f"results/{wildcards.experiment}/scores/shards/{shard}-of-{count}.csv" for shard in range(count)]


def start_of_supernet(wildcards):
    """Input function: the initial weights of the once-for-all network, the distilled student or the teacher."""
    names = {"distill": ("model", "discriminator", "maps"), "teacher": ("model", "discriminator")}
    stage = "distill" if CONFIG.experiments[wildcards.experiment].distill else "teacher"
    return [stage_file(wildcards.experiment, stage, f"{name}.safetensors") for name in names[stage]]


# --- the paper's tables and figures -------------------------------------------------------------


def files_of_paper(name):
    """The files of scores of all seeds for a table or figure, and of costs or pictures if it shows those."""
    files = [str(file) for place in scored_in(name) for file in files_of(CONFIG, place)]
    costs = [found[0] for place in measured_in(name) if (found := resolve(CONFIG, place))]
    files += [f"results/{experiment}/benchmark/benchmark.json" for experiment in costs]
    shown = [found[0] for role in GRIDS.get(name, ()) if (found := resolve(CONFIG, f"{role}:finetune"))]
    files += [f"results/{experiment}/reference/evaluation.json" for experiment in shown]
    return files + (votes_of(places=scored_in(name)) if name == "table8" else [])


def votes_of(places):
    """The existing files of votes on the experiments in *places*, which no rule can create."""
    experiments = dict.fromkeys(found[0] for place in places if (found := resolve(CONFIG, place)))
    return [file for name in experiments if Path(file := f"results/{name}/vote/votes.json").is_file()]


# --- side by side -------------------------------------------------------------------------------


def files_to_compare(wildcards):
    """Input function: scores and pictures of all seeds of the experiments, and latencies if measured."""
    files = []
    for run in (run for runs in runs_of(CONFIG, wildcards.names.split(JOINT)).values() for run in runs):
        had = [stage for stage in COMPARED if stage in stages_of(CONFIG, run)]
        files += [stage_file(run, stage, name) for stage in had for name in ("evaluation.json", "samples.png")]
        files += [f"results/{run}/reference/{name}" for name in ("evaluation.json", "inputs.png", "targets.png")]
        files += [file for file in [f"results/{run}/benchmark/benchmark.json"] if Path(file).is_file()]
    return files


# --- signatures --------------------------------------------------------------------------------


def settings_of(stage):
    """Params function: the signature of all that *stage* depends on. Raises WorkflowError if a base owns the stage."""

    def resolve(wildcards):
        serving = stage_owner(wildcards.experiment, stage)
        if serving != wildcards.experiment:
            raise WorkflowError(
                f"{paths.stage(wildcards.experiment, stage)}: {wildcards.experiment!r} changes nothing up to this "
                f"stage, so its files are those of its base: use {paths.stage(serving, stage)}"
            )
        return stage_signature(wildcards.experiment, stage)

    return resolve


# --- named targets -----------------------------------------------------------------------------


def files_of_run(stage, *names):
    """Files of all experiments in the configuration's `run`, without the stages that an experiment lacks."""
    return [
        stage_file(experiment, stage, name)
        for experiment in CONFIG.run
        for name in names
        if stage not in STAGES or stage in stages_of(CONFIG, experiment)
    ]


def figures_of_run():
    return [figure for experiment in CONFIG.run for figure in figures_of(experiment)]


def datasets_of_run():
    return sorted({CONFIG.experiments[experiment].dataset for experiment in CONFIG.run})
