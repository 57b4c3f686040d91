"""Compare methods at several sizes: scores over seeds, paired differences, costs of training, and a figure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancomp.config.settings import Comparison, Config
from gancomp.errors import GancompError, did_you_mean
from gancomp.paper.measured import Measured, Value, evaluations_of, measured
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_text
from gancomp.pipeline.stages import stages_of
from gancomp.report.metrics import BY_KEY
from gancomp.report.rows import p_text, quantity, table_line

#: Metrics in the tables, if measured.
SHOWN = ("kid", "fid", "l1", "miou")
COLUMNS = (
    *("method", "size", "experiment", "stage", "seed", "params", "macs", "macs_paper", *SHOWN),
    *(*(f"best_{key}" for key in SHOWN), "training_macs", "data_hash", "code_version"),
)

NOTE = (
    "Mean ± sample standard deviation over seeds. Training MACs: pictures × MACs of a forward pass and two backward, "
    "for all that is trained or searched besides the original. Best on validation: the best score of all `snapshots`, "
    "selected on the same pictures, as papers report."
)


@dataclass(frozen=True)
class Entry:
    """A method at one size: its measurements, and the MACs of all its trainings and searches except the original's,
    None if the number of pictures is not known."""

    method: str
    size: int
    found: Measured
    training_macs: float | None


def comparison_of(config: Config) -> Comparison:
    """The declared comparison. Raises GancompError if there is none, or it names an unknown experiment or stage."""
    declared = config.comparison
    if declared is None:
        raise GancompError(
            "comparison: missing in the configuration; add one, such as --configfile config/comparison.yaml"
        )
    for place in declared.places:
        split(config, place)
    return declared


def split(config: Config, place: str) -> tuple[str, str]:
    """Split EXPERIMENT:STAGE. Raises GancompError if either does not exist."""
    experiment, _, stage = place.rpartition(":")
    if experiment not in config.experiments:
        raise GancompError(
            f"comparison: {place!r}: no experiment {experiment!r}{did_you_mean(experiment, config.experiments)}"
        )
    if stage not in (known := stages_of(config, experiment)):
        raise GancompError(f"comparison: {place!r}: {experiment} has no stage {stage!r}{did_you_mean(stage, known)}")
    return experiment, stage


def files_of(config: Config) -> list[Path]:
    """All evaluation files of the comparison."""
    return [file for place in comparison_of(config).places for file in evaluations_of(config, *split(config, place))]


def folder_of(config: Config) -> Path:
    return paths.RESULTS / "comparisons" / comparison_of(config).name


def write_comparison(config: Config) -> None:
    """Write `runs.csv` (every seed), `points.csv`, `table.md`, `quality.{svg,png}` and `methods.{svg,png}` in the
    comparison's folder."""
    from gancomp.paper import curves
    from gancomp.report import dots
    from gancomp.report.style import save, style

    declared, folder = comparison_of(config), folder_of(config)
    original = measured(config, *split(config, declared.original))
    if not original.evaluations:
        raise GancompError(
            f"comparison: {declared.original} is not evaluated, and everything is held against it; run: "
            f"gancomp evaluate {declared.original.replace(':', ' ')}"
        )
    entries = [
        Entry(method, size, measured(config, *split(config, place)), _training_macs(config, *split(config, place)))
        for method, places in declared.methods.items()
        for size, place in enumerate(places)
        if place
    ]
    write_csv(folder / "runs.csv", COLUMNS, list(_runs(original, entries)))
    points: list[dict[str, Any]] = []
    for name, found in (("original", original), *((entry.method, entry.found) for entry in entries)):
        about = {"panel": declared.title or declared.name, "series": name, "reference": found.experiment}
        points += curves.points_of(config, found, about)
    write_csv(folder / "points.csv", curves.COLUMNS, points)
    write_text(folder / "table.md", markdown(declared, original, entries))
    with style():
        if figure := curves.draw(folder / "points.csv"):
            save(figure, folder / "quality")
        groups = [[("original", original)], *_named_by_size(original, entries)]
        save(dots.draw(declared.title or declared.name, original, groups, _shown(original)), folder / "methods")


def _shown(original: Measured) -> list[str]:
    return [key for key in SHOWN if original.value(key)]


def _named_by_size(original: Measured, entries: Sequence[Entry]) -> Iterator[list[tuple[str, Measured]]]:
    """The methods of each size that were run, with how many times fewer MACs they have."""
    whole = _macs(original)
    run = [entry for entry in entries if entry.found.evaluations]
    for size in sorted({entry.size for entry in run}):
        own = [entry for entry in run if entry.size == size]
        yield [(f"{entry.method}, {whole / _macs(entry.found):.3g}×", entry.found) for entry in own]


#: The stages that train or search for a generator of each stage, except the original that all are held against; a
#: method's own "original" is one from scratch. A generator from scratch at searched widths costs as much as a narrow
#: one, within the budget.
_STUDENT = ("teacher", "distill")
_SEARCHED = (*_STUDENT, "supernet", "scores")
TRAINED_FOR: Mapping[str, tuple[str, ...]] = {
    "original": ("original",),
    "teacher": ("teacher",),
    "distill": _STUDENT,
    "subnet": _SEARCHED,
    "finetune": (*_SEARCHED, "finetune"),
    "narrow": ("narrow",),
    "scratch": ("narrow",),
}


def _training_macs(config: Config, experiment: str, stage: str) -> float | None:
    """MACs of all trainings and searches for the generator of *stage*, except the original's."""
    from gancomp.measure.reckoning import Reckoning, counts_of

    try:
        costs = list(Reckoning(config, experiment, counts_of(config, experiment)).costs())
    except GancompError:
        return None
    return sum(cost.total for cost in costs if cost.stage in TRAINED_FOR.get(stage, ()))


def _runs(original: Measured, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """One row per seed of each generator."""
    every = [("original", "", original, None), *((e.method, e.size, e.found, e.training_macs) for e in entries)]
    for method, size, found, training in every:
        for record in found.evaluations:
            values = {key: getattr(record, key) for key in SHOWN}
            values |= {f"best_{key}": record.best(key) for key in SHOWN}
            yield {
                "method": method,
                "size": size,
                "experiment": found.experiment,
                "stage": found.stage,
                "seed": record.seed,
                "params": record.params,
                "macs": record.macs,
                "macs_paper": record.macs_paper,
                **{key: "" if value is None else f"{value:.9g}" for key, value in values.items()},
                "training_macs": "" if training is None else f"{training:.6g}",
                "data_hash": record.data_hash,
                "code_version": record.code_version,
            }


# --- the table ---------------------------------------------------------------------------------


def markdown(declared: Comparison, original: Measured, entries: Sequence[Entry]) -> str:
    """Scores and costs by size, and every method's paired differences from the first one and from the original."""
    whole = _macs(original)
    shown = _shown(original)
    heads = [f"{BY_KEY[key].head} {BY_KEY[key].arrow}" for key in shown]
    bests = [f"{BY_KEY[shown[0]].head}, best on validation"] if shown else []
    first = next(iter(declared.methods))
    by_place = {(entry.method, entry.size): entry for entry in entries}
    lines = [
        f"# {declared.title or declared.name}",
        "",
        table_line(["Method", "MACs (exact)", "×", "Parameters", *heads, *bests, "Training MACs", "Seeds"]),
        table_line([":--", *["--:"] * (5 + len(heads) + len(bests))]),
        table_line(["original", *_cells(original, whole, shown), "–", str(len(original.evaluations))]),
    ]
    sizes = range(len(declared.methods[first]))
    for size in sizes:
        for method in declared.methods:
            entry = by_place.get((method, size))
            if entry is None or not entry.found.evaluations:
                continue
            training = "–" if entry.training_macs is None else f"{entry.training_macs / 1e12:.3g} T"
            cells = _cells(entry.found, whole, shown)
            lines.append(table_line([method, *cells, training, str(len(entry.found.evaluations))]))
    lines += ["", *textwrap.wrap(NOTE, 120), ""]
    lines += [f"## Differences, paired by seed: from {first} at the same size, and from the original", ""]
    lines += [
        table_line(["Method", "×", *(f"{head}, from {other}" for head in heads for other in (first, "original"))])
    ]
    lines += [table_line([":--", *["--:"] * (1 + 2 * len(heads))])]
    for size in sizes:
        against = by_place.get((first, size))
        for method in declared.methods:
            entry = by_place.get((method, size))
            if entry is None or not entry.found.evaluations:
                continue
            own = entry.found
            cells = []
            for key in shown:
                cells.append("–" if against is None or entry is against else difference(own, against.found, key))
                cells.append(difference(own, original, key))
            lines.append(table_line([method, f"{whole / _macs(own):.3g}", *cells]))
    lines += ["", "In brackets the 95% interval of the mean difference; p of the paired t-test, two-sided."]
    lines += ["From p 0.05 on the two cannot be told apart."]
    return "\n".join(lines) + "\n"


def _macs(found: Measured) -> float:
    return statistics.fmean(record.macs for record in found.evaluations)


def _cells(found: Measured, whole: float, shown: Sequence[str]) -> list[str]:
    from gancomp.paper.tables import text

    macs = _macs(found)
    params = statistics.fmean(record.params for record in found.evaluations)
    values = [(BY_KEY[key], found.value(key)) for key in shown]
    scores = [text(metric, value) if value else "–" for metric, value in values]
    best = [value for record in found.evaluations if (value := record.best(shown[0])) is not None] if shown else []
    if shown:
        scores.append(text(BY_KEY[shown[0]], Value.of(best)) if best else "–")
    return [quantity(round(macs)), f"{whole / macs:.3g}", f"{params:,.0f}", *scores]


def difference(own: Measured, other: Measured, key: str) -> str:
    """The mean of *own* − *other* in *key* over the seeds that both have, its interval, and p."""
    from scipy import stats

    values = [{record.seed: getattr(record, key) for record in found.evaluations} for found in (own, other)]
    seeds = [seed for seed in values[0] if values[0][seed] is not None and values[1].get(seed) is not None]
    if not seeds:
        return "–"
    metric = BY_KEY[key]
    differences = [values[0][seed] - values[1][seed] for seed in seeds]
    mean = metric.change(statistics.fmean(differences))
    if len(seeds) == 1 or len(set(differences)) == 1:
        return mean
    tested = stats.ttest_1samp(differences, 0)
    low, high = map(metric.change, tested.confidence_interval(0.95))
    return f"{mean} [{low}, {high}], {p_text(tested.pvalue)}"
