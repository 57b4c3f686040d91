"""The optimiser that every stage uses."""

from __future__ import annotations

import torch
from torch import nn

BETAS = (0.5, 0.999)


def adam(network: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam with the paper's betas. A once-for-all network's undrawn channels get zero gradients, and Adam's
    momentum still moves them a little: all parameters are stepped, as in the authors' system."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=BETAS, fused=True)
