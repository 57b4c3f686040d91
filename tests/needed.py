"""What a test needs from outside the repository: without it the test is skipped, and in CI it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

#: What CI may be told to do without.
NEEDED = ("browser", "slurm", "weights", "mobile")
#: In CI (`CI=true`) a missing one fails the tests that need it, unless this names it: `slurm,browser`.
SWITCH = "GANCOMP_CI_WITHOUT"


def may_lack() -> set[str]:
    """What SWITCH names; pytest.UsageError if it names anything else."""
    named = set(filter(None, os.environ.get(SWITCH, "").split(",")))
    if unknown := named - set(NEEDED):
        raise pytest.UsageError(f"{SWITCH}: {', '.join(sorted(unknown))}: choose from {', '.join(NEEDED)}")
    return named


def missing(name: str, why: str) -> NoReturn:
    """Skip the test, which needs one of NEEDED that is not there; in CI fail it, unless SWITCH names that one."""
    assert name in NEEDED
    if os.environ.get("CI") == "true" and name not in may_lack():
        pytest.fail(f"{name}: {why}; in CI that is a failure unless {SWITCH}={name} allows it", pytrace=False)
    pytest.skip(why)
