"""The registry of metrics: complete, with the right directions."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancomp.config import values as config
from gancomp.report.metrics import BY_KEY, METRICS, Metric, beside, led_by
from gancomp.report.records import Scores


def test_every_metric_that_can_be_declared_has_an_entry_and_a_score() -> None:
    assert set(get_args(config.Metric)) <= set(BY_KEY) == set(Scores.model_fields)
    assert {metric.key for metric in METRICS if metric.direction == "higher"} == config.HIGHER_IS_BETTER


@given(st.sampled_from(METRICS), st.floats(-1, 1), st.floats(-1, 1))
def test_the_better_value_costs_less(metric: Metric, a: float, b: float) -> None:
    assert (metric.cost(a) < metric.cost(b)) == ((a > b) if metric.direction == "higher" else (a < b))


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_the_declared_one_leads_and_none_is_lost(key: str) -> None:
    assert led_by(key)[0].key == key
    assert sorted(metric.key for metric in led_by(key) + beside(key)) == sorted(BY_KEY)
    assert {"fid", "kid", "l1"} <= {metric.key for metric in led_by(key)}


@pytest.mark.parametrize(
    ("key", "head", "value", "text", "change"),
    [
        ("fid", "FID ↓", 88.31, "88.3", "+88.3"),
        ("kid", "KID × 10³ ↓", -0.00012, "−0.12", "−0.12"),
        ("l1", "L1 ↓", 0.0612, "0.0612", "+0.0612"),
        ("lpips", "LPIPS ↓", 0.25, "0.2500", "+0.2500"),
        ("miou", "mIoU % ↑", 0.34341, "34.34", "+34.34"),
        ("psnr", "PSNR (dB) ↑", 21.456, "21.46", "+21.46"),
        ("recall", "Recall (k = 5) ↑", 0.5, "0.500", "+0.500"),
    ],
)
def test_printed(key: str, head: str, value: float, text: str, change: str) -> None:
    metric = BY_KEY[key]
    assert f"{metric.head} {metric.arrow}" == head
    assert metric.text(value) == text
    assert metric.change(value) == change
