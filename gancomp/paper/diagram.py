"""Figure 3: the method, as the stages of the workflow and their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from gancomp.config.settings import Config
from gancomp.config.study import study_of
from gancomp.pipeline.stages import READS, STAGES, stages_of, upstream_of
from gancomp.report.style import BLUE, GREY, PAGE, VERMILION

#: Stages without a generator; left out.
MEASURING = ("statistics", "judge")
#: The paper's terms, shown below the stages' names.
WORDS: Mapping[str, str] = {
    "dataset": "pictures",
    "original": "uncompressed",
    "teacher": "MobileNet-\nstyle, 3.2",
    "distill": "prune and\ndistil, 3.1",
    "supernet": "once-for-\nall, 3.3",
    "scores": "all subnets,\ntrain-2",
    "search": "best under\nbudget, 3.3",
    "subnet": "ours, w/o\nfine-tuning",
    "finetune": "ours",
    "narrow": "baseline",
    "scratch": "baseline",
    "export": "one file",
}
#: Stages of the compressed generator, drawn in another colour.
OURS = ("subnet", "finetune", "export")
#: Inches between two columns, and between two rows.
ACROSS, DOWN = PAGE / 9.2, 0.72


def draw_method(config: Config) -> Figure:
    """The stages from left to right in their order of execution, with arrows from their inputs.

    Shows the stages of the study's first compressed experiment; without one, all stages.
    """
    return draw(edges_of(config))


def edges_of(config: Config) -> dict[str, tuple[str, ...]]:
    """Every stage that makes a generator or its data, with the stages that it reads, in the order of the workflow."""
    compressed = (name for name in study_of(config).experiments.values() if config.experiments[name].compressed)
    experiment = next(compressed, None)
    had = [stage for stage in (stages_of(config, experiment) if experiment else STAGES) if stage not in MEASURING]
    reads = {stage: upstream_of(config, experiment, stage) if experiment else READS[stage].stages for stage in had}
    return {stage: tuple(before for before in reads[stage] if before in had) for stage in had}


def layout(edges: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, int]]:
    """Column and row of each stage: the column after those of its inputs; row 0 for the longest path, rows below for
    other stages."""
    column: dict[str, int] = {}
    for stage, before in edges.items():
        column[stage] = 1 + max((column[one] for one in before), default=-1)
    # Of equally long paths, the one through the later stage: the teacher, not the original.
    spine = [max(column, key=lambda stage: column[stage])]
    while before := [one for one in edges[spine[-1]] if column[one] == column[spine[-1]] - 1]:
        spine.append(before[-1])
    place = {stage: (column[stage], 0) for stage in spine}
    for stage in edges:
        if stage not in place:
            taken = [row for at, row in place.values() if at == column[stage]]
            place[stage] = (column[stage], 1 + max(taken, default=0))
    return place


def draw(edges: Mapping[str, Sequence[str]]) -> Figure:
    """Draw *edges*: each stage with the stages that it reads, which come before it."""
    place = layout(edges)
    columns, rows = (1 + max(at[axis] for at in place.values()) for axis in (0, 1))
    figure = Figure(figsize=(ACROSS * (columns + 0.2), DOWN * (rows + 0.5)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-0.6, columns - 0.4), ylim=(0.55 - rows, 0.95))
    boxes: dict[str, Text] = {}
    for stage, (column, row) in place.items():
        edge = VERMILION if stage in OURS else BLUE
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": edge, "linewidth": 0.9}
        words = f"$\\bf{{{stage}}}$" + (f"\n{WORDS[stage]}" if stage in WORDS else "")
        boxes[stage] = axes.text(
            column, -row, words, ha="center", va="center", fontsize=6, linespacing=1.1, bbox=box, zorder=3
        )
    for stage, before in edges.items():
        for one in before:
            (left, above), (right, below) = place[one], place[stage]
            # An arrow over more than one column is bent around the boxes between.
            over = above == below and right - left > 1
            arrow = FancyArrowPatch(
                (left, -above),
                (right, -below),
                arrowstyle="-|>",
                mutation_scale=7,
                zorder=4,  # above the boxes, whose extents are known only when drawn
                color=GREY,
                linewidth=0.9,
                connectionstyle=f"arc3,rad={-0.45 if over else 0}",
                patchA=boxes[one].get_bbox_patch(),
                patchB=boxes[stage].get_bbox_patch(),
            )
            axes.add_patch(arrow)
    return figure
