"""Style and saving of figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gancomp.pipeline.files import atomic

# Okabe and Ito's palette, distinguishable with colour blindness.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#999999",
)
COLOURS = {"original": BLACK, "narrow": ORANGE, "subnet": SKY, "finetune": VERMILION}
MARKERS = {"original": "s", "narrow": "D", "subnet": "o", "finetune": "*"}

#: The full width of a page in inches; figures are drawn at this width, so that font sizes are true.
PAGE = 7.2
DPI = 200
STYLE: Any = {
    "svg.hashsalt": "gancomp",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # included in matplotlib, so the same on every machine
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply `STYLE` to matplotlib's defaults, ignoring the user's matplotlibrc; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, stem: Path, dpi: float = DPI) -> None:
    """Save as SVG and PNG without date or software, so that equal figures give equal files."""
    FigureCanvasAgg(figure)
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    for suffix, entries in metadata.items():
        with atomic(stem.with_suffix(f".{suffix}")) as path:
            figure.savefig(path, format=suffix, dpi=dpi, metadata=entries)
