"""Packages that the core does without, and the extra that installs each: `pip install 'gancomp[EXTRA]'`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gancomp.errors import GancompError

#: The extra that each module comes with, as in pyproject.toml.
EXTRAS = {
    "transformers": "features",
    "huggingface_hub": "hub",
    "openvino": "openvino",
    "tensorboard": "tensorboard",
    "ai_edge_litert": "mobile",
    "coremltools": "mobile",
    "executorch": "mobile",
    "litert_torch": "mobile",
    "torchao": "int8",
    "av": "video",
}


def installed(module: str) -> bool:
    """Whether *module*, of EXTRAS, is here; it is not imported."""
    return find_spec(module) is not None


def absent(module: str) -> GancompError:
    """The error that *module*, of EXTRAS, is not here, which names the extra to install."""
    return GancompError(f"{module} is not installed: pip install 'gancomp[{EXTRAS[module]}]'")


def extra(module: str) -> Any:
    """*module*, of EXTRAS; raises `absent` where it is not here."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise absent(module) from None
