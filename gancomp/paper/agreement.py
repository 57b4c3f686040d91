"""Rank agreement: does the once-for-all network rank subnets as their own training does (Section 3.3)?"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.config.study import study_of
from gancomp.paper.measured import measure
from gancomp.paper.places import AGAINST, RANKED
from gancomp.pipeline.files import read_json, write_csv
from gancomp.pipeline.places import folder
from gancomp.report.metrics import BY_KEY
from gancomp.report.searched import Selection
from gancomp.report.style import BLUE, PAGE, VERMILION
from gancomp.spec import format_widths

COLUMNS = ("experiment", "widths", "macs", "metric", "train2", *AGAINST)
RESAMPLES = 2000


def write_points(config: Config, path: Path) -> None:
    """Write one line per subnet and metric: its score in the once-for-all network on train-2, and on validation at each
    stage that was evaluated (empty where it was not)."""
    rows = []
    for subnet in RANKED:
        measured = {stage: measure(config, f"{subnet}:{stage}") for stage in AGAINST}
        found = {stage: one for stage, one in measured.items() if one and one.evaluations}
        first = next(iter(found.values()), None)
        if first is None:
            continue
        selection = Selection.model_validate(read_json(folder(config, first.experiment, "search") / "selection.json"))
        for metric in ("fid", "kid", "l1"):
            train2 = BY_KEY[metric].of(selection.winner)
            if train2 is None:
                continue
            validated = {stage: one.value(metric) for stage, one in found.items()}
            rows.append(
                {
                    "experiment": first.experiment,
                    "widths": format_widths(selection.winner.widths),
                    "macs": str(selection.winner.macs),
                    "metric": metric,
                    "train2": f"{train2:.9g}",
                    **{stage: f"{value.mean:.9g}" if (value := validated.get(stage)) else "" for stage in AGAINST},
                }
            )
    write_csv(path, COLUMNS, rows)


def kendall(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Kendall's τ of two rankings and its 95% bootstrap interval over the pairs (NaN if all are tied)."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    draw = rng.generator(0, "kendall")
    taus = []
    for _ in range(RESAMPLES):
        chosen = draw.integers(len(first), size=len(first))
        taus.append(kendalltau(first[chosen], second[chosen]).statistic)
    low, high = np.nanquantile(taus, [0.025, 0.975])
    return float(kendalltau(first, second).statistic), float(low), float(high)


def agreements(points: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """τ between the scores on train-2 and each kind of validation score, for each metric, and that of MACs alone: what
    ranking subnets by their size, without a search, would reach."""
    rows = []
    for metric in dict.fromkeys(point["metric"] for point in points):
        for stage, told in AGAINST.items():
            own = [point for point in points if point["metric"] == metric and point[stage]]
            if len(own) < 2:
                continue
            validated = [float(point[stage]) for point in own]
            tau, low, high = kendall([float(point["train2"]) for point in own], validated)
            by_size = kendalltau([-int(point["macs"]) for point in own], validated).statistic
            rows.append(
                {
                    "metric": metric,
                    "against": told,
                    "subnets": str(len(own)),
                    "tau": f"{tau:.3f}",
                    "low": f"{low:.3f}",
                    "high": f"{high:.3f}",
                    "macs_tau": f"{by_size:.3f}",
                }
            )
    return rows


def optimism(config: Config) -> list[dict[str, str]]:
    """The winner's scores on train-2, by which it was selected, and on validation, for every role."""
    rows = []
    for role in study_of(config).experiments:
        found = measure(config, f"{role}:subnet")
        if found is None or not found.evaluations:
            continue
        path = folder(config, found.experiment, "search") / "selection.json"
        chosen = Selection.model_validate(read_json(path)).winner
        for metric in ("fid", "kid", "l1"):
            train2, value = BY_KEY[metric].of(chosen), BY_KEY[metric].of(found.evaluations[0])
            if train2 is not None and value is not None:
                rows.append(
                    {
                        "experiment": found.experiment,
                        "metric": metric,
                        "train2": f"{train2:.6g}",
                        "validation": f"{value:.6g}",
                        "difference": f"{train2 - value:.6g}",
                    }
                )
    return rows


def draw(path: Path) -> Figure | None:
    """Validation scores at every stage that was run, against the once-for-all network's on train-2, with τ; None if
    fewer than two subnets were run."""
    with path.open(newline="", encoding="utf-8") as stream:
        points = list(csv.DictReader(stream))
    taus = {(row["metric"], row["against"]): row for row in agreements(points)}
    shown = [metric for metric in ("fid", "kid") if any(key == metric for key, _ in taus)]
    if not shown:
        return None
    run = {stage: told for stage, told in AGAINST.items() if (shown[0], told) in taus}
    figure = Figure(figsize=(PAGE, 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(run), squeeze=False)
    for row, key in enumerate(shown):
        metric = BY_KEY[key]
        for column, (stage, told) in enumerate(run.items()):
            own = [point for point in points if point["metric"] == key and point[stage]]
            x, y = ([float(point[name]) * metric.scale for point in own] for name in ("train2", stage))
            colour = BLUE if stage != "scratch" else VERMILION
            axes[row][column].plot(x, y, linestyle="", marker="o", color=colour, ms=4)
            tau = taus[key, told]
            of = f"τ = {tau['tau']} [{tau['low']}, {tau['high']}]\nby MACs alone {tau['macs_tau']}".replace("-", "−")
            axes[row][column].set_title(f"{told}\n{of}")
            axes[row][column].set_ylabel(f"{metric.head} {metric.arrow}, validation")
            axes[row][column].set_xlabel(f"{metric.head} {metric.arrow}, train-2")
    figure.supxlabel("x axis: in the once-for-all network; τ: Kendall's, with its 95% interval", fontsize=8)
    return figure
