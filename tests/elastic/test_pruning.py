"""The student keeps the teacher's filters of largest L1 norm, in descending order."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gancomp.elastic.pruning import prune
from gancomp.nets import Generator, build_skeleton
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures, specs, widths

BLOCKS = ["dense", "separable"]


def teacher(block: str, width: int = 4, blocks: int = 6) -> Generator:
    return lively(GeneratorSpec.model_validate({"widths": width, "block": block, "size": 12, "blocks": blocks}))


def student_of(whole: Generator, narrow: tuple[int, ...]) -> Generator:
    """The pruned student; loading asserts names and shapes."""
    student = build_skeleton(whole.spec.with_widths(narrow))
    student.load_state_dict(prune(whole.state_dict(), whole.spec, narrow), assign=True)
    return student.eval()


@st.composite
def students(draw: st.DrawFn) -> tuple[GeneratorSpec, tuple[int, ...]]:
    spec = draw(specs(largest=5, largest_side=12))
    return spec, draw(widths(spec.widths))


def strongest(weight: Tensor, keep: int, dim: int = 0) -> list[int]:
    """The same ranking, in plain Python."""
    norms = [float(part.abs().double().sum()) for part in weight.unbind(dim)]
    return sorted(range(len(norms)), key=lambda index: -norms[index])[:keep]


@settings(deadline=None, max_examples=15)
@given(students())
def test_a_student_has_the_names_and_shapes_of_its_widths(drawn: tuple[GeneratorSpec, tuple[int, ...]]) -> None:
    spec, narrow = drawn
    student = student_of(lively(spec), narrow)
    with torch.inference_mode():
        assert student(pictures(spec)).isfinite().all()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_strongest_filters_lead(block: str) -> None:
    whole = teacher(block)
    full, cut = whole.state_dict(), prune(whole.state_dict(), whole.spec, (2, 3, 2, 1, 3, 2, 3, 1))

    stem = strongest(full["stem.1.weight"], 2)
    assert torch.equal(cut["stem.1.weight"], full["stem.1.weight"][stem])
    assert torch.equal(cut["stem.1.bias"], full["stem.1.bias"][stem])
    # Ranked after the input was cut to what the stem keeps.
    seen = full["down1.0.weight"][:, stem]
    down1 = strongest(seen, 6)
    assert torch.equal(cut["down1.0.weight"], seen[down1])
    seen = full["down2.0.weight"][:, down1]
    trunk = strongest(seen, 8)
    assert torch.equal(cut["down2.0.weight"], seen[trunk])
    # Transposed convolutions hold their outputs on the second axis.
    seen = full["up1.0.weight"][trunk]
    up1 = strongest(seen, 6, dim=1)
    assert torch.equal(cut["up1.0.weight"], seen[:, up1])
    assert torch.equal(cut["up1.0.bias"], full["up1.0.bias"][up1])
    seen = full["output.0.weight"][up1]
    last = strongest(seen, 1, dim=1)
    assert torch.equal(cut["output.0.weight"], seen[:, last])
    # Colours keep their order, whatever their norms.
    assert torch.equal(cut["output.4.weight"], full["output.4.weight"][:, last])
    assert torch.equal(cut["output.4.bias"], full["output.4.bias"])


def test_a_norm_counts_only_the_inputs_that_are_kept() -> None:
    """The second filter is the strongest on all inputs, the first on those that are left."""
    whole = teacher("dense", width=2)
    tensors = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    tensors["stem.1.weight"][0] = 0.1  # goes
    tensors["stem.1.weight"][1] = 1.0  # stays
    weight = tensors["down1.0.weight"].zero_()
    weight[0, 1], weight[1, 0] = 1.0, 100.0
    cut = prune(tensors, whole.spec, (1, 1, 2, 2, 2, 2, 2, 2))
    assert torch.equal(cut["down1.0.weight"][0, 0], weight[0, 1])


@pytest.mark.parametrize("block", BLOCKS)
def test_leading_filters_are_never_weaker(block: str) -> None:
    whole = teacher(block)
    cut = prune(whole.state_dict(), whole.spec, (3, 3, 3, 2, 3, 2, 3, 3))
    inner = "1" if block == "dense" else "1.2"
    ranked = {"stem.1": 0, "down1.0": 0, "down2.0": 0, "up1.0": 1, "output.0": 1} | {
        f"blocks{group}.{number}.branch.{inner}": 0 for group, number in itertools.product((1, 2, 3), (0, 1))
    }
    for name, dim in ranked.items():
        weight = cut[f"{name}.weight"]
        norms = weight.abs().sum(dim=[axis for axis in range(4) if axis != dim])
        assert (norms.diff() <= 1e-5).all(), name


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_writes_the_trunk_in_the_order_in_which_it_reads_it(block: str) -> None:
    whole = teacher(block)
    full, cut = whole.state_dict(), prune(whole.state_dict(), whole.spec, (4, 4, 2, 3, 2, 1, 4, 4))
    trunk = [int((full["down2.0.bias"] == kept).nonzero()) for kept in cut["down2.0.bias"]]
    assert len(set(trunk)) == 8
    for group, number in itertools.product((1, 2, 3), (0, 1)):
        branch = f"blocks{group}.{number}.branch"
        if block == "dense":
            assert torch.equal(cut[f"{branch}.5.bias"], full[f"{branch}.5.bias"][trunk])
            first, second = full[f"{branch}.1.weight"][:, trunk], f"{branch}.5.weight"
            inner = strongest(first, len(cut[f"{branch}.1.weight"]))
            assert torch.equal(cut[f"{branch}.1.weight"], first[inner])
            assert torch.equal(cut[second], full[second][trunk][:, inner])
        else:
            for part in ("weight", "bias"):
                assert torch.equal(cut[f"{branch}.1.0.{part}"], full[f"{branch}.1.0.{part}"][trunk])
            assert torch.equal(cut[f"{branch}.5.2.bias"], full[f"{branch}.5.2.bias"][trunk])
            first, second = full[f"{branch}.1.2.weight"][:, trunk], f"{branch}.5.2.weight"
            inner = strongest(first, len(cut[f"{branch}.1.2.weight"]))
            assert torch.equal(cut[f"{branch}.1.2.weight"], first[inner])
            assert torch.equal(cut[f"{branch}.5.0.weight"], full[f"{branch}.5.0.weight"][inner])
            assert torch.equal(cut[second], full[second][trunk][:, inner])


@settings(deadline=None, max_examples=10)
@given(specs(largest=4, largest_side=12))
def test_pruning_to_the_full_width_leaves_the_function(spec: GeneratorSpec) -> None:
    """A permutation of the channels: other tensors, the same picture."""
    whole = lively(spec).double()
    x = pictures(spec).double()
    same = student_of(whole, spec.widths)
    with torch.inference_mode():
        torch.testing.assert_close(same(x), whole(x), rtol=1e-6, atol=1e-8)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(same.state_dict()[name].flatten().sort()[0], tensor.flatten().sort()[0])


def test_pruning_to_the_full_width_does_reorder() -> None:
    whole = teacher("dense")
    assert not torch.equal(
        student_of(whole, whole.spec.widths).state_dict()["stem.1.weight"], whole.state_dict()["stem.1.weight"]
    )


def test_the_teacher_is_left_as_it_was() -> None:
    whole = teacher("separable")
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    student = student_of(whole, (2,) * 8)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())
