"""Pictures, and what scores them."""


localrules:
    dataset,
    inception,


rule dataset:
    input:
        source_folders,
    output:
        "data/{dataset}/manifest.json",
    log:
        "data/logs/{dataset}.dataset.log",
    benchmark:
        "data/logs/{dataset}.dataset.tsv"
    retries: 1  # a download may fail once
    params:
        version=STAGE_VERSION["dataset"],
        settings=lambda wildcards: CONFIG.datasets[wildcards.dataset].model_dump_json(),
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
    shell:
        "gancomp inception 2>&1 | tee {log:q}"


rule statistics:
    input:
        "data/{dataset}/manifest.json",
        "data/inception/weights.safetensors",
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
        precisions=lambda wildcards: " ".join(CONFIG.precisions_of(wildcards.dataset)),
        options=options,
    shell:
        "gancomp statistics {wildcards.dataset} {params.options} 2>&1 | tee {log:q}"
