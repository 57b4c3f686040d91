"""The families' generators as custom networks, whose widths need not be those that the family declares."""

from __future__ import annotations

from typing import Any

from gancomp.nets import Generator, build_generator
from gancomp.spec import GeneratorSpec


def build(**spec: Any) -> Generator:
    """The generator of a spec, whose fields these are; ValueError of one that has a builder already."""
    declared = GeneratorSpec.model_validate(spec)
    if declared.network:
        raise ValueError("a network of one's own has its own builder")
    return build_generator(declared)
