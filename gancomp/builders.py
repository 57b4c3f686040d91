"""Functions that build networks of one's own: named by the user, and imported for no other reason.

A checkpoint says which builder made it, and so does a configuration's description of a network; neither is ever a
reason to run it. Only what the command line, the configuration's `generator.builder` or a caller in Python names is.
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

#: Builders that come along, which any file may name.
OWN = frozenset({"gancomp.nets.declared:build", "gancomp.nets.residual:build"})

_allowed: set[str] = set()


def allow(reference: str) -> None:
    """The user names the builder *reference* (`package.module:function`), so it may be imported, from here on.

    Modules are looked for where Python looks, and in the current folder.
    """
    _allowed.add(reference)


def find_builder(reference: str) -> Callable[..., nn.Module]:
    """The function *reference*; GancompError where nobody named it, or where there is none."""
    if reference not in _allowed and reference not in OWN:
        raise GancompError(
            f"the generator is made by {reference}, which is code that runs when it is loaded. If you trust it, name "
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
