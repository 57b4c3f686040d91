"""Parse the widths of a subnet from the command line. Imports no torch."""

from __future__ import annotations

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.search.candidates import supernet_of
from gancomp.spec import Widths, parse_widths


def widths_in_space(config: Config, experiment: str, text: str) -> Widths:
    """The widths in *text*, such as `24,12,12,24` or `24_12_12_24`.

    Raises GancompError, with the width and its choices, if *experiment*'s once-for-all network has no such subnet.
    """
    space = supernet_of(config, experiment).space
    try:
        widths: Widths = parse_widths(text.replace(" ", "").replace(",", "_"))
    except ValueError as error:
        raise GancompError(f"--widths {text}: {error}") from None
    if len(widths) != len(space):
        raise GancompError(f"--widths {text}: {experiment} has {len(space)} widths, not {len(widths)}")
    for place, (width, choices) in enumerate(zip(widths, space, strict=True), start=1):
        if width not in choices:
            raise GancompError(
                f"--widths {text}: width {place} is {width}, but experiments.{experiment}.supernet.space has "
                f"{', '.join(map(str, sorted(choices)))}"
            )
    return widths
