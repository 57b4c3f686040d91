"""The workflow, for `snakemake` in a clone; another workflow takes workflow/Snakefile as its module."""


include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file's does not count
