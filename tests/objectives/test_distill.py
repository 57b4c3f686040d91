"""Eq. 3 and what other papers distil: each against its formula, and the maps to the teacher's widths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancomp.nets import build_generator
from gancomp.objectives.distill import MappedGenerator, distillation, distillation_loss, flow, fsp_loss, output_loss
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures

STUDENT = GeneratorSpec(widths=(2, 2, 3, 1, 1, 1, 2, 2), block="separable", size=8, blocks=3)


def test_loss_by_hand() -> None:
    mapped = [torch.tensor([[1.0, 2.0]]), torch.zeros(1, 4)]
    teacher = [torch.tensor([[3.0, 2.0]]), torch.full((1, 4), 3.0)]
    assert distillation_loss(mapped, teacher).item() == pytest.approx((4 + 0) / 2 + 9)


def test_flow_is_the_mean_of_all_products_of_two_channels() -> None:
    first, second = torch.rand(2, 3, 4, 5), torch.rand(2, 2, 4, 5)
    by_hand = torch.einsum("nchw,ndhw->ncd", first, second) / 20
    torch.testing.assert_close(flow(first, second), by_hand)


def test_flow_pools_the_larger_activation() -> None:
    first, second = torch.rand(1, 2, 4, 4), torch.rand(1, 3, 2, 2)
    pooled = first.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    torch.testing.assert_close(flow(first, second), flow(pooled, second))


def test_flow_loss_by_hand() -> None:
    """One pixel, one channel: the flows of three activations are their neighbours' products."""
    own, theirs = ([torch.full((1, 1, 1, 1), float(value)) for value in values] for values in ((1, 2, 3), (1, 1, 5)))
    assert fsp_loss(own, theirs).item() == pytest.approx((2 - 1) ** 2 + (6 - 5) ** 2)


def test_kinds_of_distillation_look_at_their_own_part() -> None:
    own, theirs = torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2)
    mapped, features = ([torch.rand(1, 2, 2, 2) for _ in range(3)] for _ in range(2))
    taught = (theirs, features)
    assert distillation("output", own, mapped, taught) == output_loss(own, theirs) == ((own - theirs) ** 2).mean()
    assert distillation("fsp", own, mapped, taught) == fsp_loss(mapped, features)
    assert distillation("intermediate", own, mapped, taught) == distillation_loss(mapped, features)


def test_equal_activations_cost_nothing() -> None:
    features = [torch.rand(2, 3, 4, 4) for _ in range(4)]
    assert distillation_loss(features, features) == 0


def test_an_activation_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        distillation_loss([torch.zeros(1)], [torch.zeros(1)] * 2)
    with pytest.raises(ValueError, match="zip"):
        MappedGenerator(build_generator(STUDENT), [8] * 3)


def test_the_loss_is_single_precision_under_autocast() -> None:
    half, single = torch.ones(4, dtype=torch.bfloat16), torch.full((4,), 1 / 3)
    loss = distillation_loss([half], [single])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(4 / 9)


def test_maps_lead_from_the_student_to_the_teacher() -> None:
    teacher = build_generator(STUDENT.with_widths((4,) * 8))
    mapped = MappedGenerator(lively(STUDENT), teacher.feature_channels())
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in mapped.maps] == [(12, 16, (1, 1))] * 4
    x = pictures(STUDENT)
    out, found = mapped(x)
    features = found["distill"]
    own, activations = mapped.generator.with_features(x)
    assert torch.equal(out, own)
    for layer, feature, activation in zip(mapped.maps, features, activations, strict=True):
        assert isinstance(layer, nn.Conv2d)
        by_hand = torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], activation) + layer.bias.view(-1, 1, 1)
        torch.testing.assert_close(feature, by_hand, rtol=1e-4, atol=1e-4)
    assert [feature.shape for feature in features] == [f.shape for f in teacher.with_features(x)[1]]


def test_student_and_maps_learn_together() -> None:
    mapped = MappedGenerator(lively(STUDENT), [16] * 4)
    x = pictures(STUDENT)
    features = mapped(x)[1]["distill"]
    distillation_loss(features, [torch.zeros_like(feature) for feature in features]).backward()
    learning = {name for name, parameter in mapped.named_parameters() if parameter.grad is not None}
    assert {f"maps.{index}.{part}" for index in range(4) for part in ("weight", "bias")} <= learning
    assert "generator.stem.1.weight" in learning
    assert "generator.output.4.weight" not in learning  # after the last distilled activation
