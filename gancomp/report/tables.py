"""The experiment's Table 1: cost and quality of every compared generator, as CSV and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancomp.artifacts import write_csv, write_text
from gancomp.errors import GancompError
from gancomp.report.records import (
    COMPARED,
    COPIED,
    REAL,
    REFERENCE_ROWS,
    Benchmark,
    BenchmarkRow,
    Evaluation,
    Folders,
    Reference,
    Scoreboard,
    Scores,
    Selection,
    SupernetMetrics,
    label,
    read,
    read_scoreboard,
    reduction,
)
from gancomp.spec import format_widths

#: What a cell holds where the column does not apply.
BLANK = "–"

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
    "fid",
    "kid_mmd2",
    "l1_share_of_range",
    "latency_pytorch_median_ms",
    "latency_times_faster",
    "threads",
    "activation_memory_bytes",
    "images",
    "seed",
    "data_hash",
    "code_version",
)


@dataclass(frozen=True)
class Row:
    """One row: a generator with its costs, or a reference that has scores alone."""

    name: str
    scores: Scores
    made_by: Evaluation | Reference
    evaluation: Evaluation | None = None
    measured: BenchmarkRow | None = None


def write_tables(
    results: Path, experiment: str, title: str, note: str, owners: Mapping[str, str] | None = None
) -> None:
    """Write `tables/table.csv` and `tables/table.md` of *experiment* from what its stages wrote.

    *owners* says which experiment's folder holds a stage that a base trained. Raises GancompError naming the
    file, and the stage to run, when one is missing, wrong, or was scored on other pictures.
    """
    folders = Folders(results, experiment, owners or {})
    board = read_scoreboard(folders)
    benchmark = read(folders.file("benchmark", "benchmark.json"), Benchmark, "benchmark")
    selection = read(folders.file("search", "selection.json"), Selection, "search")
    supernet = read(folders.file("supernet", "metrics.json"), SupernetMetrics, "supernet")
    rows = table_rows(board, benchmark, folders.file("benchmark", "benchmark.json"))
    write_csv(
        folders.output("tables", "table.csv"), CSV_COLUMNS, [_csv_row(r, rows[0], experiment, benchmark) for r in rows]
    )
    lines = [
        f"# {_one_line(title or experiment)}",
        "",
        *_markdown_table(rows, benchmark),
        "",
        *([f"**Note.** {_one_line(note)}", ""] if note.strip() else []),
        *(f"{text}\n" for text in (verdict(board), supernet_verdict(supernet), *comparison(board))),
        _small_print(board, benchmark, selection),
    ]
    write_text(folders.output("tables", "table.md"), "\n".join(lines) + "\n")


def table_rows(board: Scoreboard, benchmark: Benchmark, path: Path) -> list[Row]:
    """The original first, then the compressed generators, then the honesty rows."""
    rows = [
        Row(label(evaluation), evaluation.scores, evaluation, evaluation, _measured(benchmark, evaluation, path))
        for evaluation in (board.evaluations[stage] for stage in COMPARED)
    ]
    return rows + [Row(name, board.reference.rows[name], board.reference) for name in REFERENCE_ROWS]


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


def _csv_row(row: Row, original: Row, experiment: str, benchmark: Benchmark) -> dict[str, Any]:
    """Raw numbers; None, an empty cell, where a column does not apply."""
    values: dict[str, Any] = {
        "experiment": experiment,
        "row": row.name,
        "fid": row.scores.fid,
        "kid_mmd2": row.scores.kid,
        "l1_share_of_range": row.scores.l1,
        "images": row.made_by.images,
        "seed": row.made_by.seed,
        "data_hash": row.made_by.data_hash,
        "code_version": row.made_by.code_version,
    }
    if row.evaluation and row.measured and original.evaluation and original.measured:
        own, base = row.evaluation, original.evaluation
        values |= {
            "block": own.spec.block,
            "widths": format_widths(own.spec.widths),
            "parameters": own.params,
            "macs_exact": own.macs,
            "macs_exact_times_fewer": round(reduction(base.macs, own.macs), 4),
            "macs_paper_convention": own.macs_paper,
            "macs_paper_convention_times_fewer": round(reduction(base.macs_paper, own.macs_paper), 4),
            "latency_pytorch_median_ms": row.measured.latency_ms.median,
            "latency_times_faster": round(
                reduction(original.measured.latency_ms.median, row.measured.latency_ms.median), 4
            ),
            "threads": benchmark.threads,
            "activation_memory_bytes": row.measured.activation_bytes,
        }
    return values


# --- Markdown ----------------------------------------------------------------------------------


def _markdown_table(rows: Sequence[Row], benchmark: Benchmark) -> list[str]:
    threads = f"{benchmark.threads} thread{'s' if benchmark.threads > 1 else ''}"
    heads = [
        "Generator",
        "Parameters",
        "MACs (exact)",
        "× fewer",
        "MACs (paper's convention)",
        "× fewer",
        "FID ↓",
        "KID × 10³ ↓",
        "L1 ↓",
        f"Latency, median ms (PyTorch, {threads})",
        "× faster",
        "Activation memory",
    ]
    cells = [_markdown_cells(row, rows[0]) for row in rows]
    return [_line(heads), _line([":--", *["--:"] * (len(heads) - 1)]), *(_line(row) for row in cells)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cells(row: Row, original: Row) -> list[str]:
    scores = [
        f"{row.scores.fid:.1f}",
        kid_text(row.scores.kid),
        BLANK if row.scores.l1 is None else f"{row.scores.l1:.4f}",
    ]
    if not (row.evaluation and row.measured and original.evaluation and original.measured):
        return [row.name, *[BLANK] * 5, *scores, *[BLANK] * 3]
    own, base, latency = row.evaluation, original.evaluation, row.measured.latency_ms.median
    return [
        f"**{row.name}**" if own.stage == "finetune" else row.name,
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


def significant(value: float) -> str:
    """Three significant digits, never in exponent form: 0.357, 4.99, 56.8, 563, 1,234."""
    if value == 0:
        return "0"
    decimals = next((d for d in (2, 1, 0) if abs(round(value, d)) < 10 ** (3 - d)), 0)
    return f"{value:.3f}" if abs(round(value, 3)) < 1 else f"{value:,.{decimals}f}"


def quantity(count: int) -> str:
    """MACs in G or M, by magnitude."""
    return f"{significant(count / 1e9)} G" if count >= 1e9 else f"{significant(count / 1e6)} M"


def times(factor: float) -> str:
    """A factor of exactly one is `1×`, the original's own row."""
    return "1×" if factor == 1 else f"{significant(factor)}×"


def kid_text(kid: float) -> str:
    """KID × 10³."""
    return f"{kid * 1e3:.2f}".replace("-", "−")


def signed(value: float, decimals: int) -> str:
    """A difference, always with its sign."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- what follows, in words --------------------------------------------------------------------


def better_on(scores: Scores, other: Scores) -> tuple[list[str], list[str]]:
    """The names of the scores on which *scores* is strictly better (lower) than *other*, and of the rest."""
    better: list[str] = []
    rest: list[str] = []
    for key, name in (("fid", "FID"), ("kid", "KID"), ("l1", "L1")):
        mine, theirs = getattr(scores, key), getattr(other, key)
        if mine is not None and theirs is not None:
            (better if mine < theirs else rest).append(name)
    return better, rest


def verdict(board: Scoreboard) -> str:
    """Whether the original learned its task: without that, nothing about compression follows."""
    original, copied = board.evaluations["original"].scores, board.reference.rows[COPIED]
    better, rest = better_on(original, copied)
    if rest:
        return (
            f"**Warning: the original does not beat *{COPIED}* on {_and(rest)} ({_against(original, copied, rest)}). "
            "It has not learned its task, so nothing about compression follows from this table.**"
        )
    return f"The original beats *{COPIED}* on {_and(better)} ({_against(original, copied, better)})."


def supernet_verdict(metrics: SupernetMetrics) -> str:
    """Whether once-for-all training did its work on the smallest subnet."""
    spans = {
        name: f"L1 {span.start['l1']:.4f} → {span.end['l1']:.4f}"
        for name, span in (("smallest", metrics.smallest), ("largest", metrics.largest))
    }
    numbers = f"{spans['smallest']}; the largest: {spans['largest']}"
    if metrics.improved:
        return f"The smallest subnet improved in once-for-all training ({numbers})."
    return (
        f"**Warning: the smallest subnet did not improve in once-for-all training ({numbers}). "
        "That training failed, so the search chose among untrained subnets.**"
    )


def comparison(board: Scoreboard) -> list[str]:
    """Ours against the original and against the uniform narrow network, in numbers."""
    ours, original, narrow = (board.evaluations[stage] for stage in ("finetune", "original", "narrow"))
    l1_change = f" ({signed((ours.l1 / original.l1 - 1) * 100, 1)}%)" if original.l1 > 0 else ""
    against_original = (
        f"Ours against the original: {times(reduction(original.macs, ours.macs))} fewer MACs exactly counted, "
        f"{times(reduction(original.macs_paper, ours.macs_paper))} by the paper's convention; "
        f"FID {signed(ours.fid - original.fid, 1)}, KID × 10³ {signed((ours.kid - original.kid) * 1e3, 2)}, "
        f"L1 {signed(ours.l1 - original.l1, 4)}{l1_change}; lower is better."
    )
    better, rest = better_on(ours.scores, narrow.scores)
    parts = [f"{words} on {_and(names)}" for words, names in (("better", better), ("not better", rest)) if names]
    against_narrow = f"Ours against the uniform narrow generator: {', '.join(parts)}."
    return [against_original, against_narrow]


def _against(mine: Scores, theirs: Scores, names: Sequence[str]) -> str:
    texts: dict[str, Callable[[Scores], str]] = {
        "FID": lambda scores: f"{scores.fid:.1f}",
        "KID × 10³": lambda scores: kid_text(scores.kid),
        "L1": lambda scores: f"{scores.l1:.4f}",
    }
    return ", ".join(
        f"{name} {text(mine)} against {text(theirs)}" for name, text in texts.items() if name.split()[0] in names
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _small_print(board: Scoreboard, benchmark: Benchmark, selection: Selection) -> str:
    reference = board.reference
    real = reference.rows[REAL].fid
    rounds = f"{benchmark.runs} run{'s' if benchmark.runs > 1 else ''} after {benchmark.warmup} to warm up"
    return (
        f"Scored on {reference.images:,} validation pictures, which chose nothing: the search picked its winner on "
        f"{selection.images:,} pictures of train-2, among {selection.subnets_scored:,} of "
        f"{selection.subnets_in_space:,} subnets, under a budget of {quantity(selection.budget_macs)} exact MACs. "
        f"Few pictures bias FID upwards: real pictures against other real ones score {real:.1f} here, so read FID "
        "against that row, and KID, which is unbiased, beside it. "
        "*Input copied* returns the input unchanged; *mean colour* returns one flat colour. "
        "L1 is the mean absolute difference as a share of the 8-bit range. "
        "MACs are those of one picture; the paper's convention counts transposed convolutions at output resolution, "
        "and the instance norms. "
        f"Latency at batch 1: the median of {rounds}."
    )
