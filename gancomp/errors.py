"""The error that a user can mend: its message names the file, key or value at fault and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GancompError(Exception):
    """Shown as one message, without a traceback, by the command line."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown *name*: the nearest that is known, or all that are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (there are: {', '.join(names) or 'none'})"
