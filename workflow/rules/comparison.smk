"""Methods side by side, from the experiments of the configured comparison: snakemake comparison."""

if CONFIG.comparison:
    COMPARISON = comparison_folder(CONFIG)

    rule comparison_tables:
        input:
            [str(file) for file in compared_files(CONFIG)],
        output:
            f"{COMPARISON}/runs.csv",
            f"{COMPARISON}/points.csv",
            f"{COMPARISON}/table.md",
            multiext(f"{COMPARISON}/quality", ".svg", ".png"),
            multiext(f"{COMPARISON}/methods", ".svg", ".png"),
        log:
            f"{COMPARISON}/logs/comparison.log",
        benchmark:
            f"{COMPARISON}/logs/comparison.tsv"
        localrule: True
        params:
            comparison=CONFIG.comparison.model_dump_json(),
            options=options,
        shell:
            "gancomp comparison {params.options} 2>&1 | tee {log:q}"

    rule comparison:
        input:
            f"{COMPARISON}/table.md",
        localrule: True
