"""The plain way: what a straightforward program would do, with the same networks, inputs, draws and results as ours.

Full precision, eager, a pass of its own for every purpose, an Adam that steps one tensor after the other, pictures
decoded anew for each step, one subnet at a time, `sqrtm`, multiply-accumulates counted by running the network.
It is what `benchmarks/speed.py` compares with; nothing else uses it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.config.objective import Objective
from gancomp.config.training import Training
from gancomp.data.datasets import Pictures, batch_indices, to_float, to_uint8
from gancomp.data.settings import DatasetBase
from gancomp.elastic.slicing import Elastic, Widths, extract
from gancomp.metrics.inception_network import FidInception
from gancomp.metrics.inception_weights import load
from gancomp.nets.generator import Generator
from gancomp.objectives.distill import distillation_loss
from gancomp.objectives.gan import (
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    multiscale_discriminator_loss,
    multiscale_generator_loss,
)
from gancomp.train.cyclegan import ImagePool
from gancomp.train.gaugan import BETAS as GAUGAN_BETAS
from gancomp.train.gaugan import Compare
from gancomp.train.optim import BETAS

Losses = dict[str, Tensor]
#: pytorch-fid's batch.
INCEPTION_BATCH = 50
#: Keeps the order of targets apart from that of inputs, as `gancomp.data.datasets` does.
TARGET_STREAM = 0x746172676574


# --- loading -----------------------------------------------------------------------------------


def load_batch(
    pictures: Pictures, dataset: DatasetBase, step: int, batch: int, seed: int, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Inputs (batch, c, h, w) and targets (batch, 3, h, w) of training step *step*: each picture is decoded, enlarged,
    cropped and mirrored by itself. *pictures* must keep none (`cache_bytes=0`)."""
    own = batch_indices(step, len(pictures), batch, seed)
    if pictures.paired:
        pairs = [pictures.batch([index]) for index in own]
        inputs, targets = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    else:
        other = batch_indices(step, pictures.target_count, batch, seed, TARGET_STREAM)
        inputs, targets = [pictures.inputs([index]) for index in own], [pictures.targets([index]) for index in other]
    cuts = Cuts(draw, batch, dataset)
    made = [cuts(pictures.encode(picture), at, pictures.kind == "labels") for at, picture in enumerate(inputs)]
    if not pictures.paired:
        cuts = Cuts(draw, batch, dataset)
    return torch.cat(made), torch.cat([cuts(to_float(picture), at, False) for at, picture in enumerate(targets)])


class Cuts:
    """The random crops and mirrorings of *batch* pictures, drawn as `gancomp.data.augment` draws them."""

    def __init__(self, draw: np.random.Generator, batch: int, dataset: DatasetBase) -> None:
        (height, width), self._enlarged = dataset.size, dataset.load_size or dataset.size
        self._size = (height, width)
        self._top = draw.integers(0, self._enlarged[0] - height + 1, batch)
        self._left = draw.integers(0, self._enlarged[1] - width + 1, batch)
        self._mirrored = draw.random(batch) < (0.5 if dataset.flip else 0.0)

    def __call__(self, picture: Tensor, at: int, labels: bool) -> Tensor:
        """*picture* (1, c, h, w), the one *at* that place of the batch, cut out of its enlargement."""
        if self._enlarged != self._size and labels:
            picture = F.interpolate(picture, size=self._enlarged, mode="nearest-exact")
        elif self._enlarged != self._size:
            picture = F.interpolate(picture, size=self._enlarged, mode="bicubic", align_corners=False).clamp(-1, 1)
        top, left = int(self._top[at]), int(self._left[at])
        cut = picture[:, :, top : top + self._size[0], left : left + self._size[1]]
        return cut.flip(3) if self._mirrored[at] else cut


# --- training ----------------------------------------------------------------------------------


def adam(network: nn.Module, training: Training, *, critic: bool = False, gaugan: bool = False) -> torch.optim.Adam:
    """Adam, one tensor after the other; a *critic* may have a learning rate of its own."""
    lr = (training.lr_discriminator or training.lr) if critic else training.lr
    betas = GAUGAN_BETAS if gaugan else BETAS
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, foreach=False, fused=False)


def update(loss: Tensor, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


class Pix2pix:
    """The discriminator on real, then on generated pairs, then the generator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, objective: Objective, training: Training):
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.objective = objective
        self._g, self._d = adam(generator, training), adam(discriminator, training, critic=True)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> Losses:
        kind, (generator, discriminator) = self.objective.gan, self.networks.values()
        fake = generator(inputs)
        discriminator.requires_grad_(True)
        fake_scores = discriminator(torch.cat((inputs, fake.detach()), 1))
        real_scores = discriminator(torch.cat((inputs, targets), 1))
        d_loss = discriminator_loss(kind, real_scores, fake_scores)
        update(d_loss, self._d)
        discriminator.requires_grad_(False)
        g_gan = generator_loss(kind, discriminator(torch.cat((inputs, fake), 1)))
        g_recon = F.l1_loss(fake, targets)
        update(g_gan + self.objective.lambda_recon * g_recon, self._g)
        return {"d_loss": d_loss.detach(), "g_gan": g_gan.detach(), "g_recon": g_recon.detach()}


class Student:
    """Eq. 4 at the widths that *choose* draws; the teacher runs for each of them."""

    def __init__(
        self,
        student: Elastic,
        teacher: Generator,
        discriminator: nn.Module,
        objective: Objective,
        training: Training,
        choose: Callable[[np.random.Generator], Sequence[Widths | None]],
        *,
        pseudo_pairs: bool = False,
    ) -> None:
        self.networks = {"student": student.whole, "discriminator": discriminator}
        self.objective = objective
        self._student, self._teacher, self._choose = student, teacher.eval().requires_grad_(False), choose
        self._pseudo_pairs = pseudo_pairs
        self._g, self._d = adam(student.whole, training), adam(discriminator, training, critic=True)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> Losses:
        kind, weights, discriminator = self.objective.gan, self.objective, self.networks["discriminator"]
        discriminator.requires_grad_(False)
        self._g.zero_grad()
        chosen = self._choose(draw)
        fakes, totals = [], torch.zeros(3)
        for widths in chosen:
            with torch.no_grad():
                taught, features = self._teacher.with_features(inputs)
            truth = taught if self._pseudo_pairs else targets
            fake, found = self._student(inputs, widths)
            g_gan = generator_loss(kind, discriminator(self._seen(inputs, fake)))
            g_recon = F.l1_loss(fake, truth)
            g_distill = distillation_loss(found["distill"], features)
            loss = g_gan + weights.lambda_recon * g_recon + weights.lambda_distill * g_distill
            (loss / len(chosen)).backward()
            fakes.append(fake.detach())
            totals += torch.stack((g_gan, g_recon, g_distill)).detach() / len(chosen)
        discriminator.requires_grad_(True)
        real = discriminator(self._seen(inputs, targets))
        fake_scores = torch.cat([discriminator(self._seen(inputs, fake)) for fake in fakes])
        d_loss = discriminator_loss(kind, real, fake_scores)
        self._d.zero_grad()
        d_loss.backward()
        self._g.step()
        self._d.step()
        return dict(zip(("d_loss", "g_gan", "g_recon", "g_distill"), (d_loss.detach(), *totals), strict=True))

    def _seen(self, inputs: Tensor, output: Tensor) -> Tensor:
        return output if self._pseudo_pairs else torch.cat((inputs, output), 1)


class CycleGan:
    """Both generators, then both discriminators; every translation and every judgement is a pass of its own."""

    def __init__(
        self,
        generators: tuple[Generator, Generator],
        discriminators: tuple[nn.Module, nn.Module],
        objective: Objective,
        training: Training,
    ) -> None:
        self.networks = {
            "generator": generators[0],
            "discriminator": discriminators[0],
            "reverse": generators[1],
            "reverse_discriminator": discriminators[1],
        }
        self.objective = objective
        back = generators[1].spec
        self._pools = [ImagePool(objective.pool, channels, back.size) for channels in (back.in_channels, 3)]
        self._g = [adam(network, training) for network in generators]
        self._d = [adam(network, training, critic=True) for network in discriminators]

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> Losses:
        there, judge, back, judge_back = self.networks.values()
        kind, weights = self.objective.gan, self.objective
        for network in (judge, judge_back):
            network.requires_grad_(False)
        made, same = there(inputs), there(targets)
        made_back, same_back = back(targets), back(inputs)
        g_gan = generator_loss(kind, judge(made)) + generator_loss(kind, judge_back(made_back))
        g_cycle = F.l1_loss(back(made), inputs) + F.l1_loss(there(made_back), targets)
        g_identity = F.l1_loss(same, targets) + F.l1_loss(same_back, inputs)
        update(g_gan + weights.lambda_cycle * (g_cycle + weights.lambda_identity * g_identity), *self._g)
        d_loss = torch.zeros(())
        for network, real, fake, pool in ((judge, targets, made, 0), (judge_back, inputs, made_back, 1)):
            network.requires_grad_(True)
            seen = self._pools[pool].exchange(fake, draw)
            d_loss = d_loss + discriminator_loss(kind, network(real), network(seen))
        update(d_loss, *self._d)
        losses = {"d_loss": d_loss, "g_gan": g_gan, "g_cycle": g_cycle, "g_identity": g_identity}
        return {name: loss.detach() for name, loss in losses.items()}


class GauGan:
    """The generator, then the discriminator on what it makes anew; with a *teacher*, Eq. 3 beside.

    Real and generated pictures are judged in passes of their own, so spectral normalisation's estimate is a step
    further than ours, which judges both at once: results agree where the estimate has settled.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        training: Training,
        perceptual: Compare,
        teacher: Generator | None = None,
        choose: Callable[[np.random.Generator], Sequence[Widths | None]] | None = None,
    ) -> None:
        whole = generator.whole if isinstance(generator, Elastic) else generator
        self.networks = {"generator": whole, "discriminator": discriminator}
        self.objective, self._perceptual = objective, perceptual
        self._run, self._choose = generator, choose
        self._teacher = teacher.eval().requires_grad_(False) if teacher else None
        self._g = adam(whole, training, gaugan=True)
        self._d = adam(discriminator, training, critic=True, gaugan=True)

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> Losses:
        kind, weights, discriminator = self.objective.gan, self.objective, self.networks["discriminator"]
        widths = self._choose(draw)[0] if self._choose else None
        discriminator.requires_grad_(False)
        made, mapped = self._generate(inputs, widths)
        real = discriminator(torch.cat((inputs, targets), 1))
        fake = discriminator(torch.cat((inputs, made), 1))
        losses = {
            "g_gan": multiscale_generator_loss(kind, fake),
            "g_feature": feature_matching_loss(real, fake),
            "g_perceptual": self._perceptual(made, targets),
        }
        total = losses["g_gan"] + weights.lambda_feature * losses["g_feature"]
        total = total + weights.lambda_recon * losses["g_perceptual"]
        if self._teacher:
            with torch.no_grad():
                features = self._teacher.with_features(inputs)[1]
            losses["g_distill"] = distillation_loss(mapped["distill"], features)
            total = total + weights.lambda_distill * losses["g_distill"]
        update(total, self._g)
        discriminator.requires_grad_(True)
        with torch.no_grad():
            made = self._generate(inputs, widths)[0]
        real = discriminator(torch.cat((inputs, targets), 1))
        fake = discriminator(torch.cat((inputs, made), 1))
        losses["d_loss"] = multiscale_discriminator_loss(kind, real, fake)
        update(losses["d_loss"], self._d)
        return {name: loss.detach() for name, loss in losses.items()}

    def _generate(self, inputs: Tensor, widths: Widths | None) -> tuple[Tensor, dict[str, list[Tensor]]]:
        if isinstance(self._run, Elastic):
            made, mapped = self._run(inputs, widths)
            return made, mapped
        return self._run(inputs), {}


# --- scores ------------------------------------------------------------------------------------


class Inception:
    """pytorch-fid's network in PyTorch, full precision: pictures (n, h, w, 3) uint8 → features (n, 2048)."""

    def __init__(self, weights: Path) -> None:
        self._network = FidInception(load(weights))

    @torch.no_grad()
    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = torch.from_numpy(pictures).split(INCEPTION_BATCH)
        return torch.cat([self._network(part) for part in parts]).numpy()


def frechet_distance(features: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """FID of features (n, 2048) and (m, 2048) as pytorch-fid computes it, by `scipy.linalg.sqrtm` of a 2048² matrix."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (features, reference)]
    with warnings.catch_warnings(action="ignore"):
        return float(calculate_frechet_distance(*moments[0], *moments[1]))


@torch.no_grad()
def score(
    whole: Generator,
    widths: Widths,
    inputs: Tensor,
    chunk: int,
    inception: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    reference: NDArray[np.float32],
) -> float:
    """FID of one subnet over *inputs* (n, c, h, w), cut out of *whole* and run by itself."""
    subnet = extract(whole, widths)
    features = [inception(to_uint8(subnet(part))) for part in inputs.split(chunk)]
    return frechet_distance(np.concatenate(features), reference)


# --- cost --------------------------------------------------------------------------------------


@torch.no_grad()
def traced_macs(generator: Generator) -> int:
    """Exact multiply-accumulates of one picture, counted by hooks while *generator* draws it."""
    macs = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.ConvTranspose2d):
            macs += inputs[0].numel() * module.out_channels // module.groups * math.prod(module.kernel_size)
        elif isinstance(module, nn.Conv2d):
            macs += output.numel() * math.prod(module.weight.shape[1:])

    hooks = [module.register_forward_hook(count) for module in generator.modules()]
    generator(torch.zeros(1, generator.spec.in_channels, *generator.spec.size))
    for hook in hooks:
        hook.remove()
    return macs
