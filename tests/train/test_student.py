"""A step of Eq. 4: both networks are judged by the same, old discriminator, and the teacher stays as it is."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.slicing import Elastic, Widths
from gancomp.nets import build_generator
from gancomp.nets.discriminators import PatchDiscriminator
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import MappedGenerator, distillation_loss
from gancomp.objectives.gan import conditional, discriminator_loss, generator_loss
from gancomp.spec import GeneratorSpec
from gancomp.train.cyclegan import Reverse
from gancomp.train.device import make_fabric
from gancomp.train.student import NaiveStudent, Student

SMALL: Widths = (2, 3, 2, 1, 3, 2, 1, 2)


def spec(widths: Any) -> GeneratorSpec:
    return GeneratorSpec(widths=widths, block="separable", size=16, blocks=3)


def recipe(objective: Objective, widths: Widths | None = None) -> tuple[Student, Generator]:
    """A student of width 3 and its teacher of width 4; every step at *widths*."""
    torch.manual_seed(0)
    teacher = build_generator(spec(4))
    channels = teacher.feature_channels()
    whole = MappedGenerator(build_generator(spec(3)), channels)
    elastic = Elastic(whole, lambda chosen: MappedGenerator(build_generator(spec(chosen)), channels))
    fabric, discriminator = make_fabric("32", "cpu"), PatchDiscriminator(6, 4, 1)
    training = Training(lr=0.02)
    return Student(fabric, elastic, teacher, discriminator, objective, training, lambda draw: (widths,)), teacher


def batch() -> tuple[Tensor, Tensor]:
    return tuple(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(part)) * 2 - 1 for part in (1, 2))


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def close(network: nn.Module, expected: list[Tensor]) -> bool:
    """Whether the gradients that a step left are those expected."""
    pairs = zip(network.parameters(), expected, strict=True)
    return all(torch.allclose(own.grad, wanted, rtol=1e-4, atol=1e-5) for own, wanted in pairs)


def d_loss_of(discriminator: nn.Module, inputs: Tensor, targets: Tensor, fake: Tensor) -> Tensor:
    scores = discriminator(conditional(inputs, targets, fake.detach())).chunk(2)
    return discriminator_loss("hinge", *scores)


def test_both_gradients_come_from_the_old_networks() -> None:
    objective = Objective(lambda_recon=10, lambda_distill=3)
    own, teacher = recipe(objective)
    old = copy.deepcopy(own.networks)
    inputs, targets = batch()
    losses = own.step(inputs, targets, rng.generator(0, "test"))
    new = own.networks

    fake, mapped = old["student"](inputs)
    g_recon = F.l1_loss(fake, targets)
    g_distill = distillation_loss(mapped["distill"], teacher.with_features(inputs)[1])

    def total(judge: nn.Module) -> Tensor:
        fake, mapped = old["student"](inputs)
        g_gan = generator_loss("hinge", judge(conditional(inputs, fake)))
        features = teacher.with_features(inputs)[1]
        return g_gan + 10 * F.l1_loss(fake, targets) + 3 * distillation_loss(mapped["distill"], features)

    d_loss = d_loss_of(old["discriminator"], inputs, targets, fake)
    g_gan = generator_loss("hinge", old["discriminator"](conditional(inputs, fake)))
    expected = {"d_loss": d_loss, "g_gan": g_gan, "g_recon": g_recon, "g_distill": g_distill}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-4
    )

    assert close(new["student"], gradients(total(old["discriminator"]), old["student"]))
    assert not close(new["student"], gradients(total(new["discriminator"]), old["student"]))
    assert close(new["discriminator"], gradients(d_loss, old["discriminator"]))
    made_anew = d_loss_of(old["discriminator"], inputs, targets, new["student"](inputs)[0])
    assert not close(new["discriminator"], gradients(made_anew, old["discriminator"]))
    for name in old:
        assert moved(old[name], new[name])


def test_a_step_at_several_widths_weighs_them_together_as_one() -> None:
    """Of the same widths twice, the gradients of once, though Adam would hide a larger one."""
    found = []
    for times in (1, 2):
        own, _ = recipe(Objective())
        own.choose_widths = lambda draw, times=times: (SMALL,) * times
        own.step(*batch(), rng.generator(0, "test"))
        found.append([parameter.grad for parameter in own.networks["student"].parameters()])
    for once, twice in zip(*found, strict=True):
        torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-5)


def moved(old: nn.Module, new: nn.Module) -> bool:
    """Whether every kernel changed; a bias before a normalisation has no gradient."""
    pairs = zip(old.parameters(), new.parameters(), strict=True)
    return not any(torch.equal(before, after) for before, after in pairs if before.dim() == 4)


@pytest.mark.parametrize("widths", [None, SMALL], ids=["own widths", "a subnet"])
def test_teacher_stays_as_it_is(widths: Widths | None) -> None:
    own, teacher = recipe(Objective(), widths)
    before = copy.deepcopy(teacher.state_dict())
    for step in range(3):
        own.step(*batch(), rng.generator(0, "test", step))
    after = teacher.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module.training for module in teacher.modules())
    assert all(weight.grad is None and not weight.requires_grad for weight in teacher.parameters())
    stepped = {id(p) for optimizer in own.optimizers.values() for g in optimizer.param_groups for p in g["params"]}
    assert not stepped & {id(weight) for weight in teacher.parameters()}


def test_a_subnets_step_reaches_its_leading_blocks_alone() -> None:
    """Channels that were not drawn get zero gradients; what was drawn gets the extracted subnet's."""
    own, teacher = recipe(Objective(), SMALL)
    old = copy.deepcopy(own.networks)
    elastic = Elastic(old["student"], lambda chosen: MappedGenerator(build_generator(spec(chosen)), [16] * 4))
    inputs, targets = batch()
    losses = own.step(inputs, targets, rng.generator(0, "test"))

    alone = MappedGenerator(build_generator(spec(SMALL)), teacher.feature_channels())
    alone.load_state_dict(elastic.tensors(SMALL))
    fake, mapped = alone(inputs)
    loss = generator_loss("hinge", old["discriminator"](conditional(inputs, fake)))
    loss = (
        loss + 100 * F.l1_loss(fake, targets) + distillation_loss(mapped["distill"], teacher.with_features(inputs)[1])
    )
    wanted = dict(zip(dict(alone.named_parameters()), gradients(loss, alone), strict=True))
    assert losses["g_recon"].item() == pytest.approx(F.l1_loss(fake, targets).item())
    for name, weight in own.networks["student"].named_parameters():
        expected = torch.zeros_like(weight)
        expected[tuple(slice(length) for length in wanted[name].shape)] = wanted[name]
        assert torch.allclose(weight.grad, expected, rtol=1e-4, atol=1e-5), name


def test_without_distillation_the_teacher_is_not_even_run(monkeypatch: pytest.MonkeyPatch) -> None:
    own, teacher = recipe(Objective(lambda_distill=0))
    maps = copy.deepcopy(own.networks["student"].maps.state_dict())
    monkeypatch.setattr(teacher, "with_features", lambda x: pytest.fail("ran"))
    assert "g_distill" not in own.step(*batch(), rng.generator(0, "test"))
    after = own.networks["student"].maps.state_dict()
    assert all(torch.equal(maps[name], after[name]) for name in maps)


def test_widths_are_chosen_anew_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = recipe(Objective())
    asked: list[float] = []

    def choose(draw: np.random.Generator) -> tuple[None]:
        asked.append(float(draw.random()))
        return (None,)

    monkeypatch.setattr(own, "choose_widths", choose)
    for step in range(3):
        own.step(*batch(), rng.generator(5, "test", step))
    assert asked == [rng.generator(5, "test", step).random() for step in range(3)]


# --- without pairs -----------------------------------------------------------------------------


def pseudo_paired(objective: Objective) -> tuple[Student, Generator]:
    torch.manual_seed(0)
    teacher = build_generator(spec(4))
    channels = teacher.feature_channels()
    whole = MappedGenerator(build_generator(spec(3)), channels)
    elastic = Elastic(whole, lambda chosen: MappedGenerator(build_generator(spec(chosen)), channels))
    fabric, discriminator = make_fabric("32", "cpu"), PatchDiscriminator(3, 4, 1)
    return Student(fabric, elastic, teacher, discriminator, objective, Training(lr=0.02), pseudo_pairs=True), teacher


def test_pseudo_pairs_take_the_teachers_output_for_the_truth() -> None:
    own, teacher = pseudo_paired(Objective(gan="lsgan", lambda_recon=10, lambda_distill=3))
    old = copy.deepcopy(own.networks)
    inputs, targets = batch()
    losses = own.step(inputs, targets, rng.generator(0, "test"))

    with torch.no_grad():
        truth, features = teacher.with_features(inputs)
    fake, mapped = old["student"](inputs)
    judge = old["discriminator"]
    g_gan, g_recon = (judge(fake) - 1).square().mean(), (fake - truth).abs().mean()
    g_distill = distillation_loss(mapped["distill"], features)
    d_loss = ((judge(targets) - 1).square().mean() + judge(fake.detach()).square().mean()) / 2
    expected = {"d_loss": d_loss, "g_gan": g_gan, "g_recon": g_recon, "g_distill": g_distill}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-4
    )
    assert close(own.networks["student"], gradients(g_gan + 10 * g_recon + 3 * g_distill, old["student"]))
    assert close(own.networks["discriminator"], gradients(d_loss, judge))


def test_pseudo_pairs_show_the_student_no_real_target() -> None:
    """Whatever the targets are, the student's step is the same; only the discriminator sees them, and no input."""
    steps = []
    for sign in (1, -1):
        own, _ = pseudo_paired(Objective(gan="lsgan", lambda_recon=10))
        inputs, targets = batch()
        own.step(inputs, sign * targets, rng.generator(0, "test"))
        steps.append(own.networks)
    one, other = (
        [parameter for parameter in networks["student"].parameters() if parameter.grad is not None]
        for networks in steps
    )
    assert one
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    critics = [list(networks["discriminator"].parameters()) for networks in steps]
    assert not all(torch.equal(a, b) for a, b in zip(*critics, strict=True))


@pytest.mark.parametrize("lambda_distill", [0, 3])
@pytest.mark.parametrize("widths", [None, SMALL], ids=["own widths", "a subnet"])
def test_naive_student_takes_the_generators_place(widths: Widths | None, lambda_distill: float) -> None:
    objective = Objective(gan="lsgan", lambda_cycle=7, lambda_identity=0.5, lambda_distill=lambda_distill)
    torch.manual_seed(0)
    teacher, back = build_generator(spec(4)), build_generator(spec(4))
    channels = teacher.feature_channels()
    whole = MappedGenerator(build_generator(spec(3)), channels)
    elastic = Elastic(whole, lambda chosen: MappedGenerator(build_generator(spec(chosen)), channels))
    critics = PatchDiscriminator(3, 4, 1), PatchDiscriminator(3, 4, 1)
    own = NaiveStudent(
        make_fabric("32", "cpu"),
        elastic,
        teacher,
        critics[0],
        Reverse(back, critics[1]),
        objective,
        Training(lr=0.02),
        lambda draw: (widths,),
    )
    old = copy.deepcopy(own.networks)
    x, y = batch()
    losses = own.step(x, y, rng.generator(0, "test"))

    def there(pictures: Tensor) -> Tensor:
        made: Tensor = old["generator"](pictures, widths)[0]
        return made

    back = old["reverse"]
    fake_y, fake_x = there(x), back(y)
    g_gan = (old["discriminator"](fake_y) - 1).square().mean() + (
        old["reverse_discriminator"](fake_x) - 1
    ).square().mean()
    g_cycle = F.l1_loss(back(fake_y), x) + F.l1_loss(there(fake_x), y)
    g_identity = F.l1_loss(there(y), y) + F.l1_loss(back(x), x)
    g_distill = distillation_loss(old["generator"](x, widths)[1]["distill"], teacher.with_features(x)[1])
    total = g_gan + 7 * g_cycle + 0.5 * 7 * g_identity + lambda_distill * g_distill
    assert losses["g_distill"].item() == pytest.approx(g_distill.item() if lambda_distill else 0, rel=1e-4)
    for name in ("generator", "reverse"):
        parameters = [
            parameter for key, parameter in old[name].named_parameters() if lambda_distill or "maps" not in key
        ]
        expected = torch.autograd.grad(total, parameters, retain_graph=True)
        learned = [p.grad for key, p in own.networks[name].named_parameters() if lambda_distill or "maps" not in key]
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(learned, expected, strict=True)), name
    assert all(weight.grad is None for weight in teacher.parameters())
    assert losses.keys() == {*own.loss_names}
