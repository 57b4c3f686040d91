"""The result table of one experiment, as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gancomp.errors import GancompError
from gancomp.pipeline.files import write_csv, write_text
from gancomp.report.metrics import METRICS, Metric, beside
from gancomp.report.reading import read
from gancomp.report.records import (
    MEAN,
    REAL,
    Benchmark,
    BenchmarkRow,
    Evaluation,
    SupernetMetrics,
)
from gancomp.report.rows import BLANK, Row, known_metrics, measured, one_line, quantity, significant, table_line, times
from gancomp.report.scoreboard import Scoreboard, Subject, label, read_scoreboard, reduction
from gancomp.report.searched import Selection
from gancomp.report.small_print import small_print
from gancomp.report.verdicts import UNLEARNED, comparison, supernet_verdict, verdict
from gancomp.spec import format_widths

CSV_COLUMNS: tuple[str, ...] = (
    "experiment",
    "row",
    "block",
    "widths",
    "parameters",
    "macs_exact",
    "macs_exact_times_fewer",
    "macs_paper_convention",
    "macs_paper_convention_times_fewer",
    *(metric.column for metric in METRICS),
    "latency_pytorch_median_ms",
    "latency_times_faster",
    "threads",
    "activation_memory_bytes",
    "images",
    "seed",
    "data_hash",
    "code_version",
)


def write_tables(subject: Subject) -> None:
    """Write `tables/table.csv` and `tables/table.md` of an experiment from its stages' files.

    Raises GancompError with the file, and the stage to run, if one is missing, invalid, or was scored on other
    pictures.
    """
    folders = subject.folders
    board = read_scoreboard(folders)
    benchmark = read(folders.file("benchmark", "benchmark.json"), Benchmark, "benchmark")
    selection = supernet = None
    if folders.compressed:
        selection = read(folders.file("search", "selection.json"), Selection, "search")
        supernet = read(folders.file("supernet", "metrics.json"), SupernetMetrics, "supernet")
    rows = table_rows(board, benchmark, folders.file("benchmark", "benchmark.json"))
    verdicts = [verdict(board, subject.metric)]
    if supernet:
        verdicts.append(supernet_verdict(supernet))
        if UNLEARNED not in verdicts[0]:
            verdicts += comparison(board, subject.metric)
    lines = [
        f"# {one_line(subject.title or folders.experiment)}",
        "",
        *_markdown_table(rows, benchmark, subject.metric),
        "",
        *_second_table(rows, subject.metric),
        *([f"**Note.** {one_line(subject.note)}", ""] if subject.note.strip() else []),
        *(f"{text}\n" for text in verdicts),
        " ".join(small_print(subject, rows, board, benchmark, selection)),
    ]
    cells = [csv_row(row, rows[0], folders.experiment, benchmark) for row in rows]
    write_csv(folders.output("tables", "table.csv"), CSV_COLUMNS, cells)
    write_text(folders.output("tables", "table.md"), "\n".join(lines) + "\n")


def table_rows(board: Scoreboard, benchmark: Benchmark | None, path: Path) -> list[Row]:
    """The original, the compressed generators, then the reference rows. *benchmark* was read from *path*."""
    rows = [
        Row(
            label(evaluation),
            evaluation,
            evaluation,
            evaluation,
            _measured(benchmark, evaluation, path) if benchmark else None,
        )
        for evaluation in board.evaluations.values()
    ]
    reference = board.reference
    return rows + [Row(name, reference.rows[name], reference) for name in (REAL, reference.baseline, MEAN)]


def _measured(benchmark: Benchmark, evaluation: Evaluation, path: Path) -> BenchmarkRow:
    """The measured row of a generator; fine-tuning changes no architecture, so `subnet` and `finetune` share one."""
    twins = ("subnet", "finetune") if evaluation.stage in ("subnet", "finetune") else (evaluation.stage,)
    measured = next((benchmark.rows[name] for name in twins if name in benchmark.rows), None)
    if measured is None:
        raise GancompError(f"{path}: rows: no {' or '.join(twins)}; run the stage 'benchmark' again")
    for key in ("params", "macs", "macs_paper"):
        if getattr(measured, key) != getattr(evaluation, key):
            raise GancompError(
                f"{path}: {key} of {evaluation.stage!r} is {getattr(measured, key)}, but it was evaluated with "
                f"{getattr(evaluation, key)}: another network was measured; run the stage 'benchmark' again"
            )
    return measured


# --- CSV ---------------------------------------------------------------------------------------


def csv_row(row: Row, original: Row, experiment: str, benchmark: Benchmark | None) -> dict[str, Any]:
    """Raw numbers; None (an empty cell) if a column does not apply."""
    values: dict[str, Any] = {
        "experiment": experiment,
        "row": row.name,
        **{metric.column: metric.of(row.scores) for metric in METRICS},
        "images": row.made_by.images,
        "seed": row.made_by.seed,
        "data_hash": row.made_by.data_hash,
        "code_version": row.made_by.code_version,
    }
    if row.evaluation and original.evaluation:
        own, base = row.evaluation, original.evaluation
        values |= {
            "block": own.spec.block,
            "widths": format_widths(own.spec.widths),
            "parameters": own.params,
            "macs_exact": own.macs,
            "macs_exact_times_fewer": round(reduction(base.macs, own.macs), 4),
            "macs_paper_convention": own.macs_paper,
            "macs_paper_convention_times_fewer": round(reduction(base.macs_paper, own.macs_paper), 4),
        }
    if row.measured and original.measured and benchmark:
        values |= {
            "latency_pytorch_median_ms": row.measured.latency_ms.median,
            "latency_times_faster": round(
                reduction(original.measured.latency_ms.median, row.measured.latency_ms.median), 4
            ),
            "threads": benchmark.threads,
            "activation_memory_bytes": row.measured.activation_bytes,
        }
    return values


# --- Markdown ----------------------------------------------------------------------------------


def _markdown_table(rows: Sequence[Row], benchmark: Benchmark, metric: str) -> list[str]:
    """The main table: the experiment's metric comes first; metrics that no row has are left out."""
    threads = f"{benchmark.threads} thread{'s' if benchmark.threads > 1 else ''}"
    shown = measured(rows, metric)
    heads = [
        "Generator",
        "Parameters",
        "MACs (exact)",
        "× fewer",
        "MACs (paper's convention)",
        "× fewer",
        *(f"{metric.head} {metric.arrow}" for metric in shown),
        f"Latency, median ms (PyTorch, {threads})",
        "× faster",
        "Activation memory",
    ]
    cells = [_markdown_cells(row, rows[0], shown) for row in rows]
    return [table_line(heads), table_line([":--", *["--:"] * (len(heads) - 1)]), *(table_line(row) for row in cells)]


def _second_table(rows: Sequence[Row], metric: str) -> list[str]:
    """The table of the metrics that are not in the first; empty if none was measured."""
    shown = known_metrics(rows, beside(metric))
    if not shown:
        return []
    heads = ["Generator", *(f"{metric.head} {metric.arrow}" for metric in shown)]
    cells = [[_markdown_name(row), *score_cells(row, shown)] for row in rows]
    return [table_line(heads), table_line([":--", *["--:"] * len(shown)]), *(table_line(row) for row in cells), ""]


def _markdown_cells(row: Row, original: Row, shown: Sequence[Metric]) -> list[str]:
    scores = score_cells(row, shown)
    if not (row.evaluation and row.measured and original.evaluation and original.measured):
        return [row.name, *[BLANK] * 5, *scores, *[BLANK] * 3]
    own, base, latency = row.evaluation, original.evaluation, row.measured.latency_ms.median
    return [
        _markdown_name(row),
        f"{significant(own.params / 1e6)} M",
        quantity(own.macs),
        times(reduction(base.macs, own.macs)),
        quantity(own.macs_paper),
        times(reduction(base.macs_paper, own.macs_paper)),
        *scores,
        significant(latency),
        times(reduction(original.measured.latency_ms.median, latency)),
        f"{significant(row.measured.activation_bytes / 2**20)} MiB",
    ]


def score_cells(row: Row, shown: Sequence[Metric]) -> list[str]:
    return [BLANK if (value := metric.of(row.scores)) is None else metric.text(value) for metric in shown]


def _markdown_name(row: Row) -> str:
    return f"**{row.name}**" if row.evaluation and row.evaluation.stage == "finetune" else row.name
