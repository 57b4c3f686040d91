"""The command line. Torch is imported only by the commands that need it."""

# Each registers its commands, in this order, in which `--help` lists them.
from gancomp.cli import project, data, train, watch, search, deploy, report, compress, share  # noqa: F401 # isort: skip
