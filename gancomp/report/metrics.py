"""The quality metrics: name, number format, and direction. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gancomp.config.values import HIGHER_IS_BETTER


@dataclass(frozen=True)
class Metric:
    """One metric: its key in records and configuration, its name, its column of `table.csv`, and its printed scale.

    A metric that is not `main` is shown in a second table, unless it is the experiment's metric.
    """

    key: str
    name: str
    column: str
    scale: float
    unit: str
    decimals: int
    main: bool = True

    @property
    def arrow(self) -> str:
        """Arrow in the direction that is better."""
        return "↑" if self.key in HIGHER_IS_BETTER else "↓"

    @property
    def direction(self) -> str:
        return "higher" if self.key in HIGHER_IS_BETTER else "lower"

    @property
    def best(self) -> str:
        return "highest" if self.key in HIGHER_IS_BETTER else "lowest"

    @property
    def head(self) -> str:
        """The name with the scale of printed values, such as `KID × 10³`."""
        return f"{self.name} {self.unit}".strip()

    def of(self, record: Any) -> float | None:
        """The value in *record* (a `Scores` or a subnet's row), None if it was not measured."""
        value: float | None = getattr(record, self.key, None)
        return value

    def cost(self, value: float) -> float:
        """*value*, negated if higher is better, so that less is better."""
        return -value if self.key in HIGHER_IS_BETTER else value

    def text(self, value: float) -> str:
        """*value* as printed in tables."""
        return f"{value * self.scale:.{self.decimals}f}".replace("-", "−")

    def change(self, difference: float) -> str:
        """A difference of two values as printed, always with a sign."""
        return f"{difference * self.scale:+.{self.decimals}f}".replace("-", "−")


METRICS: tuple[Metric, ...] = (
    Metric("fid", "FID", "fid", 1, "", 1),
    Metric("kid", "KID", "kid_mmd2", 1e3, "× 10³", 2),
    Metric("fid_clean", "FID (clean)", "fid_clean", 1, "", 1),
    Metric("l1", "L1", "l1_share_of_range", 1, "", 4),
    Metric("lpips", "LPIPS", "lpips", 1, "", 4),
    Metric("dists", "DISTS", "dists_side_256", 1, "", 4),
    Metric("fd_dinov2", "FD-DINOv2", "fd_dinov2_cls_224", 1, "", 1),
    Metric("cmmd", "CMMD", "cmmd_clip_gaussian_10_times_1000", 1, "", 3),
    Metric("miou", "mIoU", "miou", 100, "%", 2),
    Metric("ssim", "SSIM", "ssim_gaussian_11x11", 1, "", 4, main=False),
    Metric("psnr", "PSNR", "psnr_db", 1, "(dB)", 2, main=False),
    Metric("precision", "Precision", "precision_k5", 1, "(k = 5)", 3, main=False),
    Metric("recall", "Recall", "recall_k5", 1, "(k = 5)", 3, main=False),
    Metric("density", "Density", "density_k5", 1, "(k = 5)", 3, main=False),
    Metric("coverage", "Coverage", "coverage_k5", 1, "(k = 5)", 3, main=False),
    Metric("fid_infinity", "FID∞", "fid_infinity_15_sizes", 1, "", 1, main=False),
    Metric("swd", "SWD", "swd_512_directions", 1, "", 3, main=False),
)
BY_KEY = {metric.key: metric for metric in METRICS}


def led_by(key: str) -> list[Metric]:
    """The metric *key*, which may be any, then the other main metrics."""
    return [BY_KEY[key], *(metric for metric in METRICS if metric.main and metric.key != key)]


def beside(key: str) -> list[Metric]:
    """All metrics that are not in `led_by`."""
    return [metric for metric in METRICS if not metric.main and metric.key != key]
