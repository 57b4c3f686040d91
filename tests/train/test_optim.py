"""The masked Adam: what was not drawn keeps still, and what was drawn moves as it always did."""

from __future__ import annotations

import torch

from gancomp.config.training import SupernetTraining
from gancomp.elastic.slicing import Elastic
from gancomp.nets import build_generator
from gancomp.spec import GeneratorSpec
from gancomp.train.optim import BETAS, DrawnAdam, adams


def train(adam: torch.optim.Optimizer, weight: torch.nn.Parameter, drawn: list[int]) -> None:
    """One step a width: the gradient is 1 in the leading channels, 0 in the others."""
    for width in drawn:
        weight.grad = torch.zeros_like(weight)
        weight.grad[:width] = 1
        adam.step()


def test_channels_that_were_not_drawn_keep_still() -> None:
    plain, masked = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    train(torch.optim.Adam([plain], lr=0.1, betas=BETAS), plain, [4, 2])
    adam = DrawnAdam([masked], lr=0.1, betas=BETAS)
    train(adam, masked, [4])
    after_one = masked.detach().clone()
    train(adam, masked, [2])
    assert torch.equal(masked[2:], after_one[2:])
    assert torch.allclose(masked[:2], plain[:2])
    assert not torch.allclose(plain[2:], after_one[2:])  # momentum moves them in the ordinary Adam


def test_all_drawn_is_the_ordinary_adam() -> None:
    plain, masked = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    train(torch.optim.Adam([plain], lr=0.1, betas=BETAS), plain, [4] * 5)
    train(DrawnAdam([masked], lr=0.1, betas=BETAS), masked, [4] * 5)
    assert torch.equal(plain, masked)


def test_the_once_for_all_network_is_masked_by_any_name_and_discriminators_alone_have_their_rate() -> None:
    training = SupernetTraining(space=((4, 2),) * 8, adam="drawn", lr=0.1, lr_discriminator=0.3)
    spec = GeneratorSpec(widths=4, size=16)
    elastic = Elastic(build_generator(spec), lambda widths: build_generator(spec.with_widths(widths)))
    nets = {
        "generator": elastic,
        "reverse": torch.nn.Conv2d(1, 1, 1),
        "reverse_discriminator": torch.nn.Conv2d(1, 1, 1),
    }
    made = adams(nets, training)
    assert {name: one.param_groups[0]["lr"] for name, one in made.items()} == {
        "generator": 0.1,
        "reverse": 0.1,
        "reverse_discriminator": 0.3,
    }
    assert [name for name, one in made.items() if isinstance(one, DrawnAdam)] == ["generator"]
