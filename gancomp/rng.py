"""Random numbers as a function of (seed, purpose, step), so that a resumed run continues identically."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """NumPy's generator for one *purpose* at one *step*."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), step])


def sample(seed: int, purpose: str, available: int, count: int) -> list[int]:
    """*count* random indices below *available*, or all of them, in random order.

    A smaller *count* gives a prefix of a larger one.
    """
    drawn: list[int] = generator(seed, purpose).permutation(available)[:count].tolist()
    return drawn


def seed_torch(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Seed torch's global generators: for the initial weights of one network, or what layers draw in one *step*."""
    import torch

    return torch.manual_seed(int(generator(seed, purpose, step).integers(2**62)))
