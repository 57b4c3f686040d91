"""Provenance of results: code version, machine and libraries."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from gancomp import __version__


@functools.cache
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout."""
    here = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{described}"


def processor() -> str:
    """The processor's name, with "(AMX)" if it has AMX."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return f"{name or platform.machine()}{' (AMX)' if 'amx_bf16' in info else ''}"


def processor_has_bf16() -> bool:
    """Whether the processor has bf16 instructions (AMX or AVX512-BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def provenance() -> dict[str, Any]:
    """Code version, machine and libraries of a result, for metrics.json and tables."""
    from importlib.metadata import version

    return {
        "code_version": code_version(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
