"""Latency and memory of the generators."""


rule benchmark:
    input:
        manifest=from_data("manifest.json"),
        models=from_stages(MEASURED, "model.safetensors"),
    output:
        "results/{experiment}/benchmark/benchmark.json",
    log:
        "results/{experiment}/logs/benchmark.log",
    benchmark:
        "results/{experiment}/logs/benchmark.tsv"
    # Reserves all cores, so that no other job disturbs the times; the configuration sets the measurement's threads.
    threads: workflow.cores
    resources:
        mem_mb=6000,
    params:
        settings=lambda wildcards: CONFIG.experiments[wildcards.experiment].benchmark.model_dump_json(),
        options=options,
    shell:
        "gancomp benchmark {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# The searched space as a data set, with the latency of every scored subnet.
rule space:
    input:
        "results/{experiment}/scores/search.csv",
    output:
        "results/{experiment}/scores/space.csv",
        "results/{experiment}/scores/space.json",
    log:
        "results/{experiment}/logs/space.log",
    benchmark:
        "results/{experiment}/logs/space.tsv"
    threads: workflow.cores
    resources:
        mem_mb=6000,
    params:
        settings=lambda wildcards: CONFIG.experiments[wildcards.experiment].benchmark.model_dump_json(),
        options=options,
    shell:
        "gancomp space {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# Original and compressed on every installed runtime: the paper's Table 2.
rule latency:
    input:
        manifest=from_data("manifest.json"),
        statistics=from_data("statistics.safetensors"),
        inception=paths.INCEPTION,
        judge=judge_files,
        lpips=lpips_files,
        weights=given_files,
        original=from_stages(("original",), "model.safetensors"),
        model="results/{experiment}/export/model.safetensors",
    output:
        multiext("results/{experiment}/latency/latency", ".json", ".csv", ".md", ".svg", ".png"),
        multiext("results/{experiment}/latency/latency_macs", ".svg", ".png"),
    log:
        "results/{experiment}/logs/latency.log",
    benchmark:
        "results/{experiment}/logs/latency.tsv"
    threads: workflow.cores
    resources:
        mem_mb=6000,
    params:
        settings=lambda wildcards: CONFIG.experiments[wildcards.experiment].benchmark.model_dump_json(),
        options=options,
    shell:
        "gancomp latency {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


rule sensitivity:
    input:
        manifest=from_data("manifest.json"),
        model="results/{experiment}/export/model.safetensors",
    output:
        multiext("results/{experiment}/latency/sensitivity", ".csv", ".svg", ".png"),
    log:
        "results/{experiment}/logs/sensitivity.log",
    benchmark:
        "results/{experiment}/logs/sensitivity.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
    params:
        options=options,
    shell:
        "gancomp sensitivity {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


# Times of the jobs that have run; does not run any.
rule times:
    input:
        lambda wildcards: [str(file) for file in benchmark_files()],
    output:
        report(
            "results/times.csv",
            caption="../report/times.rst",
            category="workflow",
            labels={"result": "times", "shows": "seconds and memory of every job"},
        ),
        "results/times.md",
    log:
        "results/times.log",
    localrule: True
    shell:
        "gancomp times 2>&1 | tee {log:q}"
