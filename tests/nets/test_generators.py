"""What generators of every family have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gancomp.nets import Generator, build_generator, build_skeleton
from gancomp.spec import GeneratorSpec
from tests.strategies import WIDTHS, elastic_specs, lively, pictures, specs

EXAMPLES = [
    {"family": "resnet", "widths": 3, "size": 8, "blocks": 6},
    {"family": "resnet", "widths": 3, "size": 8, "blocks": 3, "block": "separable", "norm": "batch"},
    {"family": "resnet", "widths": 3, "size": 12, "blocks": 3, "block": "inception", "norm": "batch"},
    {"family": "unet", "widths": 2, "size": "16x32", "downs": 4},
    {"family": "unet", "widths": 2, "size": 16, "downs": 3, "norm": "instance"},
    {"family": "spade", "widths": 2, "size": 64, "in_channels": 4, "upsampling": "normal"},
    {"family": "spade", "widths": 2, "size": "128x192", "in_channels": 4, "block": "separable"},
]


@pytest.fixture(params=EXAMPLES, ids=lambda example: "-".join(str(value) for value in example.values()))
def spec(request: pytest.FixtureRequest) -> GeneratorSpec:
    return GeneratorSpec.model_validate(request.param)


def tensors_of(state: Any) -> list[Tensor]:
    """What passes between segments is a tensor, or several."""
    return [state] if isinstance(state, Tensor) else list(state)


@settings(deadline=None, max_examples=25)
@given(specs())
def test_inputs_in_pictures_out(drawn: GeneratorSpec) -> None:
    with torch.inference_mode():
        out = lively(drawn)(pictures(drawn, count=3))
    assert out.shape == (3, drawn.out_channels, *drawn.size)
    assert out.abs().max() <= 1
    # A single channel may be dead behind its ReLU, whatever the input.
    assert out.std() > 0 or min(drawn.widths) == 1


def test_other_sizes_than_the_declared_one_work(spec: GeneratorSpec) -> None:
    wide = spec.model_copy(update={"size": (spec.size[0], spec.size[1] + spec.stride)})
    with torch.inference_mode():
        assert lively(spec)(pictures(wide)).shape == (2, 3, *wide.size)


@settings(deadline=None, max_examples=15)
@given(specs())
def test_segments_compose_to_the_forward_pass(drawn: GeneratorSpec) -> None:
    generator, x = lively(drawn), pictures(drawn)
    with torch.inference_mode():
        state: Any = x
        activations = {}
        for index, segment in enumerate(generator.segments):
            state = generator.run_segment(index, state)
            if segment in generator.distilled:
                activations[segment] = tensors_of(state)[0]
        whole, features = generator.with_features(x)
        assert torch.equal(generator(x), whole)
    assert torch.equal(state, whole)
    assert [feature.shape[1] for feature in features] == generator.feature_channels()
    assert len(features) == len(generator.distilled)
    for name, feature in zip(generator.distilled, features, strict=True):
        assert torch.equal(feature, activations.get(name, feature))  # a unet has one segment


def test_a_segment_leaves_its_input_as_it_was(spec: GeneratorSpec) -> None:
    """The search and the distillation keep a segment's output while the next one runs on it."""
    generator = lively(spec)
    state: Any = pictures(spec)
    with torch.inference_mode():
        for index in range(len(generator.segments)):
            kept = [tensor.clone() for tensor in tensors_of(state)]
            following = generator.run_segment(index, state)
            assert all(map(torch.equal, tensors_of(state), kept)), generator.segments[index]
            assert tensors_of(following)[0].data_ptr() != tensors_of(state)[0].data_ptr()
            state = following


@settings(deadline=None, max_examples=15)
@given(elastic_specs(), st.integers(0, WIDTHS - 1))
def test_a_width_changes_shapes_and_no_names(drawn: GeneratorSpec, position: int) -> None:
    # Far wider, since a block's inner width may hide a change that is smaller than its other side.
    changed = tuple(width + 99 * (index == position) for index, width in enumerate(drawn.widths))
    before, after = (build_skeleton(narrow).state_dict() for narrow in (drawn, drawn.with_widths(changed)))
    assert before.keys() == after.keys()
    differing = {name for name, tensor in before.items() if tensor.shape != after[name].shape}
    assert bool(differing) == (position not in drawn.unused)


def test_a_skeleton_has_shapes_and_no_weights(spec: GeneratorSpec) -> None:
    skeleton, real = build_skeleton(spec), build_generator(spec)
    assert {tensor.device.type for tensor in skeleton.state_dict().values()} == {"meta"}
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (skeleton, real)]
    assert shapes[0] == shapes[1]


def test_fresh_weights_follow_the_seed(spec: GeneratorSpec) -> None:
    def fresh(seed: int) -> Generator:
        torch.manual_seed(seed)
        return build_generator(spec)

    first, again, other = (dict(fresh(seed).named_parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not tensor.any() for name, tensor in first.items() if name.endswith("bias"))
    assert all(not torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))
