"""The paper's tables and figures, from the experiments of the configured study."""

STUDY = CONFIG.study.name if CONFIG.study else "none"


wildcard_constraints:
    table="|".join(TABLES),
    figure="|".join(FIGURES),


rule paper_table:
    input:
        lambda wildcards: files_of_paper(wildcards.table),
    output:
        multiext(f"results/studies/{STUDY}/{{table}}", ".csv", ".md", ".tex"),
    log:
        f"results/studies/{STUDY}/logs/{{table}}.log",
    benchmark:
        f"results/studies/{STUDY}/logs/{{table}}.tsv"
    localrule: True
    params:
        study=lambda wildcards: CONFIG.study.model_dump_json(),
        options=options,
    shell:
        "gancomp paper {wildcards.table} {params.options} 2>&1 | tee {log:q}"


rule paper_figure:
    input:
        lambda wildcards: files_of_paper(wildcards.figure),
    output:
        multiext(f"results/studies/{STUDY}/{{figure}}", ".svg", ".png"),
    log:
        f"results/studies/{STUDY}/logs/{{figure}}.log",
    benchmark:
        f"results/studies/{STUDY}/logs/{{figure}}.tsv"
    localrule: True
    params:
        study=lambda wildcards: CONFIG.study.model_dump_json(),
        options=options,
    shell:
        "gancomp paper {wildcards.figure} {params.options} 2>&1 | tee {log:q}"


rule paper_page:
    input:
        expand(f"results/studies/{STUDY}/{{table}}.md", table=TABLES),
        expand(f"results/studies/{STUDY}/{{figure}}.png", figure=FIGURES),
    output:
        report(
            f"results/studies/{STUDY}/paper.html",
            caption="../report/paper.rst",
            category="study",
            labels={"result": "paper", "shows": "every table and figure beside the paper's"},
        ),
    log:
        f"results/studies/{STUDY}/logs/paper.log",
    benchmark:
        f"results/studies/{STUDY}/logs/paper.tsv"
    localrule: True
    params:
        options=options,
    shell:
        "gancomp paper page {params.options} 2>&1 | tee {log:q}"


rule vote_page:
    input:
        manifest=from_data("manifest.json"),
        models=from_stages(("finetune", "narrow"), "model.safetensors"),
    output:
        "results/{experiment}/vote/page.html",
        "results/{experiment}/vote/key.json",
    log:
        "results/{experiment}/logs/vote.log",
    benchmark:
        "results/{experiment}/logs/vote.tsv"
    params:
        options=options,
    shell:
        "gancomp vote-page {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# Targets by the paper's names: snakemake table3, snakemake figure6, snakemake paper.
if CONFIG.study:
    for name in TABLES:

        rule:
            name:
                name
            input:
                f"results/studies/{STUDY}/{name}.md",
            localrule: True

    for name in FIGURES:

        rule:
            name:
                name
            input:
                f"results/studies/{STUDY}/{name}.png",
            localrule: True

    rule paper:
        input:
            f"results/studies/{STUDY}/paper.html",
        localrule: True
