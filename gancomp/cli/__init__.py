"""The command line. Torch is imported by the commands alone that need it."""

# Each registers its commands, in this order, in which `--help` lists them.
from gancomp.cli import project, data, train, watch, search, deploy, report, compress, share  # noqa: F401 # isort: skip
