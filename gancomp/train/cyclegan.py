"""The CycleGAN recipe: two domains without pairs, a generator in each direction, cycle consistency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp import ranks
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.calibrate import has_batch_statistics
from gancomp.nets.generator import Generator
from gancomp.nets.layers import lay_out
from gancomp.objectives.gan import discriminator_loss, generator_loss
from gancomp.train.optim import adams

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Generate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reverse:
    """The reverse direction: a generator from the target domain to the inputs, and the discriminator of the inputs."""

    generator: Generator
    discriminator: nn.Module


class ImagePool(nn.Module):
    """A pool of generated pictures of earlier steps, which stabilises the discriminators' training.

    A module without weights: its buffers are part of the resume state.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, capacity: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(capacity, channels, *size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def exchange(self, fakes: Tensor, draw: np.random.Generator) -> Tensor:
        """The pictures for the discriminator in place of *fakes* (n, channels, h, w), without gradient.

        Until the pool is full every picture is stored and returned; then each one is returned itself with probability
        1/2, or else replaces a random picture of the pool, which is returned instead.
        """
        seen = fakes.detach().clone()
        capacity = len(self.pictures)
        for index in range(len(fakes) if capacity else 0):
            if self.count < capacity:
                self.pictures[self.count] = seen[index]
                self.count += 1
            elif draw.random() < 0.5:
                place = int(draw.integers(capacity))
                kept = self.pictures[place].clone()
                self.pictures[place] = seen[index]
                seen[index] = kept
        return seen


class CycleGan:
    """Adversarial losses in both domains, λ_cycle L1 of the cycles, and the identity loss, λ_identity λ_cycle L1.
    Both generators step first, then both discriminators, on generated pictures from a pool.

    *generator*, the one that is kept, maps inputs to targets, and *discriminator* is that of the targets. Every loss is
    the sum over both directions. If inputs and targets differ in channels, there is no identity loss.
    """

    loss_names: tuple[str, ...] = ("d_loss", "g_gan", "g_cycle", "g_identity")

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        reverse: Reverse,
        objective: Objective,
        training: Training,
    ) -> None:
        self.objective = objective
        self.weights = {
            "g_gan": 1.0,
            "g_cycle": objective.lambda_cycle,
            "g_identity": objective.lambda_identity * objective.lambda_cycle,
        }
        learning = {
            "generator": generator,
            "discriminator": discriminator,
            "reverse": reverse.generator,
            "reverse_discriminator": reverse.discriminator,
        }
        back = reverse.generator.spec
        pools = {
            "pool": ImagePool(objective.pool, back.in_channels, back.size),
            "reverse_pool": ImagePool(objective.pool, back.out_channels, back.size),
        }
        self.networks: dict[str, nn.Module] = {**learning, **pools}
        for one in (generator, reverse.generator):
            lay_out(one)
        self.optimizers = adams(learning, training)
        self._fabric = fabric
        self._own = {name: fabric.setup(network, self.optimizers[name])[0] for name, network in learning.items()}
        self._pools = {name: pool.to(fabric.device) for name, pool in pools.items()}
        self._identity = self.weights["g_identity"] > 0 and back.in_channels == back.out_channels
        # One pass over two batches gives what two passes would, unless pictures share statistics.
        self._stacked = not any(has_batch_statistics(network) for network in (generator, reverse.generator))

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update of the generators, then of the discriminators, on inputs and targets (n, c, h, w) in [-1, 1]."""
        return self._step(self._own["generator"], inputs, targets, draw)

    def _step(
        self,
        generate: Generate,
        inputs: Tensor,
        targets: Tensor,
        draw: np.random.Generator,
        more: Callable[[], dict[str, Tensor]] = dict,
    ) -> dict[str, Tensor]:
        """One update; *generate* is the generator, run on the inputs first; then *more* returns further losses."""
        generators, critics = ("generator", "reverse"), ("discriminator", "reverse_discriminator")
        reverse = self._own["reverse"]
        for name in critics:
            self._own[name].requires_grad_(False)
        made_targets, same_targets = self._translate(generate, inputs, targets)
        made_inputs, same_inputs = self._translate(reverse, targets, inputs)
        fakes = dict(zip(critics, (made_targets, made_inputs), strict=True))
        judged = [generator_loss(self.objective.gan, self._own[name](fakes[name])) for name in critics]
        losses = {
            "g_gan": torch.stack(judged).sum(),
            "g_cycle": F.l1_loss(reverse(made_targets), inputs) + F.l1_loss(generate(made_inputs), targets),
            "g_identity": F.l1_loss(same_targets, targets) + F.l1_loss(same_inputs, inputs),
            **more(),
        }
        self._update(generators, torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum())

        pools = dict(zip(critics, self._pools.values(), strict=True))
        reals = dict(zip(critics, (targets, inputs), strict=True))
        halves = []
        for name in critics:
            self._own[name].requires_grad_(True)
            # The pool sees the whole batch on every rank, and so it is the same on each.
            seen = pools[name].exchange(ranks.gathered(fakes[name]), draw)
            scores = self._own[name](torch.cat((reals[name], seen[ranks.share(len(seen))])))
            halves.append(discriminator_loss(self.objective.gan, *scores.chunk(2)))
        losses["d_loss"] = torch.stack(halves).sum()
        self._update(critics, losses["d_loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _translate(self, generate: Generate, pictures: Tensor, there_already: Tensor) -> tuple[Tensor, Tensor]:
        """*pictures* in the other domain, and what becomes of those that are *there_already*."""
        if not self._identity:
            return generate(pictures), there_already
        if not self._stacked:
            return generate(pictures), generate(there_already)
        made, same = generate(torch.cat((pictures, there_already))).chunk(2)
        return made, same

    def _update(self, names: tuple[str, ...], loss: Tensor) -> None:
        for name in names:
            self.optimizers[name].zero_grad()
        self._fabric.backward(loss)
        for name in names:
            self.optimizers[name].step()
