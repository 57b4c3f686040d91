"""Tables and figures: they read what the stages wrote, and train nothing."""


localrules:
    tabulate,
    draw,
    page,


rule tabulate:
    input:
        scores=from_stages(COMPARED, "evaluation.json"),
        reference="results/{experiment}/reference/evaluation.json",
        supernet=from_stage("supernet", "metrics.json"),
        selection=from_stage("search", "selection.json"),
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
        search=from_stage("search", "search.csv"),
        selection=from_stage("search", "selection.json"),
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
            labels={"result": "losses", "shows": "how every training went"},
        ),
        report(
            "results/{experiment}/figures/grid.png",
            caption="../report/grid.rst",
            category="{experiment}",
            labels={"result": "pictures", "shows": "input, target and what each generator makes"},
        ),
        "results/{experiment}/figures/tradeoff.png",
        "results/{experiment}/figures/losses.png",
        "results/{experiment}/figures/grid.svg",
    log:
        "results/{experiment}/logs/figures.log",
    benchmark:
        "results/{experiment}/logs/figures.tsv"
    params:
        options=options,
    shell:
        "gancomp figures {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


rule page:
    input:
        "results/{experiment}/tables/table.md",
        "results/{experiment}/figures/grid.png",
        "results/{experiment}/figures/tradeoff.svg",
        "results/{experiment}/figures/losses.svg",
    output:
        "results/{experiment}/report.html",
    log:
        "results/{experiment}/logs/report.log",
    benchmark:
        "results/{experiment}/logs/report.tsv"
    params:
        options=options,
    shell:
        "gancomp report {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"
