"""The experiment's Table 1: cost and quality of every compared generator, as CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gancomp.artifacts import write_csv, write_text
from gancomp.errors import GancompError
from gancomp.metrics.permutation import LEVEL, SWAPS, p_value
from gancomp.report.metrics import BY_KEY, METRICS, Metric, beside, led_by
from gancomp.report.records import (
    COPIED,
    MEAN,
    PAINTED,
    REAL,
    Benchmark,
    BenchmarkRow,
    Evaluation,
    Reference,
    Scoreboard,
    Scores,
    Selection,
    Subject,
    SupernetMetrics,
    TrainingMetrics,
    label,
    read,
    read_scoreboard,
    reduction,
)
from gancomp.spec import format_widths

#: What a cell holds where the column does not apply.
BLANK = "–"
#: What is said of an original that does not beat a generator that does nothing; then nothing is said about compression.
UNLEARNED = "It has not learned its task, so nothing about compression follows from this table."

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


@dataclass(frozen=True)
class Row:
    """One row: a generator with its costs, or a reference that has scores alone."""

    name: str
    scores: Scores
    made_by: Evaluation | Reference
    evaluation: Evaluation | None = None
    measured: BenchmarkRow | None = None


def write_tables(subject: Subject) -> None:
    """Write `tables/table.csv` and `tables/table.md` of an experiment from what its stages wrote.

    Raises GancompError naming the file, and the stage to run, when one is missing, wrong, or was scored on other
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
        f"# {_one_line(subject.title or folders.experiment)}",
        "",
        *_markdown_table(rows, benchmark, subject.metric),
        "",
        *_second_table(rows, subject.metric),
        *([f"**Note.** {_one_line(subject.note)}", ""] if subject.note.strip() else []),
        *(f"{text}\n" for text in verdicts),
        " ".join(_small_print(subject, rows, board, benchmark, selection)),
    ]
    cells = [_csv_row(row, rows[0], folders.experiment, benchmark) for row in rows]
    write_csv(folders.output("tables", "table.csv"), CSV_COLUMNS, cells)
    write_text(folders.output("tables", "table.md"), "\n".join(lines) + "\n")


def table_rows(board: Scoreboard, benchmark: Benchmark, path: Path) -> list[Row]:
    """The original first, then the compressed generators, then the honesty rows."""
    rows = [
        Row(label(evaluation), evaluation, evaluation, evaluation, _measured(benchmark, evaluation, path))
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


def _csv_row(row: Row, original: Row, experiment: str, benchmark: Benchmark) -> dict[str, Any]:
    """Raw numbers; None, an empty cell, where a column does not apply."""
    values: dict[str, Any] = {
        "experiment": experiment,
        "row": row.name,
        **{metric.column: metric.of(row.scores) for metric in METRICS},
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


def _markdown_table(rows: Sequence[Row], benchmark: Benchmark, metric: str) -> list[str]:
    """The declared metric leads the scores; one that no row has takes no column."""
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
    return [_line(heads), _line([":--", *["--:"] * (len(heads) - 1)]), *(_line(row) for row in cells)]


def _second_table(rows: Sequence[Row], metric: str) -> list[str]:
    """The scores that have no place in the first; none where nothing was scored by them."""
    shown = _known(rows, beside(metric))
    if not shown:
        return []
    heads = ["Generator", *(f"{metric.head} {metric.arrow}" for metric in shown)]
    cells = [[_markdown_name(row), *_scores(row, shown)] for row in rows]
    return [_line(heads), _line([":--", *["--:"] * len(shown)]), *(_line(row) for row in cells), ""]


def measured(rows: Sequence[Row], metric: str) -> list[Metric]:
    """The main metrics that at least one row has, the one of key *metric* first."""
    return _known(rows, led_by(metric))


def _known(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Metric]:
    return [one for one in metrics if any(one.of(row.scores) is not None for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cells(row: Row, original: Row, shown: Sequence[Metric]) -> list[str]:
    scores = _scores(row, shown)
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


def _scores(row: Row, shown: Sequence[Metric]) -> list[str]:
    return [BLANK if (value := metric.of(row.scores)) is None else metric.text(value) for metric in shown]


def _markdown_name(row: Row) -> str:
    return f"**{row.name}**" if row.evaluation and row.evaluation.stage == "finetune" else row.name


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


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- what follows, in words --------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two generators' values of one metric that both have."""

    metric: Metric
    mine: float
    theirs: float

    @property
    def better(self) -> bool:
        """Whether mine is, strictly."""
        return self.metric.cost(self.mine) < self.metric.cost(self.theirs)

    @property
    def values(self) -> str:
        return f"{self.metric.head} {self.metric.text(self.mine)} against {self.metric.text(self.theirs)}"

    @property
    def change(self) -> str:
        """`L1 +0.0056 (+9.2%)`: distances between pictures relative to theirs too."""
        difference = f"{self.metric.head} {self.metric.change(self.mine - self.theirs)}"
        if self.metric.key not in ("l1", "lpips") or self.theirs <= 0:
            return difference
        return f"{difference} ({(self.mine / self.theirs - 1) * 100:+.1f}%)".replace("-", "−")


def pairs(mine: Scores, theirs: Scores, metric: str) -> list[Pair]:
    """What both have, by the metric of key *metric* first."""
    values = [(one, one.of(mine), one.of(theirs)) for one in led_by(metric)]
    return [Pair(one, a, b) for one, a, b in values if a is not None and b is not None]


def verdict(board: Scoreboard, metric: str) -> str:
    """Whether the original learned its task: without that, nothing about compression follows.

    Flat class colours lie near the optimum of L1 and show a judge nothing but the classes, so against them it is
    held by how real its pictures look. A score by which the baseline is more real than real pictures are, as FID of
    few pictures is of inputs that show the same things, tells of neither.
    """
    name = board.reference.baseline
    held = pairs(board.evaluations["original"], board.reference.rows[name], metric)
    if name == PAINTED:
        held = [pair for pair in held if pair.metric.key in ("fid", "kid")]
    beyond = [pair for pair in pairs(board.reference.rows[name], board.reference.rows[REAL], metric) if pair.better]
    unfit = {pair.metric.key for pair in beyond}
    if any(pair.metric.key not in unfit for pair in held):
        held = [pair for pair in held if pair.metric.key not in unfit]
    else:
        beyond = []
    about = ""
    if beyond:
        about = (
            f" By {_and(beyond)} *{name}* scores better than real pictures against other real ones "
            f"({_values(beyond)}), so that tells nothing here."
        )
    rest = [pair for pair in held if not pair.better]
    if rest:
        return f"**Warning: the original does not beat *{name}* on {_and(rest)} ({_values(rest)}). {UNLEARNED}**{about}"
    return f"The original beats *{name}* on {_and(held)} ({_values(held)}).{about}"


def supernet_verdict(metrics: SupernetMetrics) -> str:
    """Whether once-for-all training did its work on the smallest subnet."""
    spans = {
        name: f"L1 {span.start['l1']:.4f} → {span.end['l1']:.4f}"
        for name, span in (("smallest", metrics.smallest), ("largest", metrics.largest))
    }
    numbers = f"{spans['smallest']}; the largest: {spans['largest']}"
    if metrics.l1_against == "teacher":
        numbers += "; to the teacher's pictures, since the truth is not known"
    if metrics.improved:
        return f"The smallest subnet improved in once-for-all training ({numbers})."
    if not metrics.l1_trained:
        return (
            f"The smallest subnet did not come closer in once-for-all training ({numbers}); its objective holds no L1, "
            "so the scores of the search say more."
        )
    return (
        f"**Warning: the smallest subnet did not improve in once-for-all training ({numbers}). "
        "That training failed, so the search chose among untrained subnets.**"
    )


def comparison(board: Scoreboard, metric: str) -> list[str]:
    """Ours against the original and against the uniform narrow network, in numbers, and whether swapping their pictures
    would tell."""
    ours, original, narrow = (board.evaluations[stage] for stage in ("finetune", "original", "narrow"))
    held = pairs(ours, original, metric)
    tested = told_apart(held, ours, original)
    against_original = (
        f"Ours against the original: {times(reduction(original.macs, ours.macs))} fewer MACs exactly counted, "
        f"{times(reduction(original.macs_paper, ours.macs_paper))} by the paper's convention; "
        f"{', '.join(pair.change for pair in held)}; {_better_is(held)}."
        + (f" On the same pictures: {tested}." if tested else "")
    )
    held = pairs(ours, narrow, metric)
    verdicts = {"better": [pair for pair in held if pair.better], "not better": [p for p in held if not p.better]}
    parts = [f"{words} on {_and(some)}" for words, some in verdicts.items() if some]
    tested = told_apart(held, ours, narrow)
    return [
        against_original,
        f"Ours against the uniform narrow generator: {', '.join(parts)}."
        + (f" On the same pictures: {tested}." if tested else ""),
    ]


def told_apart(held: Sequence[Pair], mine: Evaluation, theirs: Evaluation) -> str:
    """By which metrics a paired permutation test tells two generators apart, each with its p; "" where the values of
    the single pictures are not known."""
    tested = []
    for pair in held:
        own, other = (np.array(record.each.get(pair.metric.key, ())) for record in (mine, theirs))
        if own.size and other.size:
            tested.append((pair, p_value(own, other, mine.seed)))
    ways = {
        "better": [(pair, p) for pair, p in tested if p < LEVEL and pair.better],
        "worse": [(pair, p) for pair, p in tested if p < LEVEL and not pair.better],
        "cannot be told apart": [(pair, p) for pair, p in tested if p >= LEVEL],
    }
    told = {way: ", ".join(f"{pair.metric.name} (p {_p(p)})" for pair, p in some) for way, some in ways.items() if some}
    return "; ".join(f"{way} by {names}" for way, names in told.items())


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _better_is(held: Sequence[Pair]) -> str:
    """`lower is better`; of which metrics, where they differ."""
    ways: dict[str, list[Pair]] = {}
    for pair in held:
        ways.setdefault(pair.metric.direction, []).append(pair)
    return "; ".join(f"{way} is better" + (f" for {_and(some)}" if len(ways) > 1 else "") for way, some in ways.items())


def _values(held: Sequence[Pair]) -> str:
    return ", ".join(pair.values for pair in held)


def _and(held: Sequence[Pair]) -> str:
    names = [pair.metric.name for pair in held]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- the small print ---------------------------------------------------------------------------


def _small_print(
    subject: Subject, rows: Sequence[Row], board: Scoreboard, benchmark: Benchmark, selection: Selection | None
) -> list[str]:
    """How the numbers came about, and why one is not there: sentences."""
    reference = board.reference
    real = BY_KEY["fid"].text(reference.rows[REAL].fid)
    rounds = f"{benchmark.runs} run{'s' if benchmark.runs > 1 else ''} after {benchmark.warmup} to warm up"
    keys = {metric.key for metric in _known(rows, METRICS)}
    return [
        f"Scored on {reference.images:,} validation pictures, which chose nothing{_chosen_by(selection)}.",
        f"Few pictures bias FID upwards: real pictures against other real ones score {real} here, so read FID "
        "against that row, and KID, which is unbiased, beside it.",
        *(["FID and KID are against all real targets, those of training too."] if subject.all_targets else []),
        _BASELINE[reference.baseline],
        *(_ABOUT[key] for key in _ABOUT if key in keys),
        *([_judged(reference)] if "miou" in keys else []),
        *reference.absent.values(),
        *([_TESTED] if any(evaluation.each for evaluation in board.evaluations.values()) else []),
        *_trained_by(subject),
        "MACs are those of one picture; the paper's convention counts transposed convolutions at output resolution, "
        "and the instance norms.",
        f"Latency at batch 1: the median of {rounds}.",
    ]


_TESTED = (
    f"p is that of a paired permutation test: how often {SWAPS:,} random swaps of the two generators' pictures set "
    "them as far apart, FID and KID by what each picture adds to them to first order; "
    f"from p {LEVEL:g} on they cannot be told apart. It tells of these two networks, not of other seeds."
)
_BASELINE = {
    COPIED: "*Input copied* returns the input unchanged; *mean colour* returns one flat colour.",
    PAINTED: (
        "*Class colours* paints each class of the label map in its mean colour over the training photos, which is hard "
        "to beat in L1; *mean colour* returns one flat colour."
    ),
}
_ABOUT = {
    "l1": "L1 is the mean absolute difference as a share of the 8-bit range.",
    "lpips": "LPIPS is the mean perceptual distance (AlexNet).",
    "ssim": "SSIM is the mean structural similarity (Gaussian window of 11 × 11, σ 1.5, mean over channels).",
    "psnr": "PSNR is the mean of the pictures' ratios.",
    "precision": (
        "A real picture's ball reaches to its 5th neighbour among the features of FID: precision is the share of "
        "pictures that lie in one, density in how many on average (over 5), coverage the share of balls that hold a "
        "picture; recall is the share of real pictures that lie in the pictures' own balls."
    ),
}


def _chosen_by(selection: Selection | None) -> str:
    if selection is None:
        return ""
    metric = BY_KEY[selection.metric]
    return (
        f": the search picked its winner, that of {metric.best} {metric.name}, on {selection.images:,} pictures of "
        f"train-2, among {selection.subnets_scored:,} of {selection.subnets_in_space:,} subnets, under a budget of "
        f"{quantity(selection.budget_macs)} exact MACs"
    )


def _judged(reference: Reference) -> str:
    text = "mIoU is the mean intersection over union of the classes that a judge, a segmentation network, reads off."
    if reference.judge is None:
        return text
    miou = BY_KEY["miou"]
    return (
        f"{text} On real validation pictures it reaches {miou.text(reference.judge.miou)} %; "
        f"always answering the most frequent class reaches {miou.text(reference.judge.majority)} %."
    )


def _trained_by(subject: Subject) -> list[str]:
    """What trained the generators, where that is not plain from the experiment."""
    sentences = []
    if subject.perceptual:
        sentences.append(f"The perceptual loss of the trainings is that of {subject.perceptual}.")
    for stage in subject.folders.trained:
        if stage not in ("original", "teacher"):
            continue
        metrics = read(subject.folders.file(stage, "metrics.json"), TrainingMetrics, stage)
        if metrics.imported:
            checkpoint, sha256 = _one_line(metrics.imported.checkpoint), metrics.imported.sha256
            fresh = stage == "teacher" and metrics.imported.discriminator is None
            cost = ", without its discriminator: distillation began with a fresh one" if fresh else ""
            sentences.append(
                f"The {stage} was not trained here but imported: {checkpoint} (sha256 {sha256[:12]}…){cost}."
            )
    return sentences
