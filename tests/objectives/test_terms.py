"""The terms of a student's loss, each against an independent formula, and what recipes are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gancomp.config.objective import Objective
from gancomp.objectives.recipes import TERMS, maps_of, weights_of
from gancomp.objectives.terms import (
    LOSSES,
    Lesson,
    Taught,
    alignment_loss,
    channel_loss,
    compose,
    critic_loss,
    gram,
    gram_loss,
    kernel_alignment,
    ssim,
    total_variation,
)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_every_term_but_the_adversarial_has_its_loss() -> None:
    assert {"gan", *LOSSES} == set(TERMS)


# --- kernel alignment --------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(0, 2**16))
def test_alignment_in_float64(n: int, seed: int) -> None:
    x, y = drawn(seed, n, 3, 4, 4), drawn(seed + 1, n, 5, 2, 2)
    a, b = (np.asarray(one.flatten(1).double()) for one in (x, y))
    a, b = a @ a.T, b @ b.T
    expected = np.trace(a.T @ b) / (np.sqrt((a**2).sum()) * np.sqrt((b**2).sum()))
    assert kernel_alignment(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_alignment_looks_at_directions_alone() -> None:
    x = drawn(0, 4, 3, 2, 2)
    assert kernel_alignment(x, 1e4 * x).item() == pytest.approx(1)
    assert kernel_alignment(1e-12 * x, x).item() == pytest.approx(1)
    assert alignment_loss([x, x], [x, -x]).item() == pytest.approx(0, abs=1e-6)
    assert kernel_alignment(x[:1], drawn(1, 1, 3, 2, 2)).item() == pytest.approx(1), "of one picture always"


# --- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_ssim_is_scikit_images(seed: int) -> None:
    """Within the window's half from the edge, where zeros around do not count."""
    metrics = pytest.importorskip("skimage.metrics")
    a, b = drawn(seed, 1, 3, 40, 36).clamp(-1, 1), drawn(seed + 5, 1, 3, 40, 36).clamp(-1, 1)
    b = (0.7 * a + 0.3 * b).clamp(-1, 1)
    # Zeros stand around our pictures; theirs are given so many that nothing else is at the edge of the window.
    wide_a, wide_b = (np.pad(np.asarray(one[0].double()), ((0, 0), (5, 5), (5, 5))) for one in (a, b))
    whole = metrics.structural_similarity(
        wide_a,
        wide_b,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        truncate=5 / 1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )[1]
    assert ssim(a, b).item() == pytest.approx(whole[:, 5:-5, 5:-5].mean(), abs=1e-5)


def test_ssim_of_equals_is_one_and_has_gradients() -> None:
    a = drawn(0, 2, 3, 16, 16).requires_grad_()
    assert ssim(a, a.detach()).item() == pytest.approx(1)
    ssim(a, drawn(1, 2, 3, 16, 16)).backward()
    assert a.grad is not None
    assert a.grad.abs().sum() > 0


def test_gram_by_einsum() -> None:
    x, y = drawn(0, 2, 3, 4, 5), drawn(1, 2, 3, 4, 5)
    by_hand = [torch.einsum("nchw,ndhw->ncd", one, one) / (3 * 4 * 5) for one in (x, y)]
    torch.testing.assert_close(gram(x), by_hand[0])
    assert gram_loss([x, x], [y, x]).item() == pytest.approx((by_hand[0] - by_hand[1]).abs().mean().item(), rel=1e-5)


def test_total_variation_is_a_sum() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [3.0, 5.0]]]])
    assert total_variation(picture).item() == 1 + 2 + 3 + 4
    assert total_variation(picture.repeat(3, 2, 1, 1)).item() == 6 * 10


# --- activations -------------------------------------------------------------------------------


def test_channels_are_compared_by_their_means() -> None:
    own, theirs = drawn(0, 2, 3, 4, 4), drawn(1, 2, 3, 8, 8)
    by_hand = (own.mean((2, 3)) - theirs.mean((2, 3))).square().mean()
    assert channel_loss([own, own], [theirs, own]).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_critic_compares_what_it_sees_and_teaches_the_student_alone() -> None:
    own, theirs = (drawn(seed, 2, 3, 4, 4).requires_grad_() for seed in (0, 1))
    loss = critic_loss([own], [theirs], lambda x: x.square())
    assert loss.item() == pytest.approx((own.square() - theirs.square()).abs().mean().item(), rel=1e-5)
    loss.backward()
    assert own.grad is not None
    assert theirs.grad is None


# --- recipes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({}, {"gan": 1, "recon": 100, "distill": 1}),
        ({"distillation": "features", "lambda_distill": 0}, {"gan": 1, "recon": 100}),
        ({"distillation": "ka", "lambda_distill": 2}, {"gan": 1, "recon": 100, "ka": 2}),
        (
            {"distillation": "omgd", "lambda_distill": 50},
            {"channel": 50, "ssim": 10, "gram": 1e4, "content": 10, "tv": 1e-5},
        ),
        ({"distillation": "dcd"}, {"gan": 1, "critic": 1, "gram": 1e4, "content": 10}),
        ({"terms": {"ssim": 3, "gan": 0}}, {"recon": 100, "distill": 1, "ssim": 3}),
    ],
)
def test_recipes_are_named_sets_of_terms(objective: dict[str, Any], expected: dict[str, float]) -> None:
    assert weights_of(Objective.model_validate(objective)) == expected


def test_maps_are_there_for_terms_that_need_them() -> None:
    assert maps_of(Objective()) == maps_of(Objective(distillation="output", lambda_distill=0)) == ("distill",)
    assert maps_of(Objective(distillation="ka")) == ()
    assert maps_of(Objective(distillation="omgd")) == ("channel",)
    assert maps_of(Objective(distillation="omgd", lambda_distill=0, terms={"distill": 1})) == ("distill",)


def test_pictures_of_several_teachers_count_each() -> None:
    made = drawn(0, 1, 3, 16, 16)
    teachers = [Taught(drawn(seed, 1, 3, 16, 16)) for seed in (1, 2)]
    found = compose({"ssim": 1, "tv": 1, "content": 1}, Lesson(made, taught=teachers, look=lambda x: [x, x * x]))
    assert found["ssim"].item() == pytest.approx(sum(1 - ssim(made, one.pictures).item() for one in teachers), rel=1e-5)
    assert found["tv"].item() == pytest.approx(2 * total_variation(made).item())
    squares = [(made.square() - one.pictures.square()).abs().mean().item() for one in teachers]
    assert found["content"].item() == pytest.approx(sum(squares), rel=1e-5)
