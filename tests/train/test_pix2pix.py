"""A step of pix2pix: the discriminator steps first, and the generator is judged by the new one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.nets import build_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.spec import GeneratorSpec
from gancomp.train.device import make_fabric
from gancomp.train.pix2pix import Pix2pix

LR = 0.02


def recipe(objective: Objective) -> Pix2pix:
    torch.manual_seed(0)
    generator = build_generator(GeneratorSpec(widths=3, block="dense", size=16, blocks=3))
    return Pix2pix(make_fabric("32", "cpu"), generator, PatchDiscriminator(6, 4, 1), objective, Training(lr=LR))


def batch() -> tuple[Tensor, Tensor]:
    return tuple(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(part)) * 2 - 1 for part in (1, 2))


def gradients(loss: Tensor, network: torch.nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def close(network: torch.nn.Module, expected: list[Tensor]) -> bool:
    """Whether the gradients that a step left are those expected."""
    pairs = zip(network.parameters(), expected, strict=True)
    return all(torch.allclose(own.grad, wanted, rtol=1e-4, atol=1e-5) for own, wanted in pairs)


@pytest.mark.parametrize("gan", ["hinge", "lsgan"])
def test_discriminator_steps_first(gan: Any) -> None:
    objective = Objective(gan=gan, lambda_recon=10)
    own = recipe(objective)
    old = copy.deepcopy(own.networks)
    inputs, targets = batch()
    losses = own.step(inputs, targets, rng.generator(0, "test"))
    new = own.networks

    fake = old["generator"](inputs)
    scores = old["discriminator"](conditional(inputs, targets, fake.detach())).chunk(2)
    d_loss = discriminator_loss(gan, *scores)
    assert close(new["discriminator"], gradients(d_loss, old["discriminator"]))
    assert losses["d_loss"].item() == pytest.approx(d_loss.item())

    def judged_by(discriminator: torch.nn.Module) -> Tensor:
        return generator_loss(gan, discriminator(conditional(inputs, old["generator"](inputs))))

    g_recon = F.l1_loss(fake, targets)
    assert losses["g_gan"].item() == pytest.approx(judged_by(new["discriminator"]).item(), rel=1e-4)
    assert losses["g_recon"].item() == pytest.approx(g_recon.item())
    right, wrong = (
        gradients(judged_by(judge) + 10 * F.l1_loss(old["generator"](inputs), targets), old["generator"])
        for judge in (new["discriminator"], old["discriminator"])
    )
    assert close(new["generator"], right)
    assert not close(new["generator"], wrong)


def test_both_networks_take_one_adam_step() -> None:
    own = recipe(Objective())
    old = copy.deepcopy(own.networks)
    own.step(*batch(), rng.generator(0, "test"))
    for name, network in own.networks.items():
        for before, after in zip(old[name].parameters(), network.parameters(), strict=True):
            change = (after - before).abs()
            assert change.max() <= LR * 1.001, "Adam's first step is at most the learning rate"
            if before.dim() == 4:  # a bias before a normalisation has no gradient
                assert change.max() > 0.9 * LR
        states = own.optimizers[name].state_dict()["state"].values()
        assert {state["step"].item() for state in states} == {1}


def test_lambda_recon_weighs_the_l1_term() -> None:
    """Without it the generator's gradient is the adversarial one alone."""
    own = recipe(Objective(lambda_recon=0))
    old = copy.deepcopy(own.networks)
    inputs, targets = batch()
    own.step(inputs, targets, rng.generator(0, "test"))
    judge = own.networks["discriminator"]
    loss = generator_loss("hinge", judge(conditional(inputs, old["generator"](inputs))))
    assert close(own.networks["generator"], gradients(loss, old["generator"]))
