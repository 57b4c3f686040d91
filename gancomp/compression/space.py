"""The choices of widths for the search, given a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gancomp.config.searching import budget_macs, parse_budget
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.spec import Block, GeneratorSpec

Space = list[list[int]]

#: Choices of widths in eighths of the imported generator's, for successively narrower students: at the ends of a resnet
#: and in the blocks of SPADE; in a resnet's trunk and blocks; in upsampling layers. For a resnet of width 64 the first
#: is the paper's space of 5,184 subnets.
LADDERS = (
    ((6, 4), (6, 5, 4), (6, 4, 3, 2)),
    ((4, 3), (4, 3, 2), (4, 3, 2, 1)),
    ((3, 2), (3, 2, 1), (3, 2, 1)),
    ((2, 1), (2, 1), (2, 1)),
)
#: The part of a ladder for each of the eight widths; the ends of a custom network are two widths each.
PLACES = {"resnet": (0, 0, 1, 1, 1, 1, 2, 2), "unet": (0, 0, 1, 1, 1, 1, 2, 2), "spade": (0, 0, 0, 0, 0, 2, 2, 2)}
#: Above this number of subnets the search is evolutionary.
MOST_SCORED = 10_000


def search_space(original: GeneratorSpec, budget: str) -> Space:
    """Choices of the widths for a student of *original* (`student_block`): about 5,000 subnets at most for 8 widths.

    Takes the widest student whose median subnet meets the budget: about half of the space then competes, and no
    training is spent on widths that are far too large. Raises GancompError if not even the smallest subnet of the
    narrowest student meets it, with the largest possible reduction.
    """
    try:
        parse_budget(budget)
    except ValueError as error:
        raise GancompError(str(error)) from None
    limit = budget_macs(budget, original)
    student = GeneratorSpec.model_validate({**dict(original), "block": student_block(original), "hidden": None})

    def macs(widths: Sequence[int]) -> int:
        return profile(student.with_widths(tuple(widths))).macs

    for ladder in LADDERS:
        parts = (ladder[place] for place in _places(original))
        space = [_choices(width, part) for width, part in zip(original.widths, parts, strict=True)]
        space = [choices[:1] if place in student.unused else choices for place, choices in enumerate(space)]
        if macs([choices[len(choices) // 2] for choices in space]) <= limit:
            return space
    least = macs([choices[-1] for choices in space])
    if least > limit:
        whole = profile(original).macs
        raise GancompError(
            f"budget {budget}: allows {limit / 1e9:.3g}G exact MACs, but the smallest subnet of the search "
            f"has {least / 1e9:.3g}G; use at most {int(10 * whole / least) / 10}x"
        )
    return space


def _places(original: GeneratorSpec) -> Sequence[int]:
    count = len(original.widths)
    own = [0 if at < min(2, count - 1) else 2 if at >= count - 2 else 1 for at in range(count)]
    return PLACES.get(original.family, own)


def search_method(space: Space) -> dict[str, str]:
    return {"method": "evolution"} if math.prod(map(len, space)) > MOST_SCORED else {}


def student_block(original: GeneratorSpec) -> Block:
    """The block of a student: separable if the generator has residual blocks."""
    if original.network:
        return "separable" if original.network.decomposed else "dense"
    return "dense" if original.family == "unet" else "separable"


def _choices(width: int, eighths: Sequence[int]) -> list[int]:
    """The given eighths of *width*, rounded to multiples that processors handle well if it is wide."""
    unit = 8 if width >= 64 else 2 if width >= 16 else 1
    return sorted({max(unit, unit * round(part * width / 8 / unit)) for part in eighths}, reverse=True)
