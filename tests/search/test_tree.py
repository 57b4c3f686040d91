"""The tree walk produces each subnet's own outputs, with the expected amount of shared work."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gancomp.elastic.calibrate import calibrate
from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet, Widths, enumerate_widths
from gancomp.measure.macs import profile
from gancomp.nets.generator import Generator
from gancomp.search.tree import TreeWalk
from gancomp.spec import GeneratorSpec
from tests.strategies import lively
from tests.strategies import pictures as inputs

#: How many leading widths each convolution's output depends on: its own, and those before it.
PREFIXES = {"stem.1": 1, "down1.0": 2, "down2.0": 3, "up1.0": 7, "output.0": 8, "output.4": 8}
#: A decomposed convolution's depthwise part depends on what it reads alone.
SEPARABLE = {
    f"blocks{group}.0.branch.{place}": length
    for group in (1, 2, 3)
    for place, length in (("1.0", group + 2), ("1.2", group + 3), ("5.0", group + 3))
}
DENSE = {f"blocks{group}.0.branch.{place}": group + 3 for group in (1, 2, 3) for place in (1, 5)}


RESNET = GeneratorSpec(widths=3, block="separable", size=16, blocks=3)
SPECS = {
    "separable": RESNET,
    "dense": RESNET.model_copy(update={"block": "dense"}),
    "batch norm": RESNET.model_copy(update={"norm": "batch"}),
    "unet": GeneratorSpec(family="unet", widths=3, size=32, downs=5),
    "unet, instance norm": GeneratorSpec(family="unet", widths=3, size=32, downs=5, norm="instance"),
    "spade": GeneratorSpec.model_validate(
        {"family": "spade", "widths": 3, "size": 64, "in_channels": 4, "upsampling": "normal", "block": "separable"}
    ),
}
NORMED = ["batch norm", "unet", "spade"]


def network(kind: str = "separable") -> Generator:
    return lively(SPECS[kind])


def batches(whole: Generator) -> list[Tensor]:
    """The batches for estimating statistics."""
    return [inputs(whole.spec, count=3, seed=seed) for seed in (7, 8)]


def alone(whole: Generator, widths: Widths) -> Generator:
    """The subnet alone, with re-estimated statistics."""
    subnet = extract(whole, widths)
    calibrate(subnet, batches(whole))
    return subnet


def random_space(seed: int) -> list[tuple[int, ...]]:
    """Eight lists of choices from 1 to 3, with 12 to 48 subnets."""
    rng = random.Random(seed)
    space = [tuple(sorted(rng.sample((1, 2, 3), rng.choice((1, 1, 2, 2, 3))), reverse=True)) for _ in range(8)]
    while math.prod(map(len, space)) > 48:
        space[rng.randrange(8)] = (3,)
    while math.prod(map(len, space)) < 12:
        space[rng.randrange(8)] = (3, 1)
    return space


def subnets(whole: Generator, chosen: list[Widths]) -> list[Subnet]:
    return [Subnet(index, widths, profile(whole.spec.with_widths(widths))) for index, widths in enumerate(chosen)]


def pictures() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Convolutions(TorchDispatchMode):
    """Counts how often each convolution of *whole* runs, in whatever subnet; a subnet's weights are views of it."""

    def __init__(self, whole: Generator) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()
        self._names = {
            parameter.data_ptr(): name.removesuffix(".weight")
            for name, parameter in whole.named_parameters()
            if parameter.dim() == 4
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "conv" in func.overloadpacket.__name__ and not args[1].is_meta:
            self.ran[self._names.get(args[1].data_ptr(), "of joined pieces")] += 1
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
@pytest.mark.parametrize(("block", "seed"), [("separable", 0), ("separable", 1), ("dense", 2)])
def test_every_subnet_of_a_space(block: str, seed: int) -> None:
    whole, x = network(block), pictures()
    space = random_space(seed)
    chosen = subnets(whole, list(enumerate_widths(space)))
    with Convolutions(whole) as counted:
        walked = [(subnet, out.clone()) for subnet, out in TreeWalk(whole)(chosen, x)]
    assert [subnet for subnet, _ in walked] == chosen
    for subnet, out in walked:
        assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0), subnet.widths
    prefixes = PREFIXES | (SEPARABLE if block == "separable" else DENSE)
    expected = {name: len({subnet.widths[:length] for subnet in chosen}) for name, length in prefixes.items()}
    assert {name: counted.ran[name] for name in prefixes} == expected, "a prefix that several subnets share runs once"


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(2))
def test_some_subnets_in_any_order(seed: int) -> None:
    """As under a budget: gaps in the tree, and even an order that shares nothing, do not change outputs."""
    whole, x = network(), pictures()
    everything = list(enumerate_widths([(3, 1), (3,), (2, 1), (3, 2), (3, 2, 1), (2,), (3, 1), (2, 1)]))
    some = subnets(whole, random.Random(seed).sample(everything, 16))
    for subnet, out in TreeWalk(whole)(some, x):
        assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0), subnet.widths


@torch.inference_mode()
def test_a_unets_skip_connections_are_shared() -> None:
    whole = network("unet, instance norm")
    x, chosen = (
        inputs(whole.spec),
        subnets(whole, list(enumerate_widths([(3, 1), (2,), (3, 1), (3, 1), *[(2, 1)] * 2, (3,), (2, 1)]))),
    )
    with Convolutions(whole) as counted:
        for subnet, out in TreeWalk(whole)(chosen, x):
            assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0), subnet.widths
    alone_too = len(chosen)
    # The other convolutions on the way up read two pieces, so their weights are copies.
    prefixes = {"down.0.conv": 1, "down.2.conv": 3, "down.4.conv": 4, "up.4.conv": 5}
    expected = {
        name: len({subnet.widths[:length] for subnet in chosen}) + alone_too for name, length in prefixes.items()
    }
    assert {name: counted.ran[name] for name in prefixes} == expected
    joined = {"up.3": 6, "up.2": 7, "up.1": 8, "up.0": 8}
    walked = sum(len({subnet.widths[:length] for subnet in chosen}) for length in joined.values())
    assert counted.ran["of joined pieces"] == walked + len(joined) * alone_too


@torch.inference_mode()
def test_one_walker_serves_many_batches() -> None:
    """Values of one batch are not reused for another, even if the same subnet precedes."""
    whole = network()
    walk = TreeWalk(whole)
    chosen = subnets(whole, [(3,) * 8, (3, 3, 3, 3, 3, 3, 3, 2)])
    for seed in range(3):
        x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        for subnet, out in walk(chosen, x):
            assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_same_subnet_twice_runs_nothing() -> None:
    whole, x = network(), pictures()
    with Convolutions(whole) as counted:
        (_, first), (_, second) = TreeWalk(whole)(subnets(whole, [(2,) * 8] * 2), x)
    assert torch.equal(first, second)
    assert set(counted.ran.values()) == {1}


# --- statistics of BatchNorm -------------------------------------------------------------------


@pytest.mark.parametrize("kind", NORMED)
@pytest.mark.parametrize("shuffled", [False, True])
@torch.inference_mode()
def test_each_subnet_has_statistics_of_its_own(kind: str, shuffled: bool) -> None:
    """As if extracted, calibrated and run alone, in any order and group."""
    whole = network(kind)
    everything = list(enumerate_widths([(3, 1), (3,), (2, 1), (3,), (3, 2), (2,), (3, 1), (2, 1)]))
    chosen = subnets(whole, random.Random(0).sample(everything, 8) if shuffled else everything[:8])
    walk, x = TreeWalk(whole, batches(whole)), inputs(whole.spec)
    expected = {subnet.widths: alone(whole, subnet.widths)(x) for subnet in chosen}
    for size in (8, 3):
        for start in range(0, len(chosen), size):
            for subnet, out in walk(chosen[start : start + size], x):
                torch.testing.assert_close(out, expected[subnet.widths], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["batch norm", "spade"])
@torch.inference_mode()
def test_statistics_are_estimated_once_a_group(kind: str) -> None:
    """Each node of the tree runs once per batch, even if the group is out of order."""
    whole = network(kind)
    chosen = subnets(whole, [(3,) * 8, (3, 1, *[3] * 6), (3, 3, 3, 3, 3, 3, 3, 1), (3,) * 8])
    walk, distinct = TreeWalk(whole, lambda: iter(batches(whole))), 3
    last = {"batch norm": "output.4", "spade": "output"}[kind]
    with Convolutions(whole) as counted:
        for _ in range(3):
            assert len(list(walk(chosen, inputs(whole.spec)))) == 4
    pictures_alone = 3 * 4  # out of order, each subnet of a batch of pictures runs to its end
    assert counted.ran[last] == distinct * len(batches(whole)) + pictures_alone
    with counted:
        list(walk(chosen[:2], inputs(whole.spec)))
    assert counted.ran[last] == (distinct + 2) * len(batches(whole)) + pictures_alone + 2


@pytest.mark.parametrize("kind", NORMED)
@torch.inference_mode()
def test_the_whole_is_left_as_it_was(kind: str) -> None:
    whole = network(kind)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    list(TreeWalk(whole, batches(whole))(subnets(whole, [(3,) * 8, (1,) * 8]), inputs(whole.spec)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("kind", NORMED)
def test_without_calibration_pictures_it_refuses(kind: str) -> None:
    whole = network(kind)
    walk = TreeWalk(whole)
    for _ in range(2):
        with pytest.raises(ValueError, match="no batch to estimate"):
            next(walk(subnets(whole, [(3,) * 8]), inputs(whole.spec)))
