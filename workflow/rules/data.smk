"""Data sets, and statistics and networks for scoring."""


rule dataset:
    input:
        source_folders,
    output:
        "data/{dataset}/manifest.json",
    log:
        "data/logs/{dataset}.dataset.log",
    benchmark:
        "data/logs/{dataset}.dataset.tsv"
    retries: 1  # downloads may fail temporarily
    localrule: True
    params:
        version=STAGE_VERSION["dataset"],
        settings=lambda wildcards: CONFIG.datasets[wildcards.dataset].model_dump_json(exclude={"judge"}),
        judged=lambda wildcards: CONFIG.datasets[wildcards.dataset].judge is not None,
        options=options,
    shell:
        "gancomp dataset {wildcards.dataset} {params.options} 2>&1 | tee {log:q}"


rule inception:
    output:
        "data/inception/weights.safetensors",
    log:
        "data/logs/inception.log",
    benchmark:
        "data/logs/inception.tsv"
    retries: 1
    localrule: True
    shell:
        "gancomp inception 2>&1 | tee {log:q}"


rule statistics:
    input:
        "data/{dataset}/manifest.json",
        "data/inception/weights.safetensors",
        weights_of_features,
    output:
        "data/{dataset}/statistics.safetensors",
    log:
        "data/logs/{dataset}.statistics.log",
    benchmark:
        "data/logs/{dataset}.statistics.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
    params:
        version=STAGE_VERSION["statistics"],
        precisions=lambda wildcards: " ".join(
            CONFIG.precisions_of(wildcards.dataset)
            + [f"{precision}-clean" for precision in CONFIG.clean_precisions_of(wildcards.dataset)]
            + [f"{given.metric} {given.folder}" for given in features_of(wildcards.dataset)]
        ),
        options=options,
    shell:
        "gancomp statistics {wildcards.dataset} {params.options} 2>&1 | tee {log:q}"


rule judge:
    input:
        "data/{dataset}/manifest.json",
    output:
        "data/{dataset}/judge/metrics.json",
        "data/{dataset}/judge/model.safetensors",
    log:
        "data/logs/{dataset}.judge.log",
    benchmark:
        "data/logs/{dataset}.judge.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        version=STAGE_VERSION["judge"],
        settings=lambda wildcards: CONFIG.datasets[wildcards.dataset].judge.model_dump_json(),
        options=options,
    shell:
        "gancomp judge {wildcards.dataset} {params.options} 2>&1 | tee {log:q}"


rule perceptual:
    output:
        "data/perceptual/{network}.safetensors",
    log:
        "data/logs/perceptual.{network}.log",
    benchmark:
        "data/logs/perceptual.{network}.tsv"
    wildcard_constraints:
        network="vgg19|vgg16|efficientnet-lite0",
    retries: 1
    localrule: True
    shell:
        "gancomp perceptual {wildcards.network} 2>&1 | tee {log:q}"


rule lpips:
    output:
        "data/lpips/status.json",
    log:
        "data/logs/lpips.log",
    benchmark:
        "data/logs/lpips.tsv"
    localrule: True
    shell:
        "gancomp lpips 2>&1 | tee {log:q}"
