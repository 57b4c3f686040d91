"""The losses of every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from gancomp.report.style import BLUE, GREY, PAGE, SKY

#: Titles of the stages that train.
STAGES: Mapping[str, str] = {
    "original": "Original",
    "teacher": "Teacher",
    "distill": "Distillation",
    "supernet": "Once-for-all",
    "finetune": "Fine-tuning",
    "narrow": "Narrow",
}
LOSSES: Mapping[str, str] = {
    "g_recon": "Reconstruction",
    "g_cycle": "Cycle",
    "g_identity": "Identity",
    "g_perceptual": "Perceptual",
    "g_feature": "Features of D",
    "g_distill": "Distillation",
    "g_ka": "Kernel alignment",
    "g_channel": "Channels' means",
    "g_critic": "Seen by D",
    "g_ssim": "Structure (SSIM)",
    "g_gram": "Style (Gram)",
    "g_content": "Content",
    "g_tv": "Total variation",
    "wide_recon": "Wide teacher, L1",
    "deep_recon": "Deep teacher, L1",
    "wide_gan": "Wide teacher, GAN",
    "deep_gan": "Deep teacher, GAN",
    "g_gan": "Generator, GAN",
    "d_loss": "Discriminator",
}


def losses(logs: Mapping[str, tuple[list[float], dict[str, list[float]]]]) -> Figure:
    """Every loss (rows) of every training (columns) against images seen: raw faint, running mean on top.

    A log without rows belongs to an imported generator.
    """
    present = {name for _, terms in logs.values() for name in terms}
    names = [name for name in LOSSES if name in present] + sorted(present - LOSSES.keys()) or [""]
    figure = Figure(figsize=(PAGE, 0.7 + 1.25 * len(names)), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03))
    axes = figure.subplots(len(names), len(logs), sharex="col", sharey="row", squeeze=False)
    for column, (stage, (images, terms)) in enumerate(logs.items()):
        axes[0, column].set_title(STAGES[stage])
        for row, name in enumerate(names):
            panel = axes[row, column]
            if images and name in terms:
                _draw_loss(panel, np.asarray(images) / 1e3, np.asarray(terms[name]))
            else:
                words = "not used" if images else "imported"
                panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", color=GREY)
            panel.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]) if images else NullLocator())
            panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(LOSSES.get(name, name))
        _frame_row(axes[row], [np.asarray(terms[name]) for _, terms in logs.values() if name in terms])
    figure.supxlabel(
        "thousand images seen    (losses before their weights λ; thin: as logged, thick: running mean)", fontsize=8
    )
    figure.align_ylabels()
    return figure


def _draw_loss(axes: Axes, images: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    marker = "o" if len(values) < 3 else ""
    axes.plot(images, values, color=SKY, linewidth=0.5, alpha=0.45, rasterized=True)  # thousands of points
    axes.plot(images, running_mean(values), color=BLUE, linewidth=1.3, marker=marker, markersize=3)


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred mean over a tenth of the run, over a shorter window near the ends; same length as *values*."""
    half = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    mean: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return mean


def _frame_row(row: Sequence[Axes], series: Sequence[NDArray[np.float64]]) -> None:
    """Set one scale for all trainings, ignoring first steps and single spikes."""
    values = [part for part in series if len(part)]
    if not values:
        return
    low = min(min(np.percentile(part, 1), running_mean(part).min()) for part in values)
    high = max(max(np.percentile(part, 98), running_mean(part)[len(part) // 50 :].max()) for part in values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    row[0].set_ylim(low - margin, high + margin)
