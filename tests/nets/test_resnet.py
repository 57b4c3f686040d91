"""The ResNet generator: shapes, segments, and which width belongs to which segment."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gancomp.nets import Generator, build_generator, build_skeleton
from gancomp.spec import GeneratorSpec
from tests.strategies import WIDTHS, lively, pictures, specs


@settings(deadline=None, max_examples=15)
@given(specs())
def test_pictures_in_pictures_out(spec: GeneratorSpec) -> None:
    with torch.inference_mode():
        out = lively(spec)(pictures(spec, count=3))
    assert out.shape == (3, spec.out_channels, *spec.size)
    assert out.abs().max() <= 1
    assert out.std() > 0


def test_other_sizes_than_the_declared_one_work() -> None:
    generator = lively(GeneratorSpec(widths=2, size=16, blocks=3))
    with torch.inference_mode():
        assert generator(torch.rand(1, 3, 8, 24)).shape == (1, 3, 8, 24)


@settings(deadline=None, max_examples=10)
@given(specs())
def test_segments_compose_to_the_forward_pass(spec: GeneratorSpec) -> None:
    generator = lively(spec)
    x = pictures(spec)
    with torch.inference_mode():
        out = x
        outputs = {}
        for index, segment in enumerate(generator.segments):
            out = generator.run_segment(index, out)
            outputs[segment.name] = out.clone()
            assert out.shape[1] == (
                spec.out_channels if segment.name == "output" else generator.channels_after(segment.name)
            )
        whole, features = generator.with_features(x)
    assert torch.equal(out, whole)
    assert torch.equal(generator.eval()(x), whole)
    assert [feature.shape[1] for feature in features] == generator.feature_channels()
    for name, feature in zip(generator.distilled, features, strict=True):
        assert torch.equal(feature, outputs[name])


@pytest.mark.parametrize("block", ["dense", "separable"])
def test_a_segment_leaves_its_input_as_it_was(block: str) -> None:
    """The search and the distillation keep a segment's output while the next one runs on it."""
    spec = GeneratorSpec.model_validate({"widths": 3, "block": block, "size": 8, "blocks": 6})
    generator = lively(spec)
    x = pictures(spec)
    with torch.inference_mode():
        for index in range(len(generator.segments)):
            kept = x.clone()
            following = generator.run_segment(index, x)
            assert torch.equal(x, kept), generator.segments[index].name
            assert following.data_ptr() != x.data_ptr()
            x = following


def test_distilled_activations_are_the_trunk() -> None:
    generator = build_skeleton(GeneratorSpec(widths=(1, 2, 3, 4, 5, 6, 7, 8), size=16))
    assert list(generator.distilled) == ["down2", "blocks1", "blocks2", "blocks3"]
    assert generator.feature_channels() == [12, 12, 12, 12]


@settings(deadline=None, max_examples=25)
@given(specs(), st.integers(0, WIDTHS - 1))
def test_a_width_changes_the_segments_that_name_it_and_no_others(spec: GeneratorSpec, position: int) -> None:
    changed = tuple(width + (index == position) for index, width in enumerate(spec.widths))
    before, after = (build_skeleton(narrow) for narrow in (spec, spec.with_widths(changed)))
    assert before.state_dict().keys() == after.state_dict().keys()
    differing = {
        name.split(".")[0]
        for name, tensor in before.state_dict().items()
        if tensor.shape != after.state_dict()[name].shape
    }
    assert differing == {segment.name for segment in before.segments if position in segment.widths}


def test_widths_control_what_the_paper_says() -> None:
    generator = build_skeleton(GeneratorSpec(widths=(1, 2, 3, 4, 5, 6, 7, 8), blocks=9, size=16))

    def outputs(name: str) -> int:
        layer = generator.get_submodule(name)
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        return layer.out_channels

    assert [outputs(name) for name in ("stem.1", "down1.0", "down2.0")] == [1, 2 * 2, 4 * 3]
    for group, width in ((1, 4), (2, 5), (3, 6)):
        for block in range(3):
            branch = f"blocks{group}.{block}.branch"
            assert [outputs(f"{branch}.1"), outputs(f"{branch}.5")] == [4 * width, 4 * 3]
    assert [outputs(name) for name in ("up1.0", "output.0", "output.4")] == [2 * 7, 8, 3]


def test_only_residual_blocks_are_decomposed() -> None:
    dense, separable = (
        build_skeleton(GeneratorSpec.model_validate({"widths": 4, "block": block, "size": 16}))
        for block in ("dense", "separable")
    )
    own, decomposed = dense.state_dict().keys(), separable.state_dict().keys()
    assert {name for name in own ^ decomposed if not name.startswith("blocks")} == set()
    depthwise = [m for m in separable.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 2 * 9
    assert not [m for m in dense.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert all(m.bias is not None for m in depthwise)


def test_normalisation_has_no_state() -> None:
    generator = build_skeleton(GeneratorSpec(widths=4, block="separable", size=16))
    assert {name.rsplit(".", 1)[1] for name in generator.state_dict()} == {"weight", "bias"}
    assert not [m for m in generator.modules() if isinstance(m, nn.InstanceNorm2d) and list(m.parameters())]


def test_a_skeleton_has_shapes_and_no_weights() -> None:
    spec = GeneratorSpec(widths=4, size=16)
    skeleton, real = build_skeleton(spec), build_generator(spec)
    assert {parameter.device.type for parameter in skeleton.parameters()} == {"meta"}
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (skeleton, real)]
    assert shapes[0] == shapes[1]


def test_fresh_weights_are_normal_and_follow_the_seed() -> None:
    def fresh(seed: int) -> Generator:
        torch.manual_seed(seed)
        return build_generator(GeneratorSpec(widths=6, size=16))

    first, again, other = (fresh(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    weights = torch.cat([tensor.flatten() for name, tensor in first.items() if name.endswith("weight")])
    assert weights.mean().abs() < 1e-3
    assert weights.std() == pytest.approx(0.02, rel=0.02)
    assert all(not tensor.any() for name, tensor in first.items() if name.endswith("bias"))
    assert all(not torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))
