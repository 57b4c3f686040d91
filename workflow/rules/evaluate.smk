"""Scores on the validation pictures, by which nothing was selected."""


rule evaluate:
    input:
        model="results/{experiment}/{stage}/model.safetensors",
        statistics=from_data("statistics.safetensors"),
        inception="data/inception/weights.safetensors",
        judge=judge_files,
        lpips=lpips_files,
        weights=given_files,
    output:
        "results/{experiment}/{stage}/evaluation.json",
        "results/{experiment}/{stage}/samples.png",
    log:
        "results/{experiment}/logs/evaluate.{stage}.log",
    benchmark:
        "results/{experiment}/logs/evaluate.{stage}.tsv"
    wildcard_constraints:
        stage="|".join(SCORED),
    threads: HEAVY
    resources:
        mem_mb=6000,
    params:
        signature=lambda wildcards: settings_of(wildcards.stage)(wildcards),
        fid_clean=lambda wildcards: CONFIG.experiments[wildcards.experiment].fid_clean,
        options=options,
    shell:
        "gancomp evaluate {wildcards.experiment} {wildcards.stage} --expect {params.signature} {params.options}"
        " 2>&1 | tee {log:q}"


rule reference:
    input:
        statistics=from_data("statistics.safetensors"),
        inception="data/inception/weights.safetensors",
        judge=judge_files,
        lpips=lpips_files,
        weights=given_files,
    output:
        "results/{experiment}/reference/evaluation.json",
        "results/{experiment}/reference/inputs.png",
        "results/{experiment}/reference/targets.png",
    log:
        "results/{experiment}/logs/reference.log",
    benchmark:
        "results/{experiment}/logs/reference.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
    params:
        seed=lambda wildcards: CONFIG.experiments[wildcards.experiment].seed,
        precision=lambda wildcards: CONFIG.experiments[wildcards.experiment].precision,
        metric=lambda wildcards: CONFIG.experiments[wildcards.experiment].metric,
        fid_clean=lambda wildcards: CONFIG.experiments[wildcards.experiment].fid_clean,
        # Train-2's interval is of as many pictures as score a subnet.
        search=lambda wildcards: CONFIG.experiments[wildcards.experiment].search.model_dump_json(
            include={"images", "bootstrap"}
        ),
        options=options,
    shell:
        "gancomp reference {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"
