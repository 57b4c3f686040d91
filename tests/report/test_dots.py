"""Scores of several generators, seed by seed."""

from __future__ import annotations

import pytest

from gancomp.paper.measured import Measured
from gancomp.report import dots
from gancomp.report.records import Evaluation


def found(*scores: float | None) -> Measured:
    nothing = dict.fromkeys(Evaluation.model_fields)
    evaluations = tuple(
        Evaluation.model_construct(**{**nothing, "seed": seed, "fid": fid, "kid": 0.01 * (seed + 1)})
        for seed, fid in enumerate(scores)
    )
    return Measured("mine", "distill", evaluations, None)


def test_each_seed_is_a_dot_and_the_mean_a_diamond() -> None:
    original, ours, other = found(70, 72), found(75, 77, 79), found(90)
    groups = [[("original", original)], [("ours, 10×", ours), ("other, 10×", other)]]
    figure = dots.draw("Two ways", original, groups, ["fid", "kid"])
    fid, kid = figure.axes
    assert [label.get_text() for label in fid.get_yticklabels()] == ["original", "ours, 10×", "other, 10×"]
    assert fid.yaxis_inverted(), "the first on top"
    assert fid.lines[0].get_xdata()[0] == pytest.approx(71), "the original's mean"
    drawn = [list(line.get_xdata()) for line in fid.lines if line.get_marker() == "o"]
    assert drawn == [[70, 72], [75, 77, 79], [90]]
    means = [line.get_xdata()[0] for line in fid.lines if line.get_marker() == "D"]
    assert means == pytest.approx([71, 77, 90])
    assert kid.get_xlabel() == "KID × 10³ ↓"
    assert [line.get_xdata()[0] for line in kid.lines if line.get_marker() == "D"] == pytest.approx([15, 20, 10])


def test_what_was_not_measured_has_no_dot() -> None:
    original, ours = found(70, 72), found(None, None)
    (fid,) = dots.draw("Two ways", original, [[("original", original)], [("ours", ours)]], ["fid"]).axes
    assert [len(line.get_xdata()) for line in fid.lines if line.get_marker() == "o"] == [2]
    assert len(fid.get_yticks()) == 2
