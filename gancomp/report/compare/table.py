"""Scores of several experiments over seeds, and paired differences, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from gancomp.metrics.permutation import p_value
from gancomp.paper.measured import Measured, Value
from gancomp.paper.tables import text
from gancomp.pipeline.stages import COMPARED
from gancomp.report.compare.entries import NAMES, Entry, has
from gancomp.report.comparison import difference
from gancomp.report.metrics import BY_KEY, Metric, beside, led_by
from gancomp.report.records import MEAN, REAL, Scores
from gancomp.report.rows import BLANK, p_text, quantity, significant, table_line, times
from gancomp.report.scoreboard import reduction


def markdown(entries: Sequence[Entry], metric: str) -> list[str]:
    """Tables of costs and main scores of every generator, of the other scores, and of differences."""
    lines = ["## Scores", ""]
    for shown in (led_by(metric), beside(metric)):
        had = [one for one in shown if any(has(entry, one) for entry in entries)]
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


def _cells(entries: Sequence[Entry], shown: Sequence[Metric], *, costs: bool) -> Iterator[list[str]]:
    """Every generator of every experiment, and once per set of pictures the reference rows."""
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
    """Parameters and both counts of MACs, with their spread if seeds selected different widths."""
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


def _differences(entries: Sequence[Entry], metric: str) -> list[str]:
    """The differences of each experiment's compressed generator from its original and narrow one, and from the first
    experiment's compressed one; empty if nothing is compressed."""
    compressed = [entry for entry in entries if entry.measured("finetune")]
    if not compressed:
        return []
    shown = [one for one in led_by(metric) if any(has(entry, one) for entry in compressed)]
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
        "Over seeds that both have: the mean difference with its 95% interval, and p of the paired t-test. For single "
        "runs: p of a paired permutation test over the pictures, if each picture's scores are known, which "
        "applies to these two networks, not to other seeds. From p 0.05 on the two cannot be told apart.",
        "",
    ]


def _change(own: Measured, other: Measured, key: str) -> str:
    """The difference paired by seed, or of two single runs, with its test if possible."""
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
    return f"{told}, {p_text(p_value(each[0], each[1], mine.seed))}"
