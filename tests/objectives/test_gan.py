"""Adversarial losses against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss

REAL = torch.tensor([[[[2.0, 0.5]]], [[[-1.0, 1.0]]]])
FAKE = torch.tensor([[[[-2.0, 0.5]]], [[[0.0, -1.0]]]])


def test_hinge_by_hand() -> None:
    # relu(1 - real) = 0, 0.5, 2, 0; relu(1 + fake) = 0, 1.5, 1, 0
    assert discriminator_loss("hinge", REAL, FAKE).item() == pytest.approx(0.5 * (2.5 / 4 + 2.5 / 4))
    assert generator_loss("hinge", FAKE).item() == pytest.approx(2.5 / 4)


def test_least_squares_by_hand() -> None:
    # (real - 1)^2 = 1, 0.25, 4, 0; fake^2 = 4, 0.25, 0, 1; (fake - 1)^2 = 9, 0.25, 1, 4
    assert discriminator_loss("lsgan", REAL, FAKE).item() == pytest.approx(0.5 * (5.25 / 4 + 5.25 / 4))
    assert generator_loss("lsgan", FAKE).item() == pytest.approx(14.25 / 4)


def test_real_and_generated_are_not_exchangeable() -> None:
    for kind in ("hinge", "lsgan"):
        assert discriminator_loss(kind, torch.ones(4), -torch.ones(4)) < discriminator_loss(
            kind, -torch.ones(4), torch.ones(4)
        )


def test_a_sure_hinge_discriminator_learns_nothing_more() -> None:
    real, fake = (torch.tensor([value], requires_grad=True) for value in (1.5, -1.5))
    discriminator_loss("hinge", real, fake).backward()
    assert real.grad == fake.grad == 0


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_the_generator_wants_higher_scores(kind: str) -> None:
    fake = torch.zeros(4, requires_grad=True)
    generator_loss(kind, fake).backward()  # type: ignore[arg-type]
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_losses_are_single_precision_under_autocast(kind: str) -> None:
    scores = torch.full((3,), 0.3, dtype=torch.bfloat16)
    assert discriminator_loss(kind, scores, scores).dtype == torch.float32  # type: ignore[arg-type]
    assert generator_loss(kind, scores).dtype == torch.float32  # type: ignore[arg-type]


def test_conditional_puts_input_before_output_and_pairs_one_after_the_other() -> None:
    inputs, fake, real = (torch.rand(2, 3, 4, 5) for _ in range(3))
    pairs = conditional(inputs, fake, real)
    assert pairs.shape == (4, 6, 4, 5)
    assert torch.equal(pairs[:2], torch.cat([inputs, fake], dim=1))
    assert torch.equal(pairs[2:], torch.cat([inputs, real], dim=1))
    assert torch.equal(conditional(inputs, fake), pairs[:2])
