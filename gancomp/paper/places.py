"""The places of the study in each table and figure (`study.resolve`). Imports neither torch nor matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gancomp.paper.numbers import load_numbers
from gancomp.pipeline.stages import COMPARED

TABLES = tuple(f"table{number}" for number in range(1, 9))
#: Tables without scores: one of measured costs, one of the configuration.
UNSCORED = ("table2", "table5")

#: The roles whose pictures each grid shows.
GRIDS: dict[str, tuple[str, ...]] = {
    "figure1": ("horse2zebra", "edges2shoes", "gaugan"),
    "figure4": ("cityscapes", "edges2shoes", "horse2zebra"),
    "figure9": ("horse2zebra",),
    "figure10": ("edges2shoes",),
    "figure11": ("maps",),
    "figure12": ("cityscapes",),
    "figure13": ("gaugan",),
}


@dataclass(frozen=True)
class Curves:
    """A figure: its title, and for each panel the places (`gancomp.config.study.resolve`) of every series."""

    title: str
    panels: Mapping[str, Mapping[str, Sequence[str]]]


def _pairs(role: str) -> dict[str, list[str]]:
    sizes = {
        "from scratch": ("scratch-s", "scratch-m", "scratch"),
        "prune + distil": ("pruned-s", "pruned-m", ""),
        "ours": ("ours-s", "ours-m", ""),
    }
    stages = {"ours": "finetune"}
    return {
        series: [f"{role}{f'.{size}' if size else ''}:{stages.get(series, 'distill')}" for size in variants]
        for series, variants in sizes.items()
    }


_EITHER = "cityscapes|edges2shoes"
_UNPAIRED = {
    "unpaired": [f"horse2zebra.unpaired-{size}:distill" for size in "sml"],
    "pseudo-paired": [f"horse2zebra.pseudo-{size}:distill" for size in "sml"],
}
CURVES: dict[str, Curves] = {
    "figure5": Curves("Unpaired and pseudo-paired training over sizes", {"horse2zebra": _UNPAIRED}),
    "figure6": Curves(
        "Quality against cost", {"cityscapes": _pairs("cityscapes"), "edges2shoes": _pairs("edges2shoes")}
    ),
    "figure7a": Curves("Unpaired and pseudo-paired training", {"horse2zebra": _UNPAIRED}),
    "figure7b": Curves(
        "Normal and separable convolutions",
        {
            _EITHER: {
                "normal": [f"{_EITHER}{size}:original" for size in (".normal-s", ".normal-m", "")],
                "separable": [f"{_EITHER}.mobile-s:original", f"{_EITHER}.mobile-m:original", f"{_EITHER}:teacher"],
            }
        },
    ),
    "figure8": Curves(
        "Distillation of the output",
        {
            _EITHER: {
                # In this order those that Figure 6 has, too, have the same colours there.
                "from scratch": _pairs(_EITHER)["from scratch"],
                "output distillation": [f"{_EITHER}.output-{size}:distill" for size in "sml"],
                "ours": _pairs(_EITHER)["ours"],
            }
        },
    ),
}


#: The subnets for rank agreement: the best of each of up to 16 windows of MACs, of the first role that the study has.
RANKED = tuple(f"edges2shoes|cityscapes|maps.rank-{place}" for place in range(1, 17))
#: The stages whose validation scores are compared with the once-for-all network's on train-2.
AGAINST = {"subnet": "itself, on validation", "finetune": "fine-tuned", "scratch": "from scratch"}

FIGURES = (*GRIDS, *CURVES, "figure2", "figure3", "agreement")


def scored_in(name: str) -> list[str]:
    """The places whose scores are in the table or figure *name*."""
    if name in UNSCORED:
        return []
    if name in TABLES:
        return [row.run for row in load_numbers()[name].rows if row.run]
    if name in GRIDS:
        return [f"{role}:{stage}" for role in GRIDS[name] for stage in COMPARED]
    if name in CURVES:
        return [place for panel in CURVES[name].panels.values() for places in panel.values() for place in places]
    return [f"{subnet}:{stage}" for subnet in RANKED for stage in AGAINST] if name == "agreement" else []


def measured_in(name: str) -> list[str]:
    """The places whose measured cost is in the table *name*."""
    return [row.run for row in load_numbers()[name].rows if row.run] if name == "table2" else []
