"""Tables and figures, from the stages' files; they train nothing."""


wildcard_constraints:
    names="(?:{0})(?:{1}(?:{0}))*".format("|".join(map(re.escape, CONFIG.experiments)) or "(?!)", re.escape(JOINT)),


rule tabulate:
    input:
        scores=from_stages(COMPARED, "evaluation.json"),
        reference="results/{experiment}/reference/evaluation.json",
        training=from_stages(TRAINED, "metrics.json"),
        selection=from_stages(("search",), "selection.json"),
        cost="results/{experiment}/benchmark/benchmark.json",
    output:
        report(
            "results/{experiment}/tables/table.csv",
            caption="../report/table.rst",
            category="{experiment}",
            labels={"result": "table", "shows": "cost and quality of every generator"},
        ),
        "results/{experiment}/tables/table.md",
    log:
        "results/{experiment}/logs/tables.log",
    benchmark:
        "results/{experiment}/logs/tables.tsv"
    localrule: True
    params:
        title=lambda wildcards: CONFIG.experiments[wildcards.experiment].title,
        note=lambda wildcards: CONFIG.experiments[wildcards.experiment].note,
        options=options,
    shell:
        "gancomp tables {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


rule draw:
    input:
        scores=from_stages(COMPARED, "evaluation.json"),
        samples=from_stages(COMPARED, "samples.png"),
        reference=multiext("results/{experiment}/reference/", "evaluation.json", "inputs.png", "targets.png"),
        search=from_stages(("scores",), "search.csv"),
        selection=from_stages(("search",), "selection.json"),
        losses=from_stages(TRAINED, "log.csv"),
    output:
        report(
            "results/{experiment}/figures/tradeoff.svg",
            caption="../report/tradeoff.rst",
            category="{experiment}",
            labels={"result": "trade-off", "shows": "quality against MACs"},
        ),
        report(
            "results/{experiment}/figures/losses.svg",
            caption="../report/losses.rst",
            category="{experiment}",
            labels={"result": "losses", "shows": "losses of every training"},
        ),
        report(
            "results/{experiment}/figures/grid.png",
            caption="../report/grid.rst",
            category="{experiment}",
            labels={"result": "pictures", "shows": "input, target and each generator's output"},
        ),
        "results/{experiment}/figures/tradeoff.png",
        "results/{experiment}/figures/losses.png",
        "results/{experiment}/figures/grid.svg",
    log:
        "results/{experiment}/logs/figures.log",
    benchmark:
        "results/{experiment}/logs/figures.tsv"
    wildcard_constraints:
        experiment="|".join(map(re.escape, COMPRESSED)) or "(?!)",
    localrule: True
    params:
        options=options,
    shell:
        "gancomp figures {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# An experiment that compresses nothing: the same command, without the trade-off.
use rule draw as draw_alone with:
    output:
        report(
            "results/{experiment}/figures/losses.svg",
            caption="../report/losses.rst",
            category="{experiment}",
            labels={"result": "losses", "shows": "losses of every training"},
        ),
        report(
            "results/{experiment}/figures/grid.png",
            caption="../report/grid.rst",
            category="{experiment}",
            labels={"result": "pictures", "shows": "input, target and the generator's output"},
        ),
        "results/{experiment}/figures/losses.png",
        "results/{experiment}/figures/grid.svg",
    wildcard_constraints:
        experiment="|".join(re.escape(name) for name in CONFIG.experiments if name not in COMPRESSED) or "(?!)",


rule page:
    input:
        table="results/{experiment}/tables/table.md",
        figures=lambda wildcards: figures_of(wildcards.experiment),
    output:
        "results/{experiment}/report.html",
    log:
        "results/{experiment}/logs/report.log",
    benchmark:
        "results/{experiment}/logs/report.tsv"
    localrule: True
    params:
        options=options,
    shell:
        "gancomp report {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# An existing table of latencies adds an axis; it is not created here.
rule explore:
    input:
        manifest=from_data("manifest.json"),
        original=from_stage("original", "model.safetensors"),
        supernet=from_stage("supernet", "model.safetensors"),
        scores=from_stage("scores", "search.csv"),
        replicates=from_stage("scores", "replicates.csv"),
        selection=from_stage("search", "selection.json"),
        reference="results/{experiment}/reference/evaluation.json",
        latencies=lambda wildcards: [
            file
            for name in ("scores/space.csv", "latency/subnets.json")
            if Path(file := f"results/{wildcards.experiment}/{name}").is_file()
        ],
    output:
        "results/{experiment}/explore/index.html",
    log:
        "results/{experiment}/logs/explore.log",
    benchmark:
        "results/{experiment}/logs/explore.tsv"
    wildcard_constraints:
        experiment="|".join(map(re.escape, COMPRESSED)) or "(?!)",
    params:
        title=lambda wildcards: CONFIG.experiments[wildcards.experiment].title,
        options=options,
    shell:
        "gancomp explore {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# Any experiments, with all seeds of each: snakemake results/compare/emoji+emoji-unet/index.html
rule side_by_side:
    input:
        files_to_compare,
    output:
        report(
            "results/compare/{names}/index.html",
            caption="../report/compare.rst",
            category="compare",
            labels={"result": "{names}", "shows": "experiments side by side"},
        ),
        "results/compare/{names}/table.md",
        "results/compare/{names}/table.csv",
        "results/compare/{names}/runs.csv",
        multiext("results/compare/{names}/quality", ".svg", ".png"),
        multiext("results/compare/{names}/grid", ".svg", ".png"),
    log:
        "results/compare/{names}/logs/compare.log",
    benchmark:
        "results/compare/{names}/logs/compare.tsv"
    localrule: True
    params:
        experiments=lambda wildcards: shlex.join(wildcards.names.split(JOINT)),
        options=options,
    shell:
        "gancomp compare {params.experiments} {params.options} 2>&1 | tee {log:q}"
