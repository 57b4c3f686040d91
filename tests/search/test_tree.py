"""The tree walk gives what each subnet gives alone, with the work that sharing promises."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
import torch
from torch import Tensor

from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet, Widths, enumerate_widths
from gancomp.nets import build_generator
from gancomp.nets.generator import Generator
from gancomp.profile.macs import profile
from gancomp.search.tree import TreeWalk
from gancomp.spec import GeneratorSpec

#: How many leading widths each segment's output depends on, its own and those before it.
PREFIXES = {"stem": 1, "down1": 2, "down2": 3, "blocks1": 4, "blocks2": 5, "blocks3": 6, "up1": 7, "output": 8}


def network(block: str = "separable") -> Generator:
    torch.manual_seed(0)
    return build_generator(GeneratorSpec(widths=3, block=block, size=16, blocks=3)).eval()


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


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each segment ran."""
    counter: Counter[str] = Counter()
    run_segment = Generator.run_segment

    def counted(self: Generator, index: int, x: Tensor) -> Tensor:
        counter[self.segments[index].name] += 1
        return run_segment(self, index, x)

    monkeypatch.setattr(Generator, "run_segment", counted)
    return counter


@torch.inference_mode()
@pytest.mark.parametrize(("block", "seed"), [("separable", 0), ("separable", 1), ("dense", 2)])
def test_every_subnet_of_a_space(block: str, seed: int, calls: Counter[str]) -> None:
    whole, x = network(block), pictures()
    space = random_space(seed)
    chosen = subnets(whole, list(enumerate_widths(space)))
    walked = [(subnet, out.clone()) for subnet, out in TreeWalk(whole)(chosen, x)]
    assert [subnet for subnet, _ in walked] == chosen
    ran = Counter(calls)
    for subnet, out in walked:
        assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0), subnet.widths
    assert ran == {name: len({subnet.widths[:length] for subnet in chosen}) for name, length in PREFIXES.items()}, (
        "a prefix that several subnets share runs once"
    )


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(2))
def test_some_subnets_in_any_order(seed: int, calls: Counter[str]) -> None:
    """As under a budget: gaps in the tree, and even an order that shares nothing, change no picture."""
    whole, x = network(), pictures()
    everything = list(enumerate_widths([(3, 1), (3,), (2, 1), (3, 2), (3, 2, 1), (2,), (3, 1), (2, 1)]))
    some = subnets(whole, random.Random(seed).sample(everything, 16))
    for subnet, out in TreeWalk(whole)(some, x):
        assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0), subnet.widths


@torch.inference_mode()
def test_one_walker_serves_many_batches(calls: Counter[str]) -> None:
    """Nothing of one batch of pictures is taken for another's, though the first subnet follows the same one."""
    whole = network()
    walk = TreeWalk(whole)
    chosen = subnets(whole, [(3,) * 8, (3, 3, 3, 3, 3, 3, 3, 2)])
    for seed in range(3):
        x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        for subnet, out in walk(chosen, x):
            assert torch.allclose(out, extract(whole, subnet.widths)(x), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_same_subnet_twice_runs_nothing(calls: Counter[str]) -> None:
    whole, x = network(), pictures()
    (first, _), (second, _) = itertools.islice(TreeWalk(whole)(subnets(whole, [(2,) * 8] * 2), x), 2)
    assert first.widths == second.widths
    assert sum(calls.values()) == 8
