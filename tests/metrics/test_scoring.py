"""Scores of pictures that come in parts, and of what is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_run import FakeInception
from untrained import prepare

from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.scoring import Scorer
from gancomp.metrics.segmentation import load_judge, mean_iou
from gancomp.metrics.statistics import load_statistics
from gancomp.report.records import Scores


def lpips(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float32) - b).mean(axis=(1, 2, 3))


def scored(scorer: Scorer, made: np.ndarray, *stops: int) -> Scores:
    """Of *made*, cut before each of *stops*."""
    tally = scorer.tally()
    for start, stop in zip((0, *stops), (*stops, len(made)), strict=True):
        tally.add(made[start:stop], scorer.truth(range(start, stop)))
    return tally.scores()


def test_parts_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("gaugan", tmp_path, monkeypatch)
    pictures, inception = made.pictures("val"), FakeInception()
    reference = load_statistics(made.root / "statistics.safetensors", "val", inception.key)
    judge = load_judge(made.config().datasets["maps"], made.root)
    scorer = Scorer(pictures, reference, inception, judge, {"lpips": lpips})
    everything = range(len(pictures))
    fakes = np.random.default_rng(1).integers(0, 256, (len(pictures), 64, 64, 3), dtype=np.uint8)
    whole = scored(scorer, fakes)
    values = whole.model_dump(exclude_none=True)
    for stops in ((1,), (2, 4), (5,)):
        parts = scored(scorer, fakes, *stops)
        assert parts.model_dump(exclude_none=True) == pytest.approx(values, rel=1e-6)

    targets = pictures.targets(everything).astype(float)
    assert whole.fid == pytest.approx(frechet_distance(inception(fakes), reference), rel=1e-6)
    assert whole.l1 == pytest.approx(np.abs(fakes - targets).mean() / 255)
    assert whole.lpips == pytest.approx((fakes - targets).mean(), rel=1e-4)
    assert whole.miou == pytest.approx(mean_iou(judge.score(fakes, pictures.scored_labels(everything))))


def test_without_truth_or_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("cyclegan", tmp_path, monkeypatch)
    pictures, inception = made.pictures("val"), FakeInception()
    reference = load_statistics(made.root / "statistics.safetensors", "val", inception.key)
    scorer = Scorer(pictures, reference, inception, None, {"lpips": lpips})
    assert scorer.truth([0]).targets is scorer.truth([0]).labels is None
    scores = scored(scorer, pictures.inputs(range(len(pictures))), 2)
    assert (scores.l1, scores.lpips, scores.miou) == (None, None, None)
    assert scores.fid > 0
