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
from tests.strategies import elastic_specs, lively, pictures, widths

BLOCKS = ["dense", "separable"]


def teacher(block: str, width: int = 4, blocks: int = 6) -> Generator:
    return lively(GeneratorSpec.model_validate({"widths": width, "block": block, "size": 12, "blocks": blocks}))


def student_of(whole: Generator, narrow: tuple[int, ...]) -> Generator:
    """The pruned student; loading asserts names and shapes."""
    student = build_skeleton(whole.spec.with_widths(narrow))
    student.load_state_dict(prune(whole.state_dict(), whole.spec, whole.spec.with_widths(narrow)), assign=True)
    return student.eval()


@st.composite
def students(draw: st.DrawFn) -> tuple[GeneratorSpec, tuple[int, ...]]:
    spec = draw(elastic_specs(largest=5, largest_side=12))
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
    full, cut = (
        whole.state_dict(),
        prune(whole.state_dict(), whole.spec, whole.spec.with_widths((2, 3, 2, 1, 3, 2, 3, 1))),
    )

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
    cut = prune(tensors, whole.spec, whole.spec.with_widths((1, 1, 2, 2, 2, 2, 2, 2)))
    assert torch.equal(cut["down1.0.weight"][0, 0], weight[0, 1])


@pytest.mark.parametrize("block", BLOCKS)
def test_leading_filters_are_never_weaker(block: str) -> None:
    whole = teacher(block)
    cut = prune(whole.state_dict(), whole.spec, whole.spec.with_widths((3, 3, 3, 2, 3, 2, 3, 3)))
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
    full, cut = (
        whole.state_dict(),
        prune(whole.state_dict(), whole.spec, whole.spec.with_widths((4, 4, 2, 3, 2, 1, 4, 4))),
    )
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


@settings(deadline=None, max_examples=20)
@given(elastic_specs(largest=4, largest_side=12))
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


# --- batch norm and SPADE ----------------------------------------------------------------------

SPADE = GeneratorSpec.model_validate(
    {"family": "spade", "widths": 3, "size": 64, "in_channels": 4, "upsampling": "normal"}
)
UPS = ("up1", "up2", "up3", "up4")


def test_batch_norm_follows_its_channels() -> None:
    spec = GeneratorSpec.model_validate({"widths": 3, "block": "separable", "norm": "batch", "size": 12, "blocks": 3})
    whole = lively(spec)
    full, cut = whole.state_dict(), prune(whole.state_dict(), spec, spec.with_widths((2, 1, 2, 3, 2, 1, 1, 2)))
    # Each normalisation stands behind the convolution whose channels it has; a depthwise one has its input's.
    after = {"stem.2": "stem.1", "down1.1": "down1.0", "down2.1": "down2.0", "up1.1": "up1.0", "output.1": "output.0"}
    for group in (1, 2, 3):
        branch = f"blocks{group}.0.branch"
        after |= {f"{branch}.2": f"{branch}.1.2", f"{branch}.6": f"{branch}.5.2"}
        after |= {f"{branch}.1.1": f"{branch}.1.0", f"{branch}.5.1": f"{branch}.5.0"}
    for norm, convolution in after.items():
        order = [int((full[f"{convolution}.bias"] == kept).nonzero()) for kept in cut[f"{convolution}.bias"]]
        for key in ("weight", "bias", "running_mean", "running_var"):
            assert torch.equal(cut[f"{norm}.{key}"], full[f"{norm}.{key}"][order]), (norm, key)
        assert torch.equal(cut[f"{norm}.num_batches_tracked"], full[f"{norm}.num_batches_tracked"])
    assert {name.rsplit(".", 1)[0] for name in cut if name.endswith("running_mean")} == set(after)


def test_a_teacher_of_fixed_hidden_channels_is_pruned_to_the_students() -> None:
    whole = lively(SPADE.model_copy(update={"hidden": 9}))
    narrow = SPADE.with_widths((2, 1, 3, 2, 3, 2, 1, 2))
    student = build_skeleton(narrow)
    student.load_state_dict(prune(whole.state_dict(), whole.spec, narrow), assign=True)
    assert len(student.state_dict()["head.norm_0.shared.0.bias"]) == 2


@pytest.mark.parametrize("block", BLOCKS)
def test_a_spade_generator_keeps_its_strongest_filters(block: str) -> None:
    whole = lively(SPADE.model_copy(update={"block": block}))
    full, cut = (
        whole.state_dict(),
        prune(whole.state_dict(), whole.spec, whole.spec.with_widths((2, 1, 3, 2, 3, 2, 1, 2))),
    )

    def order(name: str) -> list[int]:
        """Where the student's channels were, told by their biases."""
        return [int((full[name] == kept).nonzero()) for kept in cut[name]]

    def modulation(name: str, channels: list[int]) -> None:
        hidden = strongest(full[f"{name}.shared.0.weight"], len(cut[f"{name}.shared.0.bias"]))
        assert order(f"{name}.shared.0.bias") == hidden
        assert torch.equal(cut[f"{name}.norm.running_var"], full[f"{name}.norm.running_var"][channels])
        for part in ("gamma", "beta"):
            last = f"{name}.{part}" if block == "dense" else f"{name}.{part}.2"
            assert torch.equal(cut[f"{last}.weight"], full[f"{last}.weight"][channels][:, hidden])
            assert order(f"{last}.bias") == channels
            if block == "separable":
                assert order(f"{name}.{part}.0.bias") == hidden

    trunk = strongest(full["fc.weight"], 16 * 2)
    assert order("fc.bias") == trunk
    for name, width in (("head", 1), ("middle1", 3), ("middle2", 2)):
        modulation(f"{name}.norm_0", trunk)
        inner = strongest(full[f"{name}.conv_0.weight"][:, trunk], 16 * width)
        assert order(f"{name}.conv_0.bias") == inner
        modulation(f"{name}.norm_1", inner)
        assert order(f"{name}.conv_1.bias") == trunk, "the shortcut is the identity"
    inputs = trunk
    for name, outputs in zip(UPS, (8 * 3, 4 * 2, 2 * 1, 2), strict=True):
        modulation(f"{name}.norm_0", inputs)
        modulation(f"{name}.norm_s", inputs)
        inner = strongest(full[f"{name}.conv_0.weight"][:, inputs], min(len(inputs), outputs))
        assert order(f"{name}.conv_0.bias") == inner
        kept = strongest(full[f"{name}.conv_1.weight"][:, inner], outputs)
        assert order(f"{name}.conv_1.bias") == kept
        assert torch.equal(cut[f"{name}.conv_s.weight"], full[f"{name}.conv_s.weight"][kept][:, inputs])
        inputs = kept
    assert torch.equal(cut["output.weight"], full["output.weight"][:, inputs])
    assert torch.equal(cut["output.bias"], full["output.bias"])
