"""What the rules ask: the checked configuration, which experiment's folder serves a stage, and the options of a command."""

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
from gancomp.pipeline.signatures import STAGE_VERSION, signature
from gancomp.pipeline.stages import COMPARED, MEASURED, STAGES, TRAININGS, stages_of
from gancomp.pipeline.places import folder, owner
from gancomp.config.study import JOINT, resolve, runs_of
from gancomp.errors import GancompError

TRAINED = tuple(stage for stage in TRAININGS if stage != "scratch")
SCORED = (*COMPARED, "teacher", "distill", "scratch")  # all that can be evaluated
# Two jobs that compute never share a core; more than 8 help none of these networks.
HEAVY = min(workflow.cores, 8)


# --- the configuration -------------------------------------------------------------------------


def config_files():
    """The files in the order in which Snakemake merges them: the workflow's own, then those of --configfile."""
    given = workflow.overwrite_configfiles
    replaced = workflow.config_settings.replace_workflow_config
    own = [] if replaced else workflow.configfiles[len(given) :]
    return [Path(file) for file in (*own, *given)]


def config_overrides():
    """What --config sets over all files."""
    return dict(workflow.config_settings.config)


def config_sources():
    """The files that the commands read, and what is set over them.

    A `module` is handed its configuration by another workflow: where that says other than the files do, as when it is
    a part of them, the commands read it from a file of its own.
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
    """The configuration as every command will read it; a fault is told before anything is planned."""
    try:
        return load(*CONFIG_SOURCES)
    except GancompError as error:
        raise WorkflowError(str(error)) from None


CONFIG_SOURCES = config_sources()
CONFIG = checked_config()


# By the experiments' search.method: "exhaustive", "halving" or "evolution".
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
    """What tells a training or a search the time limit of its job, where a cluster runs it: it saves and stops in time.

    As with `options`, Snakemake takes it for derived.
    """
    submitted = workflow.remote_exec or "SLURM_JOB_ID" in os.environ and not workflow.is_main_process
    return f"--minutes {resources.runtime}" if submitted else ""


def options(wildcards, output):
    """How a command is told the configuration.

    It asks for `output` only so that Snakemake takes it for derived: the same settings under another file name
    are no reason to run again, other settings are (`params.signature`).
    """
    sources, overrides = CONFIG_SOURCES
    files = [file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file for file in sources]
    arguments = (
        [] if files == [Path("config.yaml")] else [part for file in files for part in ("--configfile", str(file))]
    )
    if overrides:
        arguments += ["--set", json.dumps(overrides)]
    return shlex.join(arguments)


# --- whose file --------------------------------------------------------------------------------


# Asked once for each of thousands of search shards.
@cache
def stage_folder(experiment, stage):
    return folder(CONFIG, experiment, stage) if stage in STAGES else paths.stage(experiment, stage)


stage_signature = cache(lambda experiment, stage: signature(CONFIG, experiment, stage))
stage_owner = cache(lambda experiment, stage: owner(CONFIG, experiment, stage))


def stage_file(experiment, stage, name):
    """A file of a stage, from the base that made it where the experiment changes nothing up to there."""
    return str(stage_folder(experiment, stage) / name)


def from_stage(stage, name):
    """Input function: a file of another stage of the same experiment."""
    return lambda wildcards: stage_file(wildcards.experiment, stage, name)


def from_stages(stages, name):
    """Input function: the file of that name of several stages, those that the experiment has."""
    return lambda wildcards: [
        stage_file(wildcards.experiment, stage, name)
        for stage in stages
        if stage in stages_of(CONFIG, wildcards.experiment)
    ]


def figures_of(experiment):
    """The figures of an experiment: one that compresses nothing has no trade-off."""
    names = ["losses", "grid", *(["tradeoff"] if experiment in COMPRESSED else [])]
    return [f"results/{experiment}/figures/{name}.{suffix}" for name in names for suffix in ("svg", "png")]


def from_data(name):
    """Input function: a file of the experiment's data set."""
    return lambda wildcards: data_file(CONFIG.experiments[wildcards.experiment].dataset, name)


def real_pictures(wildcards):
    """The options that let an export be compared on the experiment's own pictures."""
    experiment = CONFIG.experiments[wildcards.experiment]
    return f"--data {paths.dataset(experiment.dataset)} --direction {CONFIG.datasets[experiment.dataset].direction}"


def latency_of_subnets(wildcards):
    """What the winner's latency is read from, where the experiment asks for latency."""
    asked = CONFIG.experiments[wildcards.experiment].search.asks_latency
    return f"results/{wildcards.experiment}/latency/subnets.json" if asked else []


def table_of_latency(wildcards):
    """The times of another device, where the experiment names their table."""
    latency = CONFIG.experiments[wildcards.experiment].search.latency
    return [latency.runtime] if latency and latency.table else []


def settings_of_latency(wildcards):
    """Where latency is measured; the limit changes no measurement."""
    latency = CONFIG.experiments[wildcards.experiment].search.latency
    return [latency.runtime, latency.device] if latency else []


def data_file(dataset, name):
    return str(paths.dataset(dataset) / name)


def source_folders(wildcards):
    """Input function: a user's own folders, so that adding or removing a picture builds the data set anew."""
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
    """Input function: the checkpoint that a stage takes instead of training, and its discriminator."""

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
    """Input function: the network that GauGAN's loss, or a term of the students' loss, looks through."""
    experiment = CONFIG.experiments[wildcards.experiment]
    looks = experiment.model == "gaugan" or experiment.objective.looks
    return [str(paths.perceptual(experiment.objective.perceptual))] if looks else []


def what_judges_teachers(wildcards):
    """Input function: what finds the best of the teachers that train along without pairs."""
    experiment = CONFIG.experiments[wildcards.experiment]
    alternating = experiment.model == "cyclegan" and experiment.objective.online
    return [str(paths.INCEPTION), data_file(experiment.dataset, "statistics.safetensors")] if alternating else []


def judge_files(wildcards):
    """Input function: the network that reads classes off generated pictures, where the data set has one."""
    dataset = CONFIG.experiments[wildcards.experiment].dataset
    return [data_file(dataset, "judge/metrics.json")] if CONFIG.datasets[dataset].judge else []


def lpips_files(wildcards):
    """Input function: whether LPIPS can be measured, where the experiment asks for it."""
    return ["data/lpips/status.json"] if CONFIG.experiments[wildcards.experiment].lpips else []


def lpips_to_choose_by(wildcards):
    """Input function: whether LPIPS can be measured, where it is what the search chooses by."""
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


@cache
def features_of(dataset):
    """The given weights that make features of the pictures of *dataset*."""
    return given(given_on, dataset)


def weights_of_features(wildcards):
    """Input function: their files."""
    return [local(str(file)) for weights in features_of(wildcards.dataset) for file in weights.files]


def shard_files(wildcards):
    """Input function: every shard of the search, by the number that the experiment asks for."""
    count = CONFIG.experiments[wildcards.experiment].search.shards
    return [f"results/{wildcards.experiment}/scores/shards/{shard}-of-{count}.csv" for shard in range(count)]


def start_of_supernet(wildcards):
    """Input function: what the once-for-all network begins from, the distilled student or the teacher itself."""
    names = {"distill": ("model", "discriminator", "maps"), "teacher": ("model", "discriminator")}
    stage = "distill" if CONFIG.experiments[wildcards.experiment].distill else "teacher"
    return [stage_file(wildcards.experiment, stage, f"{name}.safetensors") for name in names[stage]]


# --- the paper's tables and figures -------------------------------------------------------------


def files_of_paper(name):
    """The scores that a table or figure shows, of every seed, and the cost or the pictures where it shows those."""
    files = [str(file) for place in scored_in(name) for file in files_of(CONFIG, place)]
    costs = [found[0] for place in measured_in(name) if (found := resolve(CONFIG, place))]
    files += [f"results/{experiment}/benchmark/benchmark.json" for experiment in costs]
    shown = [found[0] for role in GRIDS.get(name, ()) if (found := resolve(CONFIG, f"{role}:finetune"))]
    files += [f"results/{experiment}/reference/evaluation.json" for experiment in shown]
    return files + (votes_of(places=scored_in(name)) if name == "table8" else [])


def votes_of(places):
    """The votes on the experiments in *places*, where people voted: no rule can make them."""
    experiments = dict.fromkeys(found[0] for place in places if (found := resolve(CONFIG, place)))
    return [file for name in experiments if Path(file := f"results/{name}/vote/votes.json").is_file()]


# --- side by side -------------------------------------------------------------------------------


def files_to_compare(wildcards):
    """Input function: scores and pictures of all seeds of the experiments, and latencies where they were measured."""
    files = []
    for run in (run for runs in runs_of(CONFIG, wildcards.names.split(JOINT)).values() for run in runs):
        had = [stage for stage in COMPARED if stage in stages_of(CONFIG, run)]
        files += [stage_file(run, stage, name) for stage in had for name in ("evaluation.json", "samples.png")]
        files += [f"results/{run}/reference/{name}" for name in ("evaluation.json", "inputs.png", "targets.png")]
        files += [file for file in [f"results/{run}/benchmark/benchmark.json"] if Path(file).is_file()]
    return files


# --- what makes a stage run again --------------------------------------------------------------


def settings_of(stage):
    """Params function: the signature of all that *stage* depends on. A base's stage is refused under a second name."""

    def resolve(wildcards):
        serving = stage_owner(wildcards.experiment, stage)
        if serving != wildcards.experiment:
            raise WorkflowError(
                f"{paths.stage(wildcards.experiment, stage)}: {wildcards.experiment!r} changes nothing up to this "
                f"stage, so its files are those of its base: ask for {paths.stage(serving, stage)}"
            )
        return stage_signature(wildcards.experiment, stage)

    return resolve


# --- named targets -----------------------------------------------------------------------------


def files_of_run(stage, *names):
    """Files of every experiment that the configuration's `run` names; a stage that one lacks gives none."""
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
