"""Values that several sections take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
)

from gancomp.data.settings import (
    Kind,
)

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NonNegative = Annotated[float, Field(ge=0, le=1e6)]


def as_text(value: Any) -> Any:
    """Accept `precision: 32` as `precision: "32"`."""
    return str(value) if isinstance(value, int) else value


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Precision = Literal["auto", "32", "bf16"]
Model = Literal["pix2pix", "cyclegan", "gaugan"]
Metric = Literal[
    "fid",
    "kid",
    "fid_clean",
    "fid_infinity",
    "swd",
    "l1",
    "ssim",
    "psnr",
    "lpips",
    "dists",
    "fd_dinov2",
    "cmmd",
    "miou",
    "precision",
    "recall",
    "density",
    "coverage",
]
#: Metrics for which higher is better; for all others lower is.
HIGHER_IS_BETTER: frozenset[str] = frozenset({"ssim", "psnr", "miou", "precision", "recall", "density", "coverage"})
#: Metrics that compare each picture with its own target.
OF_PAIRS: frozenset[str] = frozenset({"l1", "ssim", "psnr", "lpips", "dists"})
#: The kind of data set that each model learns from.
KIND_OF_MODEL: dict[str, Kind] = {"pix2pix": "pairs", "cyclegan": "unpaired", "gaugan": "labels"}
