"""A step of CycleGAN: both ways and back, pictures that are there already, and the pools that discriminators see."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.nets import build_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import CycleGan, ImagePool, Reverse
from gancomp.train.device import make_fabric

LR = 0.02
SIDE = 16


def recipe(objective: Objective, channels: int = 3, **spec: Any) -> CycleGan:
    """Generators of width 3 from *channels* to 3 and back."""
    torch.manual_seed(0)
    there, back = (
        build_generator(GeneratorSpec(widths=3, size=SIDE, blocks=3, in_channels=inputs, out_channels=outputs, **spec))
        for inputs, outputs in ((channels, 3), (3, channels))
    )
    reverse = Reverse(back, PatchDiscriminator(channels, 4, 1))
    return CycleGan(make_fabric("32", "cpu"), there, PatchDiscriminator(3, 4, 1), reverse, objective, Training(lr=LR))


def batch(channels: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    inputs, targets = (torch.rand(2, count, SIDE, SIDE, generator=draw) * 2 - 1 for count in (channels, 3))
    return inputs, targets


def close(network: nn.Module, loss: Tensor, like: nn.Module) -> bool:
    """Whether the gradients that a step left in *network* are those of *loss* in its earlier copy *like*."""
    expected = torch.autograd.grad(loss, list(like.parameters()), retain_graph=True)
    pairs = zip(network.parameters(), expected, strict=True)
    return all(torch.allclose(own.grad, wanted, rtol=1e-4, atol=1e-5) for own, wanted in pairs)


def lsgan(scores: Tensor, wanted: float) -> Tensor:
    return (scores - wanted).square().mean()


@pytest.mark.parametrize(
    ("channels", "spec"),
    [(3, {}), (3, {"norm": "batch"}), (1, {}), (3, {"block": "separable"})],
    ids=["instance norm", "batch norm", "gray inputs", "separable"],
)
def test_step(channels: int, spec: dict[str, Any]) -> None:
    """Losses and gradients by the formulas, each pass on its own; generators are judged by the old discriminators."""
    objective = Objective(gan="lsgan", lambda_cycle=7, lambda_identity=0.3, pool=50)
    own = recipe(objective, channels, **spec)
    old = copy.deepcopy(own.networks)
    x, y = batch(channels)
    losses = own.step(x, y, rng.generator(0, "test"))

    there, back = old["generator"], old["reverse"]
    fake_y, fake_x = there(x), back(y)
    g_gan = lsgan(old["discriminator"](fake_y), 1) + lsgan(old["reverse_discriminator"](fake_x), 1)
    g_cycle = F.l1_loss(back(fake_y), x) + F.l1_loss(there(fake_x), y)
    g_identity = F.l1_loss(there(y), y) + F.l1_loss(back(x), x) if channels == 3 else torch.zeros(())
    d_there = 0.5 * (lsgan(old["discriminator"](y), 1) + lsgan(old["discriminator"](fake_y.detach()), 0))
    d_back = 0.5 * (lsgan(old["reverse_discriminator"](x), 1) + lsgan(old["reverse_discriminator"](fake_x.detach()), 0))
    expected = {"g_gan": g_gan, "g_cycle": g_cycle, "g_identity": g_identity, "d_loss": d_there + d_back}
    assert losses.keys() == expected.keys() == {*own.loss_names}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-4
    )

    total = g_gan + 7 * g_cycle + 0.3 * 7 * g_identity
    for name, loss in (
        ("generator", total),
        ("reverse", total),
        ("discriminator", d_there),
        ("reverse_discriminator", d_back),
    ):
        assert close(own.networks[name], loss, old[name]), name
        moved = [
            not torch.equal(before, after)
            for before, after in zip(old[name].parameters(), own.networks[name].parameters(), strict=True)
            if before.dim() == 4
        ]
        assert all(moved), name


def test_without_identity_pictures_that_are_there_are_not_translated() -> None:
    own = recipe(Objective(gan="lsgan", lambda_identity=0))
    seen: list[int] = []
    own.networks["generator"].register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    assert own.step(*batch(), rng.generator(0, "test"))["g_identity"] == 0
    assert seen == [2, 2], "the way there, and from there back"


def test_discriminators_see_the_pool() -> None:
    """Once it is full, they see some pictures of earlier steps."""
    own = recipe(Objective(gan="lsgan", pool=2))
    shown: list[Tensor] = []
    own.networks["discriminator"].register_forward_hook(lambda _, given, __: shown.append(given[0].detach().clone()))
    fakes, seen = [], []
    for step in range(6):
        own.step(*batch(), rng.generator(3, "test", step))
        fakes.append(shown[-2])  # what the generator is judged by
        seen.append(shown[-1][2:])  # the second half of what the discriminator learns from
    new = [any(torch.equal(one, other) for other in fakes[step]) for step in range(6) for one in seen[step]]
    assert new[:2] == [True, True], "not full yet"
    assert True in new[2:]
    assert False in new[2:]
    earlier = [fake for step in fakes for fake in step]
    assert all(any(torch.equal(one, other) for other in earlier) for step in seen for one in step)


# --- the pool ----------------------------------------------------------------------------------


def pictures(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 2, 3, 3)


@given(st.integers(0, 5), st.lists(st.integers(1, 4), max_size=12), st.integers(0, 99))
def test_nothing_is_lost_in_the_pool(capacity: int, batches: list[int], seed: int) -> None:
    """What went in was seen or is still there, once; the first pictures are seen at once."""
    pool, given_ = ImagePool(capacity, 2, (3, 3)), []
    seen: list[int] = []
    for step, count in enumerate(batches):
        own = list(range(len(given_), len(given_) + count))
        given_ += own
        seen += pool.exchange(pictures(own), rng.generator(seed, "pool", step))[:, 0, 0, 0].int().tolist()
    kept = pool.pictures[: int(pool.count), 0, 0, 0].int().tolist()
    assert len(kept) == min(capacity, len(given_))
    assert seen[:capacity] == given_[:capacity]
    assert sorted(seen[capacity:] + kept) == given_
    if capacity == 0:
        assert seen == given_


def test_pool_is_part_of_the_state_and_a_function_of_the_draw() -> None:
    pools = [ImagePool(3, 2, (3, 3)) for _ in range(2)]
    for step in range(5):
        pools[0].exchange(pictures([2 * step, 2 * step + 1]), rng.generator(0, "pool", step))
    pools[1].load_state_dict(pools[0].state_dict())
    for step in range(5, 30):
        fakes = pictures([2 * step, 2 * step + 1])
        one, other = (pool.exchange(fakes, rng.generator(0, "pool", step)) for pool in pools)
        assert torch.equal(one, other)


def test_about_half_of_the_pictures_are_old() -> None:
    pool, draw = ImagePool(10, 2, (3, 3)), np.random.default_rng(0)
    pool.exchange(pictures(list(range(10))), draw)
    new = [int(pool.exchange(pictures([value]), draw)[0, 0, 0, 0]) == value for value in range(10, 1010)]
    assert 430 < sum(new) < 570


def test_pool_carries_no_gradient_and_leaves_its_argument() -> None:
    pool = ImagePool(1, 2, (3, 3))
    fakes = (pictures([1, 2, 3]) * torch.ones((), requires_grad=True)).contiguous()
    before = fakes.detach().clone()
    assert not pool.exchange(fakes, np.random.default_rng(1)).requires_grad
    assert torch.equal(fakes, before)
