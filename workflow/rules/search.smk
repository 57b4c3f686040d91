"""Score every subnet under the budget in shards, select the winner, and cut it out of the once-for-all network."""


rule search:
    input:
        supernet=from_stage("supernet", "model.safetensors"),
        statistics=from_data("statistics.safetensors"),
        judge=judge_files,
        lpips=lpips_to_choose_by,
        weights=given_to_choose_by,
        inception="data/inception/weights.safetensors",
    output:
        "results/{experiment}/scores/shards/{shard}.csv",
    log:
        "results/{experiment}/logs/search/{shard}.log",
    benchmark:
        "results/{experiment}/logs/search/{shard}.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("scores"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp search {wildcards.experiment} --shard {wildcards.shard} --expect {params.signature} {params.options}"
        " {params.time_limit} 2>&1 | tee {log:q}"


rule merge:
    input:
        shard_files,
    output:
        "results/{experiment}/scores/search.csv",
        "results/{experiment}/scores/replicates.csv",
        "results/{experiment}/scores/config.json",
    log:
        "results/{experiment}/logs/merge.log",
    benchmark:
        "results/{experiment}/logs/merge.tsv"
    wildcard_constraints:
        experiment=SEARCHED["exhaustive"],
    localrule: True
    params:
        signature=settings_of("scores"),
        shards=lambda wildcards, input: len(input),
        options=options,
    shell:
        "gancomp merge {wildcards.experiment} --shards {params.shards} --expect {params.signature} {params.options}"
        " 2>&1 | tee {log:q}"


# Evolutionary search: the same files, from one job.
rule evolve:
    input:
        supernet=from_stage("supernet", "model.safetensors"),
        statistics=from_data("statistics.safetensors"),
        judge=judge_files,
        lpips=lpips_to_choose_by,
        weights=given_to_choose_by,
        inception="data/inception/weights.safetensors",
    output:
        "results/{experiment}/scores/search.csv",
        "results/{experiment}/scores/replicates.csv",
        "results/{experiment}/scores/config.json",
    log:
        "results/{experiment}/logs/evolve.log",
    benchmark:
        "results/{experiment}/logs/evolve.tsv"
    wildcard_constraints:
        experiment=SEARCHED["evolution"],
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("scores"),
        options=options,
    shell:
        "gancomp evolve {wildcards.experiment} --expect {params.signature} {params.options} 2>&1 | tee {log:q}"


# Successive halving, every subnet on few pictures, the best on all: the same files, from one job.
rule halve:
    input:
        supernet=from_stage("supernet", "model.safetensors"),
        statistics=from_data("statistics.safetensors"),
        judge=judge_files,
        lpips=lpips_to_choose_by,
        weights=given_to_choose_by,
        inception="data/inception/weights.safetensors",
    output:
        "results/{experiment}/scores/search.csv",
        "results/{experiment}/scores/replicates.csv",
        "results/{experiment}/scores/config.json",
    log:
        "results/{experiment}/logs/halve.log",
    benchmark:
        "results/{experiment}/logs/halve.tsv"
    wildcard_constraints:
        experiment=SEARCHED["halving"],
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("scores"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp halve {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


# Only if the winner depends on latency (`search.latency`, `search.ties: fastest`): timed here, or from a table.
rule subnet_latency:
    input:
        table_of_latency,
    output:
        "results/{experiment}/latency/subnets.json",
    log:
        "results/{experiment}/logs/subnet_latency.log",
    benchmark:
        "results/{experiment}/logs/subnet_latency.tsv"
    # Reserves all cores, so that no other job disturbs the times.
    threads: workflow.cores
    resources:
        mem_mb=4000,
    params:
        settings=lambda wildcards: CONFIG.experiments[wildcards.experiment].benchmark.model_dump_json(),
        latency=settings_of_latency,
        options=options,
    shell:
        "gancomp subnet-latency {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"


rule select:
    input:
        from_stage("scores", "search.csv"),
        from_stage("scores", "replicates.csv"),
        latency_of_subnets,
    output:
        "results/{experiment}/search/selection.json",
        "results/{experiment}/search/config.json",
    log:
        "results/{experiment}/logs/select.log",
    benchmark:
        "results/{experiment}/logs/select.tsv"
    localrule: True
    params:
        signature=settings_of("search"),
        options=options,
    shell:
        "gancomp select {wildcards.experiment} --expect {params.signature} {params.options} 2>&1 | tee {log:q}"


rule subnet:
    input:
        manifest=from_data("manifest.json"),
        selection=from_stage("search", "selection.json"),
        supernet=from_stage("supernet", "model.safetensors"),
        discriminator=from_stage("supernet", "discriminator.safetensors"),
        maps=from_stage("supernet", "maps.safetensors"),
    output:
        "results/{experiment}/subnet/model.safetensors",
        "results/{experiment}/subnet/config.json",
        "results/{experiment}/subnet/discriminator.safetensors",
        "results/{experiment}/subnet/maps.safetensors",
    log:
        "results/{experiment}/logs/subnet.log",
    benchmark:
        "results/{experiment}/logs/subnet.tsv"
    params:
        signature=settings_of("subnet"),
        options=options,
    shell:
        "gancomp subnet {wildcards.experiment} --expect {params.signature} {params.options} 2>&1 | tee {log:q}"
