"""Write the comparison of experiments, budgets or seeds: a table over seeds, a figure, a picture grid, a page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gancomp.config.settings import Config
from gancomp.paper.grids import draw_blocks
from gancomp.pipeline.files import write_csv, write_text
from gancomp.pipeline.stages import COMPARED
from gancomp.report.compare.entries import NAMES, Entry, entries_of, folder_of
from gancomp.report.compare.figure import quality
from gancomp.report.compare.pictures import blocks_of, width_of
from gancomp.report.compare.table import markdown
from gancomp.report.metrics import METRICS
from gancomp.report.page import as_html, document, figure, footer
from gancomp.report.reading import read
from gancomp.report.records import Benchmark
from gancomp.report.rows import BLANK, table_line
from gancomp.report.stage import folders_of
from gancomp.report.style import save, style
from gancomp.report.tables import CSV_COLUMNS, csv_row, table_rows

COLUMNS = (
    *("experiment", "row", "seeds", "seed_list", "parameters", "macs_exact", "macs_exact_times_fewer"),
    *("macs_paper_convention", "macs_paper_convention_times_fewer"),
    *(f"{metric.column}{of}" for metric in METRICS for of in ("", "_sd", "_low", "_high")),
    *("images", "data_hash", "code_version"),
)


def write_side_by_side(config: Config, names: Sequence[str], into: Path | None = None) -> Path:
    """Write `index.html` (returned), `table.{md,csv}`, `runs.csv` (every seed), and `quality` and `grid` in SVG and
    PNG, into *into* (default: `folder_of` the experiments).

    Raises GancompError with the file that is missing.
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
        drawn, dpi = draw_blocks(blocks := list(blocks_of(config, entries)), width := width_of(blocks))
        save(drawn, place / "grid", dpi)
    pictures = (
        f'<div class="wide" style="--width: {width:g}">'
        + figure(place, "grid.png", "Pictures", "Outputs of every generator for the same validation pictures")
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


#: A grid with many columns scrolls, so that its pictures are not reduced.
PAGE_STYLE = """
.wide { overflow-x: auto; } .wide img { min-width: calc(var(--width) * 96px); max-width: none; width: 100%; }
td:not(:first-child) { text-align: right; } td:first-child { white-space: nowrap; }
"""


def _runs(config: Config, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The rows of every run's own table; without latencies if they were not measured."""
    for entry in entries:
        for run, board in zip(entry.runs, entry.boards, strict=True):
            path = folders_of(config, run).file("benchmark", "benchmark.json")
            benchmark = read(path, Benchmark, "benchmark") if path.is_file() else None
            rows = table_rows(board, benchmark, path)
            yield from (csv_row(row, rows[0], run, benchmark) for row in rows)


def _rows(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """One row per generator of each experiment: means over seeds, standard deviations, 95% intervals of the means."""
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


def _about(config: Config, entries: Sequence[Entry]) -> list[str]:
    """The table of the compared experiments."""
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
