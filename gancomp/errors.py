"""The error that a user can mend: its message names the file, key or value at fault and what to do."""


class GancompError(Exception):
    """Shown as one message, without a traceback, by the command line."""
