"""Functions that build custom networks, which are imported only if the user names them.

A checkpoint and a configuration's description of a network contain the name of their builder, but it is never run for
that reason: only builders named by the command line, the configuration's `generator.builder` or a Python caller are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancomp.errors import GancompError

if TYPE_CHECKING:
    from torch import nn

#: Builders that belong to gancomp, which any file may name.
OWN = frozenset({"gancomp.nets.declared:build", "gancomp.nets.residual:build"})

_allowed: set[str] = set()


def allow(reference: str) -> None:
    """Allow the builder *reference* (`package.module:function`), which the user named, to be imported.

    Modules are searched on Python's path and in the current folder.
    """
    _allowed.add(reference)


def find_builder(reference: str) -> Callable[..., nn.Module]:
    """Import the function *reference*. Raises GancompError if the user did not name it, or it does not exist."""
    if reference not in _allowed and reference not in OWN:
        raise GancompError(
            f"the generator is built by {reference}, which is code that runs when it is loaded. If you trust it, name "
            f"it: gancomp --builder {reference} COMMAND, generator.builder in the configuration, or "
            f"gancomp.load_generator(path, builder={reference!r})"
        )
    module, _, name = reference.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found: Any = import_module(module)
    except ImportError as error:
        raise GancompError(f"builder {reference}: the module {module} cannot be imported ({error})") from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise GancompError(f"builder {reference}: the module {module} has no function {name}")
    builder: Callable[..., nn.Module] = found
    return builder
