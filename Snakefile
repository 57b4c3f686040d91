"""Compress conditional GANs, from the pictures to the tables. `config.yaml` says what, `profiles/` says where."""

from snakemake.utils import min_version

min_version("9.9")


# A cluster's SIGTERM reaches every process of a job. A shell that died of it would take along the training, which is
# about to save: it waits instead, as a shell with a trap does. A prefix replaces
# Snakemake's own: without `pipefail` a stage that failed would count as done, since `tee` is.
shell.prefix("set -euo pipefail; trap : TERM; ")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


# Nothing runs in it unless --software-deployment-method apptainer asks; the image must then carry the package.
container: "docker://python:3.12-slim"


include: "workflow/rules/common.smk"  # reads and checks the configuration, before anything else
include: "workflow/rules/data.smk"  # pictures · what scores them: statistics, weights, judges
include: "workflow/rules/train.smk"  # original · teacher → distill → supernet · finetune · narrow
include: "workflow/rules/search.smk"  # shards → merge → select → subnet
include: "workflow/rules/evaluate.smk"  # scores on the validation pictures
include: "workflow/rules/export.smk"  # one file to use · other runtimes · the drawing page
include: "workflow/rules/benchmark.smk"  # latency and memory
include: "workflow/rules/figures.smk"  # tables and figures, from what the stages wrote
include: "workflow/rules/paper.smk"  # the paper's tables and figures, from a study of several experiments
include: "workflow/rules/comparison.smk"  # methods side by side


localrules:
    all,
    data,
    models,
    tables,
    figures,


rule all:
    default_target: True
    input:
        files_of_run("tables", "table.md", "table.csv"),
        figures_of_run(),
        [f"results/{experiment}/report.html" for experiment in CONFIG.run],
        files_of_run("export", "model.safetensors", "card.json"),
        files_of_run("benchmark", "benchmark.json"),


rule data:
    input:
        [data_file(dataset, "manifest.json") for dataset in datasets_of_run()],


rule models:
    input:
        files_of_run("export", "model.safetensors", "card.json"),


rule tables:
    input:
        files_of_run("tables", "table.md", "table.csv"),


rule figures:
    input:
        figures_of_run(),
