"""The quality metrics: what each is called, how it is written, and which way is better. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gancomp.config import HIGHER_IS_BETTER


@dataclass(frozen=True)
class Metric:
    """One metric: its key in records and configuration, its name, its column of `table.csv`, and its printed scale."""

    key: str
    name: str
    column: str
    scale: float
    unit: str
    decimals: int

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "↑" if self.key in HIGHER_IS_BETTER else "↓"

    @property
    def direction(self) -> str:
        return "higher" if self.key in HIGHER_IS_BETTER else "lower"

    @property
    def best(self) -> str:
        return "highest" if self.key in HIGHER_IS_BETTER else "lowest"

    @property
    def head(self) -> str:
        """The name with the scale that values are printed at, such as `KID × 10³`."""
        return f"{self.name} {self.unit}".strip()

    def of(self, record: Any) -> float | None:
        """The value that *record* holds (a `Scores` or a subnet's row), None where it was not measured."""
        value: float | None = getattr(record, self.key, None)
        return value

    def cost(self, value: float) -> float:
        """*value*, or its negative: less is better, whatever the metric."""
        return -value if self.key in HIGHER_IS_BETTER else value

    def text(self, value: float) -> str:
        """*value* as tables print it."""
        return f"{value * self.scale:.{self.decimals}f}".replace("-", "−")

    def change(self, difference: float) -> str:
        """A difference of two values, always with its sign."""
        return f"{difference * self.scale:+.{self.decimals}f}".replace("-", "−")


METRICS: tuple[Metric, ...] = (
    Metric("fid", "FID", "fid", 1, "", 1),
    Metric("kid", "KID", "kid_mmd2", 1e3, "× 10³", 2),
    Metric("l1", "L1", "l1_share_of_range", 1, "", 4),
    Metric("lpips", "LPIPS", "lpips", 1, "", 4),
    Metric("miou", "mIoU", "miou", 100, "%", 2),
)
BY_KEY = {metric.key: metric for metric in METRICS}


def led_by(key: str) -> list[Metric]:
    """All metrics, that of *key* first."""
    return sorted(METRICS, key=lambda metric: metric.key != key)
