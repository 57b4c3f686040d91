"""Conclusions from an experiment's scores, as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gancomp.metrics.permutation import LEVEL, p_value
from gancomp.report.metrics import Metric, led_by
from gancomp.report.records import (
    PAINTED,
    REAL,
    Evaluation,
    Scores,
    SupernetMetrics,
)
from gancomp.report.rows import p_text, times
from gancomp.report.scoreboard import Scoreboard, reduction

#: Said if the original does not beat a trivial baseline; then nothing is said about compression.
UNLEARNED = "It has not learned its task, so nothing about compression follows from this table."


@dataclass(frozen=True)
class Pair:
    """Two generators' values of one metric that both have."""

    metric: Metric
    mine: float
    theirs: float

    @property
    def better(self) -> bool:
        """Whether `mine` is strictly better."""
        return self.metric.cost(self.mine) < self.metric.cost(self.theirs)

    @property
    def values(self) -> str:
        return f"{self.metric.head} {self.metric.text(self.mine)} against {self.metric.text(self.theirs)}"

    @property
    def change(self) -> str:
        """`L1 +0.0056 (+9.2%)`: the relative change is added for distances between pictures."""
        difference = f"{self.metric.head} {self.metric.change(self.mine - self.theirs)}"
        if self.metric.key not in ("l1", "lpips", "dists") or self.theirs <= 0:
            return difference
        return f"{difference} ({(self.mine / self.theirs - 1) * 100:+.1f}%)".replace("-", "−")


def pairs(mine: Scores, theirs: Scores, metric: str) -> list[Pair]:
    """The metrics that both have, *metric* first."""
    values = [(one, one.of(mine), one.of(theirs)) for one in led_by(metric)]
    return [Pair(one, a, b) for one, a, b in values if a is not None and b is not None]


def verdict(board: Scoreboard, metric: str) -> str:
    """Whether the original learned its task; if not, nothing about compression follows.

    Flat class colours are near the optimum of L1, and ideal for a segmentation network, so against them only FID and
    KID count. A metric by which the baseline is better than real pictures (such as FID of few pictures for inputs with
    the same content) is ignored.
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
            f"({_values(beyond)}), so it is not considered here."
        )
    rest = [pair for pair in held if not pair.better]
    if rest:
        return f"**Warning: the original does not beat *{name}* on {_and(rest)} ({_values(rest)}). {UNLEARNED}**{about}"
    return f"The original beats *{name}* on {_and(held)} ({_values(held)}).{about}"


def supernet_verdict(metrics: SupernetMetrics) -> str:
    """Whether once-for-all training improved the smallest subnet."""
    spans = {
        name: f"L1 {span.start['l1']:.4f} → {span.end['l1']:.4f}"
        for name, span in (("smallest", metrics.smallest), ("largest", metrics.largest))
    }
    numbers = f"{spans['smallest']}; the largest: {spans['largest']}"
    if metrics.l1_against == "teacher":
        numbers += "; to the teacher's outputs, because the truth is not known"
    if metrics.improved:
        return f"The smallest subnet improved in once-for-all training ({numbers})."
    if not metrics.l1_trained:
        return (
            f"The smallest subnet did not come closer in once-for-all training ({numbers}); its objective has no L1, "
            "so the scores of the search are more informative."
        )
    return (
        f"**Warning: the smallest subnet did not improve in once-for-all training ({numbers}). "
        "That training failed, so the search selected among untrained subnets.**"
    )


def comparison(board: Scoreboard, metric: str) -> list[str]:
    """Ours against the original and against the uniform narrow network, with permutation tests if each picture's values
    are known."""
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
    """The metrics by which a paired permutation test tells two generators apart, each with its p; "" if the values of
    each picture are not known."""
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
    told = {
        way: ", ".join(f"{pair.metric.name} ({p_text(p)})" for pair, p in some) for way, some in ways.items() if some
    }
    return "; ".join(f"{way} by {names}" for way, names in told.items())


def _better_is(held: Sequence[Pair]) -> str:
    """`lower is better`, with the metrics if their directions differ."""
    ways: dict[str, list[Pair]] = {}
    for pair in held:
        ways.setdefault(pair.metric.direction, []).append(pair)
    return "; ".join(f"{way} is better" + (f" for {_and(some)}" if len(ways) > 1 else "") for way, some in ways.items())


def _values(held: Sequence[Pair]) -> str:
    return ", ".join(pair.values for pair in held)


def _and(held: Sequence[Pair]) -> str:
    names = [pair.metric.name for pair in held]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
