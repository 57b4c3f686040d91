"""The error that a user can fix: its message names the file, key or value and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GancompError(Exception):
    """The command line prints its message without a traceback."""


def first_line(error: Exception) -> str:
    """The beginning of what *error* of another library says, or its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown *name*: the nearest known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (there are: {', '.join(names) or 'none'})"
