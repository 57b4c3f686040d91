"""A step of GauGAN: the generator first, judged at several scales and by features, then the discriminator."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.elastic.slicing import Elastic, Widths
from gancomp.nets import build_generator
from gancomp.nets.discriminators import MultiscaleDiscriminator
from gancomp.nets.generator import Generator
from gancomp.nets.spade import SpadeGenerator
from gancomp.nets.spectral import add_spectral_norm
from gancomp.objectives.distill import MappedGenerator
from gancomp.spec import GeneratorSpec
from gancomp.train.device import make_fabric
from gancomp.train.gaugan import GauGan
from gancomp.train.student import GauGanStudent

SIDE, LABELS = 64, 4
OBJECTIVE = Objective(lambda_recon=6, lambda_feature=4, lambda_distill=3)
TRAINING = Training(lr=1e-3, lr_discriminator=4e-3)
SMALL: Widths = (1, 2, 1, 2, 2, 1, 1, 2)


def spec(widths: int | Widths) -> GeneratorSpec:
    written = {"family": "spade", "upsampling": "normal", "widths": widths, "size": SIDE, "in_channels": LABELS}
    return GeneratorSpec.model_validate(written)


def perceptual(fake: Tensor, real: Tensor) -> Tensor:
    return (F.avg_pool2d(fake, 8) - F.avg_pool2d(real, 8)).square().mean()


def discriminator() -> MultiscaleDiscriminator:
    return MultiscaleDiscriminator(LABELS + 3, 4, 2, 2)


def teacher_recipe() -> GauGan:
    torch.manual_seed(0)
    generator = build_generator(spec(2))
    assert isinstance(generator, SpadeGenerator)
    add_spectral_norm(generator)
    return GauGan(make_fabric("32", "cpu"), generator, discriminator(), OBJECTIVE, TRAINING, perceptual)


def student_recipe(widths: Widths | None = None, lambda_distill: float = 3) -> tuple[GauGanStudent, Generator]:
    torch.manual_seed(0)
    teacher = build_generator(spec(3))
    channels = teacher.feature_channels()
    elastic = Elastic(mapped(2, channels), lambda chosen: mapped(chosen, channels))
    objective = OBJECTIVE.model_copy(update={"lambda_distill": lambda_distill})
    fabric = make_fabric("32", "cpu")
    own = GauGanStudent(
        fabric, elastic, teacher, discriminator(), objective, TRAINING, perceptual, lambda draw: (widths,)
    )
    return own, teacher


def mapped(widths: int | Widths, channels: list[int]) -> MappedGenerator:
    return MappedGenerator(build_generator(spec(widths)), channels)


def batch() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    classes = torch.randint(LABELS - 1, (2, 8, 8), generator=draw).repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels = torch.cat([F.one_hot(classes, LABELS - 1).permute(0, 3, 1, 2), torch.zeros(2, 1, SIDE, SIDE)], dim=1)
    return labels, torch.rand(2, 3, SIDE, SIDE, generator=draw) * 2 - 1


def judged(network: nn.Module, inputs: Tensor, targets: Tensor, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """g_gan, g_feature and d_loss from one pass over real and generated pictures."""
    found = network(torch.cat([torch.cat([inputs, targets], 1), torch.cat([inputs, made], 1)]))
    g_gan = sum(-layers[-1][2:].mean() for layers in found) / len(found)
    g_feature = sum((layer[2:] - layer[:2].detach()).abs().mean() for layers in found for layer in layers[:-1]) / len(
        found
    )
    d_loss = sum(F.relu(1 - layers[-1][:2]).mean() + F.relu(1 + layers[-1][2:]).mean() for layers in found) / len(found)
    return g_gan, g_feature, d_loss


def close(network: nn.Module, loss: Tensor, like: nn.Module) -> bool:
    """Whether the gradients that a step left in *network* are those of *loss* in its earlier copy *like*."""
    expected = torch.autograd.grad(loss, list(like.parameters()), retain_graph=True)
    pairs = zip(network.parameters(), expected, strict=True)
    return all(torch.allclose(own.grad, wanted, rtol=1e-3, atol=1e-5) for own, wanted in pairs)


def values(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: loss.item() for name, loss in losses.items()}


def test_generator_steps_first_then_the_discriminator_sees_its_new_pictures() -> None:
    own = teacher_recipe()
    old = copy.deepcopy(own.networks)
    x, y = batch()
    losses = own.step(x, y, rng.generator(0, "test"))

    made = old["generator"](x)
    g_gan, g_feature, _ = judged(old["discriminator"], x, y, made)
    g_perceptual = perceptual(made, y)
    assert close(own.networks["generator"], g_gan + 4 * g_feature + 6 * g_perceptual, old["generator"])

    # The copy takes the same step, and the same discriminator judges what it makes then.
    stepped = copy.deepcopy(own.networks["generator"])
    with torch.no_grad():
        anew = stepped(x)
    d_loss = judged(old["discriminator"], x, y, anew)[2]
    # Its spectral norm was estimated once more by the copy's own pass, so the estimates differ a little.
    expected = {"g_gan": g_gan, "g_feature": g_feature, "g_perceptual": g_perceptual, "d_loss": d_loss}
    assert values(losses) == pytest.approx(values(expected), rel=1e-2)
    assert losses.keys() == {*own.loss_names}


def test_discriminator_learns_from_pictures_made_anew() -> None:
    """What it sees second is made by the generator after its step, and nothing of it reaches the generator."""
    own, _ = student_recipe()
    old = copy.deepcopy(own.networks)
    x, y = batch()
    shown: list[Tensor] = []
    own.networks["discriminator"].register_forward_hook(lambda _, given, __: shown.append(given[0]))
    losses = own.step(x, y, rng.generator(0, "test"))

    assert [len(pairs) for pairs in shown] == [4, 4]
    assert all(torch.equal(pairs, torch.cat([x, x])) for pairs in (shown[0][:, :LABELS], shown[1][:, :LABELS]))
    assert all(torch.equal(pairs[:2, LABELS:], y) for pairs in shown)
    assert torch.allclose(shown[0][2:, LABELS:], old["generator"].whole(x)[0], atol=1e-6)
    assert torch.allclose(shown[1][2:, LABELS:], own.networks["generator"].whole(x)[0], atol=1e-6)
    assert not torch.allclose(shown[0], shown[1], atol=1e-3)
    assert shown[0].requires_grad
    assert not shown[1].requires_grad

    judged(old["discriminator"], x, y, shown[0][2:, LABELS:])  # each pass of training moves the spectral norm
    d_loss = judged(old["discriminator"], x, y, shown[1][2:, LABELS:])[2]
    assert losses["d_loss"].item() == pytest.approx(d_loss.item(), rel=1e-4)
    assert close(own.networks["discriminator"], d_loss, old["discriminator"])


@pytest.mark.parametrize("widths", [None, SMALL], ids=["own widths", "a subnet"])
def test_student_adds_distillation(widths: Widths | None) -> None:
    own, teacher = student_recipe(widths)
    old = copy.deepcopy(own.networks)
    before = copy.deepcopy(teacher.state_dict())
    x, y = batch()
    losses = own.step(x, y, rng.generator(0, "test"))

    student = old["generator"]
    made, activations = student(x, widths)
    g_gan, g_feature, _ = judged(old["discriminator"], x, y, made)
    wanted = teacher.eval().with_features(x)[1]
    g_distill = sum(((own - theirs) ** 2).mean() for own, theirs in zip(activations["distill"], wanted, strict=True))
    expected = {"g_gan": g_gan, "g_feature": g_feature, "g_perceptual": perceptual(made, y), "g_distill": g_distill}
    assert values({name: losses[name] for name in expected}) == pytest.approx(values(expected), rel=1e-4)
    total = g_gan + 4 * g_feature + 6 * expected["g_perceptual"] + 3 * g_distill
    assert close(own.networks["generator"], total, student)

    assert len(activations["distill"]) == 3
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert not any(module.training for module in teacher.modules())
    assert all(weight.grad is None for weight in teacher.parameters())
    assert own.networks["generator"].training, "by the statistics of the batch"


def test_without_distillation_the_teacher_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    own, teacher = student_recipe(lambda_distill=0)
    monkeypatch.setattr(teacher, "with_features", lambda x: pytest.fail("ran"))
    assert own.step(*batch(), rng.generator(0, "test"))["g_distill"] == 0


def test_two_time_scales() -> None:
    own = teacher_recipe()
    groups = {name: optimizer.param_groups[0] for name, optimizer in own.optimizers.items()}
    assert {name: group["lr"] for name, group in groups.items()} == {"generator": 1e-3, "discriminator": 4e-3}
    assert all(group["betas"] == (0.0, 0.9) for group in groups.values())
