"""Several experiments, budgets or seeds side by side: a table over seeds, a figure, the same pictures, and one page."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gancomp.config.settings import Config
from gancomp.config.study import JOINT, runs_of
from gancomp.metrics.permutation import p_value
from gancomp.paper.curves import look
from gancomp.paper.grids import Block, draw_blocks
from gancomp.paper.measured import Measured, Value
from gancomp.paper.tables import text
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_text
from gancomp.pipeline.places import folder
from gancomp.report.comparison import difference
from gancomp.report.grid import contact_sheet, picture_columns
from gancomp.report.metrics import BY_KEY, METRICS, Metric, beside, led_by
from gancomp.report.page import as_html, document, figure, footer
from gancomp.report.reading import read
from gancomp.report.records import MEAN, REAL, Benchmark, Scores
from gancomp.report.rows import BLANK, quantity, significant, table_line, times
from gancomp.report.scoreboard import COMPARED, Scoreboard, read_scoreboard, reduction
from gancomp.report.stage import folders_of
from gancomp.report.style import GREY, MARKERS, PAGE, save, style
from gancomp.report.tables import CSV_COLUMNS, csv_row, table_rows

NAMES = {
    "original": "Original",
    "narrow": "Uniform narrow (from scratch)",
    "subnet": "Ours (w/o fine-tuning)",
    "finetune": "Ours",
}
#: The grid's generators, by what stands over their pictures; those without fine-tuning are in each report.
DRAWN = {"original": "original", "narrow": "uniform narrow", "finetune": "ours"}
#: Pictures of the grid, and inches that a column of it has at least.
PICTURES, TILE = 6, 0.8

COLUMNS = (
    *("experiment", "row", "seeds", "seed_list", "parameters", "macs_exact", "macs_exact_times_fewer"),
    *("macs_paper_convention", "macs_paper_convention_times_fewer"),
    *(f"{metric.column}{of}" for metric in METRICS for of in ("", "_sd", "_low", "_high")),
    *("images", "data_hash", "code_version"),
)


@dataclass(frozen=True)
class Entry:
    """One experiment: its runs, one a seed, each with its scores; and its seeds that were not run."""

    name: str
    runs: tuple[str, ...]
    boards: tuple[Scoreboard, ...]
    absent: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[str, object]:
        """What scores must share to compare: the pictures, and the network behind FID."""
        reference = self.boards[0].reference
        return reference.data_hash, reference.provenance.get("inception")

    def measured(self, stage: str) -> Measured | None:
        """What *stage* scored at every seed; None where the experiment has no such stage."""
        records = [board.evaluations[stage] for board in self.boards if stage in board.evaluations]
        return Measured(self.name, stage, tuple(records), records[0]) if records else None


# --- what is compared --------------------------------------------------------------------------


def folder_of(names: Sequence[str]) -> Path:
    """Where the comparison of these experiments lies: `results/compare/ONE+OTHER`."""
    return paths.RESULTS / "compare" / JOINT.join(names)


def entries_of(config: Config, names: Sequence[str]) -> list[Entry]:
    """The experiments as they were run.

    A seed of an experiment that was not run is left out, one that is asked for by its name raises GancompError, as
    does an experiment without any.
    """
    entries = []
    for name, runs in runs_of(config, names).items():
        asked = [run for run in runs if run in names and run != name]
        scored = [run for run in runs if run in asked or _is_scored(config, run)] or [runs[0]]
        boards = tuple(read_scoreboard(folders_of(config, run)) for run in scored)
        entries.append(Entry(name, tuple(scored), boards, tuple(run for run in runs if run not in scored)))
    return entries


def _is_scored(config: Config, run: str) -> bool:
    folders = folders_of(config, run)
    return all(folders.file(stage, "evaluation.json").is_file() for stage in ("reference", *folders.compared))


# --- what is written ---------------------------------------------------------------------------


def write_side_by_side(config: Config, names: Sequence[str], into: Path | None = None) -> Path:
    """`index.html`, whose path is returned, `table.{md,csv}`, `runs.csv` (every seed), and `quality` and `grid` in SVG
    and PNG, in *into* or the `folder_of` the experiments.

    Raises GancompError naming what was not run.
    """
    entries = entries_of(config, names)
    place = into or folder_of(names)
    metric = config.experiments[entries[0].runs[0]].metric
    title = " · ".join(entry.name for entry in entries)
    about, lines = _about(config, entries), markdown(entries, metric)
    write_csv(place / "runs.csv", CSV_COLUMNS, list(_runs(config, entries)))
    write_csv(place / "table.csv", COLUMNS, list(_rows(entries)))
    write_text(place / "table.md", "\n".join([f"# {title}", "", *about, *lines]) + "\n")
    with style():
        save(quality(config, entries, metric), place / "quality")
        drawn, dpi = draw_blocks(blocks := list(blocks_of(config, entries)), width := _width(blocks))
        save(drawn, place / "grid", dpi)
    pictures = (
        f'<div class="wide" style="--width: {width:g}">'
        + figure(place, "grid.png", "Pictures", "The same validation pictures, by every generator")
        + "</div>"
    )
    shown = figure(place, "quality.svg", "Quality against cost", "Quality against MACs of every generator")
    versions = dict.fromkeys(record.reference.code_version for entry in entries for record in entry.boards)
    told = f"Runs: {', '.join(run for entry in entries for run in entry.runs)}; gancomp {', '.join(versions)}."
    write_text(
        place / "index.html",
        document(
            title, [as_html("\n".join(about)), pictures, shown, as_html("\n".join(lines)), footer(told)], PAGE_STYLE
        ),
    )
    return place / "index.html"


#: A grid of many columns scrolls, so that its pictures stay as large as those of few.
PAGE_STYLE = """
.wide { overflow-x: auto; } .wide img { min-width: calc(var(--width) * 96px); max-width: none; width: 100%; }
td:not(:first-child) { text-align: right; } td:first-child { white-space: nowrap; }
"""


def _runs(config: Config, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The rows of every run's own table; without latencies where they were not measured."""
    for entry in entries:
        for run, board in zip(entry.runs, entry.boards, strict=True):
            path = folders_of(config, run).file("benchmark", "benchmark.json")
            benchmark = read(path, Benchmark, "benchmark") if path.is_file() else None
            rows = table_rows(board, benchmark, path)
            yield from (csv_row(row, rows[0], run, benchmark) for row in rows)


def _rows(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """A row a generator of each experiment: means over seeds, standard deviations, and 95% intervals of the means."""
    for entry in entries:
        whole = entry.measured("original")
        for stage in COMPARED:
            found = entry.measured(stage)
            if found is None or whole is None:
                continue
            records = found.evaluations
            cost = {key: statistics.fmean(getattr(one, key) for one in records) for key in ("macs", "macs_paper")}
            base = {key: statistics.fmean(getattr(one, key) for one in whole.evaluations) for key in cost}
            row: dict[str, Any] = {
                "experiment": entry.name,
                "row": NAMES[stage],
                "seeds": len(records),
                "seed_list": " ".join(str(record.seed) for record in records),
                "parameters": f"{statistics.fmean(record.params for record in records):.9g}",
                "macs_exact": f"{cost['macs']:.9g}",
                "macs_exact_times_fewer": f"{base['macs'] / cost['macs']:.4f}",
                "macs_paper_convention": f"{cost['macs_paper']:.9g}",
                "macs_paper_convention_times_fewer": f"{base['macs_paper'] / cost['macs_paper']:.4f}",
                "images": records[0].images,
                "data_hash": records[0].data_hash,
                "code_version": " ".join(dict.fromkeys(record.code_version for record in records)),
            }
            for metric in METRICS:
                if value := found.value(metric.key):
                    low, high = value.interval or (None, None)
                    told = {"": value.mean, "_sd": value.sd, "_low": low, "_high": high}
                    row |= {metric.column + of: f"{number:.9g}" for of, number in told.items() if number is not None}
            yield row


# --- the table ---------------------------------------------------------------------------------


def markdown(entries: Sequence[Entry], metric: str) -> list[str]:
    """Costs and scores of every generator, then the scores that have no place there, then differences."""
    lines = ["## Scores", ""]
    for shown in (led_by(metric), beside(metric)):
        had = [one for one in shown if any(_has(entry, one) for entry in entries)]
        if not had:
            continue
        first = shown[0].key == metric
        costs = ["Parameters", "MACs (exact)", "× fewer", "MACs (paper's convention)", "× fewer"] if first else []
        heads = ["Experiment", "Generator", *costs, *(f"{one.head} {one.arrow}" for one in had)]
        lines += [table_line(heads), table_line([":--", ":--", *["--:"] * (len(heads) - 2)])]
        lines += [table_line(cells) for cells in _cells(entries, had, costs=first)]
        lines.append("")
    several = any(len(entry.runs) > 1 for entry in entries)
    if several:
        lines += ["Over seeds: mean ± sample standard deviation [95% interval of the mean, Student's t].", ""]
    if len({entry.data for entry in entries}) > 1:
        lines += [
            "**The experiments were not all scored on the same pictures, or not with the same Inception: compare only "
            "those that share a row *real against real*.**",
            "",
        ]
    lines += _differences(entries, metric)
    return lines[:-1] if lines[-1] == "" else lines


def _about(config: Config, entries: Sequence[Entry]) -> list[str]:
    """What is compared."""
    heads = ["Experiment", "What", "Pictures", "Network", "Budget", "Seeds"]
    lines = [table_line(heads), table_line([":--"] * len(heads))]
    notes = []
    for entry in entries:
        declared = config.experiments[entry.runs[0]]
        height, width = config.datasets[declared.dataset].size
        budget = declared.search.budget if declared.compressed else BLANK
        seeds = ", ".join(str(board.reference.seed) for board in entry.boards)
        images = entry.boards[0].reference.images
        what = f"{declared.dataset}, {height} × {width}, {images:,} scored"
        title = " ".join((declared.title or entry.name).replace("|", "/").split())
        cells = [entry.name, title, what, f"{declared.model}, {declared.generator.family}", budget, seeds]
        lines.append(table_line(cells))
        if entry.absent:
            notes.append(f"Not finished, and left out: {', '.join(entry.absent)}.")
    return [*lines, "", *(line for note in notes for line in (note, ""))]


def _has(entry: Entry, metric: Metric) -> bool:
    return any(metric.of(record) is not None for board in entry.boards for record in board.evaluations.values())


def _cells(entries: Sequence[Entry], shown: Sequence[Metric], *, costs: bool) -> Iterator[list[str]]:
    """Every generator of every experiment, and once for each set of pictures the rows that need no network."""
    last = {entry.data: entry for entry in entries}
    for entry in entries:
        whole = entry.measured("original")
        for stage in COMPARED:
            found = entry.measured(stage)
            if found is None or whole is None:
                continue
            name = f"**{NAMES[stage]}**" if stage == "finetune" else NAMES[stage]
            scores = [_spread(metric, value) if (value := found.value(metric.key)) else BLANK for metric in shown]
            yield [entry.name, name, *(_costs(found, whole) if costs else []), *scores]
        if last[entry.data] is entry:
            reference = entry.boards[0].reference
            for name in (REAL, reference.baseline, MEAN):
                yield [BLANK, name, *([BLANK] * 5 if costs else []), *_plain(reference.rows[name], shown)]


def _plain(scores: Scores, shown: Sequence[Metric]) -> list[str]:
    return [BLANK if (value := metric.of(scores)) is None else metric.text(value) for metric in shown]


def _costs(found: Measured, whole: Measured) -> list[str]:
    """Parameters and both counts of MACs; where seeds chose other widths, with their spread."""
    cells = [_amount([record.params for record in found.evaluations])]
    for key in ("macs", "macs_paper"):
        own = [getattr(record, key) for record in found.evaluations]
        base = statistics.fmean(getattr(record, key) for record in whole.evaluations)
        cells += [_amount(own), times(reduction(base, statistics.fmean(own)))]
    return cells


def _amount(values: Sequence[int]) -> str:
    mean = statistics.fmean(values)
    if len(set(values)) == 1:
        return quantity(round(mean))
    unit, letter = (1e9, "G") if mean >= 1e9 else (1e6, "M")
    return f"{significant(mean / unit)} ± {significant(statistics.stdev(values) / unit)} {letter}"


def _spread(metric: Metric, value: Value) -> str:
    interval = value.interval
    return text(metric, value) + (f" [{metric.text(interval[0])}, {metric.text(interval[1])}]" if interval else "")


# --- differences -------------------------------------------------------------------------------


def _differences(entries: Sequence[Entry], metric: str) -> list[str]:
    """What the compressed generator of each experiment is against its own original and narrow one, and against the
    first experiment's compressed one; nothing where nothing is compressed."""
    compressed = [entry for entry in entries if entry.measured("finetune")]
    if not compressed:
        return []
    shown = [one for one in led_by(metric) if any(_has(entry, one) for entry in compressed)]
    lines = ["## Differences", ""]
    heads = ["Ours of", "minus", *(f"{one.head} {one.arrow}" for one in shown)]
    lines += [table_line(heads), table_line([":--", ":--", *["--:"] * len(shown)])]
    first = compressed[0]
    for entry in compressed:
        own = entry.measured("finetune")
        against = {f"its {NAMES[stage].lower()}": entry.measured(stage) for stage in ("original", "narrow")}
        if entry is not first and entry.data == first.data:
            against[f"ours of {first.name}"] = first.measured("finetune")
        for name, other in against.items():
            if own and other:
                lines.append(table_line([entry.name, name, *(_change(own, other, one.key) for one in shown)]))
    return [
        *lines,
        "",
        "Over seeds that both have: the mean difference with its 95% interval, and p of the paired t-test. Of a single "
        "pair of runs: p of a paired permutation test over the pictures, where their single scores are known, which "
        "tells of these two networks, not of other seeds.",
        "",
    ]


def _change(own: Measured, other: Measured, key: str) -> str:
    """The difference paired by seed, or of two single runs; with a test where there is one."""
    if len(own.evaluations) > 1 or len(other.evaluations) > 1:
        return difference(own, other, key)
    mine, theirs = own.evaluations[0], other.evaluations[0]
    values = getattr(mine, key), getattr(theirs, key)
    if None in values:
        return BLANK
    told = BY_KEY[key].change(values[0] - values[1])
    each = [np.array(record.each.get(key, ())) for record in (mine, theirs)]
    if not each[0].size or each[0].shape != each[1].shape:
        return told
    return f"{told}, p {p_value(each[0], each[1], mine.seed):.3f}"


# --- the figure --------------------------------------------------------------------------------


def quality(config: Config, entries: Sequence[Entry], metric: str) -> Figure:
    """Scores against exact MACs: a row for each set of pictures, a colour for each experiment, a marker for each
    kind of generator; pale marks are single seeds, bars the standard deviation over them."""
    groups: dict[tuple[str, object], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.data, []).append(entry)
    shown = [BY_KEY[key] for key in (metric, "kid" if metric == "fid" else "fid")]
    drawn = Figure(figsize=(PAGE, 0.9 + 2.5 * len(groups) + 0.09 * len(entries)), layout="constrained")
    axes = drawn.subplots(len(groups), len(shown), squeeze=False)
    colours = {entry.name: look(index)[0] for index, entry in enumerate(entries)}
    for row, group in enumerate(groups.values()):
        dataset = config.experiments[group[0].runs[0]].dataset
        for panel, one in zip(axes[row], shown, strict=True):
            _draw(panel, group, one, colours)
            panel.set_title(dataset)
            panel.set_xlabel("MACs a picture, exact count (M)")
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, colour in colours.items()]
    handles += [
        Line2D([], [], color=GREY, marker=MARKERS[stage], linestyle="", label=NAMES[stage].lower())
        for stage in COMPARED
        if any(entry.measured(stage) for entry in entries)
    ]
    drawn.legend(handles=handles, loc="outside upper center", ncols=4)
    return drawn


def _draw(axes: Axes, entries: Sequence[Entry], metric: Metric, colours: Mapping[str, str]) -> None:
    macs: list[float] = []
    for entry in entries:
        for stage in COMPARED:
            found = entry.measured(stage)
            value = found.value(metric.key) if found else None
            if found is None or value is None:
                continue
            x = [record.macs / 1e6 for record in found.evaluations]
            y = [metric.scale * (metric.of(record) or math.nan) for record in found.evaluations]
            macs += x
            looks: dict[str, Any] = {"color": colours[entry.name], "marker": MARKERS[stage], "markeredgecolor": "white"}
            if value.seeds > 1:
                axes.plot(x, y, linestyle="", alpha=0.3, markersize=5, **looks)
            bar = math.nan if value.sd is None else value.sd * metric.scale
            at = statistics.fmean(x)
            size = 11 if stage == "finetune" else 6.5
            axes.errorbar(at, value.mean * metric.scale, bar, capsize=2, linewidth=1, markersize=size, **looks)
    if macs and max(macs) > 4 * min(macs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.1)
    axes.set_ylabel(f"{metric.head} {metric.arrow}")


# --- the pictures ------------------------------------------------------------------------------


def blocks_of(config: Config, entries: Sequence[Entry]) -> Iterator[Block]:
    """The first validation pictures as all generators draw them: a block for each set of pictures; a generator that
    several experiments share, as a base's original, once."""
    groups: dict[tuple[object, ...], list[tuple[str, Scoreboard]]] = {}
    for entry in entries:
        for run, board in zip(entry.runs, entry.boards, strict=True):
            size = board.evaluations["original"].spec.size
            groups.setdefault((entry.data[0], board.reference.samples, size), []).append((run, board))
    for members in groups.values():
        strips = {run: picture_columns(folders_of(config, run), board) for run, board in members}
        given: list[str] = [name for name in ("input", "target") if name in strips[members[0][0]]]
        shown = [strips[members[0][0]][name][:PICTURES] for name in given]
        heads = list(given)
        for stage, name in DRAWN.items():
            drawn: dict[Path, tuple[str, Scoreboard]] = {}
            for run, board in members:
                if stage in board.evaluations:
                    drawn.setdefault(folder(config, run, stage), (run, board))
            for path, (run, board) in drawn.items():
                shown.append(strips[run][stage][:PICTURES])
                heads.append(_head(path.parent.name, name, board, stage))
        sheet, centres = contact_sheet(shown)
        dataset = config.experiments[members[0][0]].dataset
        heads *= len(centres) // len(heads)
        yield Block(dataset, sheet, tuple(zip(centres, heads, strict=True)))


def _head(run: str, name: str, board: Scoreboard, stage: str) -> str:
    record, original = board.evaluations[stage], board.evaluations["original"]
    fewer = "" if stage == "original" else f"\n({times(reduction(original.macs, record.macs))})"
    broken = (
        "\n".join(textwrap.wrap(run.replace(".", " .").replace("-", "- "), 13)).replace(" .", ".").replace("- ", "-")
    )
    return f"{broken}\n{name}\n{quantity(record.macs)}{fewer}"


def _width(blocks: Sequence[Block]) -> float:
    """Inches at which the widest block's heads have room."""
    return max(PAGE, TILE * max(len(block.heads) for block in blocks))
