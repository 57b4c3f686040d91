"""`python -m gancomp.cli`, where the package is not installed."""

from gancomp.cli.main import main

main()
