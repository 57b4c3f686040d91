"""Rows of tables, and their number formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gancomp.report.metrics import Metric, led_by
from gancomp.report.records import (
    BenchmarkRow,
    Evaluation,
    Reference,
    Scores,
)

#: The text of a cell whose column does not apply.
BLANK = "–"


@dataclass(frozen=True)
class Row:
    """One row: a generator with its costs, or a reference with scores only."""

    name: str
    scores: Scores
    made_by: Evaluation | Reference
    evaluation: Evaluation | None = None
    measured: BenchmarkRow | None = None


def measured(rows: Sequence[Row], metric: str) -> list[Metric]:
    """The main metrics that at least one row has, *metric* first."""
    return known_metrics(rows, led_by(metric))


def known_metrics(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Metric]:
    return [one for one in metrics if any(one.of(row.scores) is not None for row in rows)]


def table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


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
    """A factor as text; exactly one, in the original's row, is `1×`."""
    return "1×" if factor == 1 else f"{significant(factor)}×"


def p_text(p: float) -> str:
    """`p 0.012`, and `p < 0.001` below that."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"


def one_line(text: str) -> str:
    return " ".join(text.split())
