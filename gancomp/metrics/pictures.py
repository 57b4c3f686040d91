"""Distances between pictures, pair by pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gancomp.data.datasets import Pixels

#: Side of SSIM's window: a Gaussian of σ = 1.5, cut at 3.5 σ, as published.
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def l1(a: Pixels, b: Pixels) -> float:
    """Mean absolute difference of pictures of equal shape and depth, in units of the full range: 0 (equal) to 1.

    Raises ValueError when shapes or depths differ, there are no pictures, or they have neither 8 nor 16 bits.
    """
    return float(l1_each(a, b).mean())


def l1_each(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """`l1` of each pair of pictures (n, h, w, c), (n,)."""
    # The larger less the smaller stays within the depth: no wider copy of all pictures is needed.
    apart = _apart(a, b).reshape(len(a), -1)
    differences: NDArray[np.float64] = apart.mean(1, np.float64)
    return differences / np.iinfo(a.dtype).max


def psnr_each(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """The peak signal-to-noise ratio of each pair in dB, (n,), over all channels; raises as `l1`.

    Equal pictures count as ones that rounding alone sets apart (an error of 1/12 of a squared step), 58.9 dB in 8 bits.
    """
    most = np.iinfo(a.dtype).max
    squares = np.array([np.square(apart, dtype=np.float64).mean() for apart in _apart(a, b)]) / most**2
    ratios: NDArray[np.float64] = -10 * np.log10(np.maximum(squares, 1 / (12 * most**2)))
    return ratios


def has_ssim(height: int, width: int) -> bool:
    """Whether pictures of that size hold SSIM's window."""
    return min(height, width) >= SSIM_WINDOW


def ssim_each(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """The structural similarity of each pair (Wang et al., 2004), (n,): the mean over channels; raises as `l1`."""
    from skimage.metrics import structural_similarity

    _apart(a[:1], b[:1])
    return np.array(
        [
            structural_similarity(
                one,
                other,
                gaussian_weights=True,
                sigma=SSIM_SIGMA,
                use_sample_covariance=False,
                data_range=np.iinfo(a.dtype).max,
                channel_axis=-1,
            )
            for one, other in zip(a, b, strict=True)
        ],
        np.float64,
    )


def _apart(a: Pixels, b: Pixels) -> Pixels:
    """The absolute differences, in the pictures' depth."""
    if a.dtype not in (np.uint8, np.uint16) or a.dtype != b.dtype or a.shape != b.shape or a.size == 0:
        raise ValueError(f"expected pictures of one shape and depth, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    apart: Pixels = np.maximum(a, b) - np.minimum(a, b)
    return apart
