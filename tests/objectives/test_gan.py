"""Adversarial losses against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from gancomp.objectives.gan import (
    GanLoss,
    conditional,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    multiscale_discriminator_loss,
    multiscale_generator_loss,
    split,
)

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
def test_the_generator_wants_higher_scores(kind: GanLoss) -> None:
    fake = torch.zeros(4, requires_grad=True)
    generator_loss(kind, fake).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_losses_are_single_precision_under_autocast(kind: GanLoss) -> None:
    scores = torch.full((3,), 0.3, dtype=torch.bfloat16)
    assert discriminator_loss(kind, scores, scores).dtype == torch.float32
    assert generator_loss(kind, scores).dtype == torch.float32


def test_conditional_puts_input_before_output_and_pairs_one_after_the_other() -> None:
    inputs, fake, real = (torch.rand(2, 3, 4, 5) for _ in range(3))
    pairs = conditional(inputs, fake, real)
    assert pairs.shape == (4, 6, 4, 5)
    assert torch.equal(pairs[:2], torch.cat([inputs, fake], dim=1))
    assert torch.equal(pairs[2:], torch.cat([inputs, real], dim=1))
    assert torch.equal(conditional(inputs, fake), pairs[:2])


# --- at several scales -------------------------------------------------------------------------

FOUND_REAL = [[torch.tensor([1.0, 2.0]), torch.tensor([3.0]), REAL], [torch.zeros(2), torch.zeros(1), REAL + 1]]
FOUND_FAKE = [[torch.tensor([2.0, 5.0]), torch.tensor([1.0]), FAKE], [torch.ones(2), torch.full((1,), -3.0), FAKE - 1]]


def test_scales_are_averaged_and_losses_are_not_halved() -> None:
    # Second scale: relu(1 - real) = 0, 0, 1, 0; relu(1 + fake) = 0, 0.5, 0, 0.
    expected = ((2.5 + 2.5) / 4 + (1 + 0.5) / 4) / 2
    assert multiscale_discriminator_loss("hinge", FOUND_REAL, FOUND_FAKE).item() == pytest.approx(expected)
    assert multiscale_generator_loss("hinge", FOUND_FAKE).item() == pytest.approx((2.5 / 4 + 6.5 / 4) / 2)


def test_features_are_summed_over_layers_without_the_scores() -> None:
    assert feature_matching_loss(FOUND_REAL, FOUND_FAKE).item() == pytest.approx(((2 + 2) + (1 + 3)) / 2)


def test_features_of_real_pictures_are_targets() -> None:
    real, fake = (torch.tensor([value], requires_grad=True) for value in (1.0, 3.0))
    feature_matching_loss([[real, REAL]], [[fake, FAKE]]).backward()
    assert real.grad is None
    assert fake.grad == 1


def test_split_undoes_the_stack() -> None:
    real, fake = split(
        [
            [torch.cat([one, other]) for one, other in zip(*layers, strict=True)]
            for layers in zip(FOUND_REAL, FOUND_FAKE, strict=True)
        ]
    )
    for found, expected in ((real, FOUND_REAL), (fake, FOUND_FAKE)):
        assert all(
            torch.equal(a, b)
            for own, other in zip(found, expected, strict=True)
            for a, b in zip(own, other, strict=True)
        )
