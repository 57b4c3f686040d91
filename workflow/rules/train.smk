"""Every training: each continues from its last saved step when its command runs again."""


rule original:
    input:
        manifest=from_data("manifest.json"),
        imported=imported("original"),
        perceptual=perceptual_weights,
    output:
        "results/{experiment}/original/model.safetensors",
        "results/{experiment}/original/config.json",
        "results/{experiment}/original/metrics.json",
        "results/{experiment}/original/log.csv",
        "results/{experiment}/original/discriminator.safetensors",
    log:
        "results/{experiment}/logs/original.log",
    benchmark:
        "results/{experiment}/logs/original.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("original"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp original {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule teacher:
    input:
        manifest=from_data("manifest.json"),
        imported=imported("teacher"),
        perceptual=perceptual_weights,
    output:
        "results/{experiment}/teacher/model.safetensors",
        "results/{experiment}/teacher/config.json",
        "results/{experiment}/teacher/metrics.json",
        "results/{experiment}/teacher/log.csv",
        "results/{experiment}/teacher/discriminator.safetensors",
    log:
        "results/{experiment}/logs/teacher.log",
    benchmark:
        "results/{experiment}/logs/teacher.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("teacher"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp teacher {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule distill:
    input:
        manifest=from_data("manifest.json"),
        perceptual=perceptual_of_students,
        judging=what_judges_teachers,
        teacher=from_stage("teacher", "model.safetensors"),
        discriminator=from_stage("teacher", "discriminator.safetensors"),
    output:
        "results/{experiment}/distill/model.safetensors",
        "results/{experiment}/distill/config.json",
        "results/{experiment}/distill/metrics.json",
        "results/{experiment}/distill/log.csv",
        "results/{experiment}/distill/discriminator.safetensors",
        "results/{experiment}/distill/maps.safetensors",
    log:
        "results/{experiment}/logs/distill.log",
    benchmark:
        "results/{experiment}/logs/distill.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("distill"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp distill {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule supernet:
    input:
        manifest=from_data("manifest.json"),
        perceptual=perceptual_of_students,
        judging=what_judges_teachers,
        teacher=from_stage("teacher", "model.safetensors"),
        student=start_of_supernet,
    output:
        "results/{experiment}/supernet/model.safetensors",
        "results/{experiment}/supernet/config.json",
        "results/{experiment}/supernet/metrics.json",
        "results/{experiment}/supernet/log.csv",
        "results/{experiment}/supernet/discriminator.safetensors",
        "results/{experiment}/supernet/maps.safetensors",
    log:
        "results/{experiment}/logs/supernet.log",
    benchmark:
        "results/{experiment}/logs/supernet.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("supernet"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp supernet {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule finetune:
    input:
        manifest=from_data("manifest.json"),
        perceptual=perceptual_of_students,
        judging=what_judges_teachers,
        teacher=from_stage("teacher", "model.safetensors"),
        subnet=from_stage("subnet", "model.safetensors"),
        discriminator=from_stage("subnet", "discriminator.safetensors"),
        maps=from_stage("subnet", "maps.safetensors"),
        simulating=what_simulates,
    output:
        "results/{experiment}/finetune/model.safetensors",
        "results/{experiment}/finetune/config.json",
        "results/{experiment}/finetune/metrics.json",
        "results/{experiment}/finetune/log.csv",
        "results/{experiment}/finetune/discriminator.safetensors",
        "results/{experiment}/finetune/maps.safetensors",
    log:
        "results/{experiment}/logs/finetune.log",
    benchmark:
        "results/{experiment}/logs/finetune.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("finetune"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp finetune {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule narrow:
    input:
        manifest=from_data("manifest.json"),
        perceptual=perceptual_weights,
        selection=from_stage("search", "selection.json"),
    output:
        "results/{experiment}/narrow/model.safetensors",
        "results/{experiment}/narrow/config.json",
        "results/{experiment}/narrow/metrics.json",
        "results/{experiment}/narrow/log.csv",
        "results/{experiment}/narrow/discriminator.safetensors",
    log:
        "results/{experiment}/logs/narrow.log",
    benchmark:
        "results/{experiment}/logs/narrow.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("narrow"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp narrow {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"


rule scratch:
    input:
        manifest=from_data("manifest.json"),
        perceptual=perceptual_weights,
        selection=from_stage("search", "selection.json"),
    output:
        "results/{experiment}/scratch/model.safetensors",
        "results/{experiment}/scratch/config.json",
        "results/{experiment}/scratch/metrics.json",
        "results/{experiment}/scratch/log.csv",
        "results/{experiment}/scratch/discriminator.safetensors",
    log:
        "results/{experiment}/logs/scratch.log",
    benchmark:
        "results/{experiment}/logs/scratch.tsv"
    threads: HEAVY
    resources:
        mem_mb=6000,
        runtime=1440,
    params:
        signature=settings_of("scratch"),
        options=options,
        time_limit=time_limit,
    shell:
        "gancomp scratch {wildcards.experiment} --expect {params.signature} {params.options} {params.time_limit}"
        " 2>&1 | tee {log:q}"
