"""The optimiser that every stage uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gancomp.config.training import SupernetTraining, Training
from gancomp.elastic.slicing import Elastic
from gancomp.nets.generator import Generator
from gancomp.nets.resize import hold_resize

BETAS = (0.5, 0.999)


def adam(network: nn.Module, lr: float, betas: tuple[float, float] = BETAS) -> torch.optim.Adam:
    """Adam, by default with the paper's betas. Channels of a once-for-all network that are not sampled get zero
    gradients, but momentum still changes them a little: all parameters are updated, as in the authors' code."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)


class DrawnAdam(torch.optim.Adam):
    """Adam that does not update weights without a gradient, nor their moments: those of channels not sampled.

    The paper says "update the extracted weights". The step counter is shared by a tensor's channels.
    """

    def step(self, closure: Any = None) -> Any:
        undrawn = []
        for parameter in (parameter for group in self.param_groups for parameter in group["params"]):
            if parameter.grad is not None:
                state = self.state[parameter]
                kept = [parameter.data, *(state[name] for name in ("exp_avg", "exp_avg_sq") if name in state)]
                undrawn.append((parameter, parameter.grad == 0, [tensor.clone() for tensor in kept]))
        loss = super().step(closure)
        for parameter, still, before in undrawn:
            state = self.state[parameter]
            for now, old in zip((parameter.data, state["exp_avg"], state["exp_avg_sq"]), before, strict=False):
                now.copy_(torch.where(still, old, now))
        return loss


def adams(
    networks: Mapping[str, nn.Module], training: Training, betas: tuple[float, float] = BETAS
) -> dict[str, torch.optim.Adam]:
    """One Adam per network, by name: discriminators may have their own learning rate (two time scales), and the
    once-for-all network has DrawnAdam if `supernet.adam` says so. Generators of `up: resize` are held to it after each
    step."""
    drawn = isinstance(training, SupernetTraining) and training.adam == "drawn"

    def rate(name: str) -> float:
        return training.lr_discriminator or training.lr if name.endswith("discriminator") else training.lr

    made = {
        name: DrawnAdam(network.parameters(), lr=rate(name), betas=betas)
        if drawn and (name == "student" or isinstance(network, Elastic))
        else adam(network, rate(name), betas)
        for name, network in networks.items()
    }
    for name, network in networks.items():
        for generator in network.modules():
            if isinstance(generator, Generator) and generator.spec.up == "resize":
                made[name].register_step_post_hook(_held(generator))
    return made


def _held(generator: Generator) -> Callable[..., None]:
    return lambda *_: hold_resize(generator)
