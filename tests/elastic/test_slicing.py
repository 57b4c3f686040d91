"""A subnet is the leading block of the once-for-all network, however it is made."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gancomp.elastic.pieces import cut
from gancomp.elastic.slicing import KEPT_SKELETONS, Elastic, extract, pieces_of
from gancomp.nets import Generator, build_generator, build_skeleton, load_generator, save_generator
from gancomp.objectives.distill import MappedGenerator
from gancomp.spec import GeneratorSpec, ValueRange
from tests.strategies import WIDTHS, elastic_specs, lively, pictures, widths

SPEC = GeneratorSpec(widths=4, block="separable", size=8, blocks=3)
SUBNET = (1, 2, 3, 4, 2, 1, 2, 3)
BATCH_NORMED = [
    SPEC.model_copy(update={"norm": "batch"}),
    GeneratorSpec.model_validate(
        {"family": "spade", "widths": 4, "size": 64, "in_channels": 4, "upsampling": "normal", "block": "separable"}
    ),
]


def elastic_of(whole: Generator) -> Elastic:
    return Elastic(whole, lambda narrow: build_generator(whole.spec.with_widths(narrow)), pieces_of(whole.spec))


@st.composite
def subnets(draw: st.DrawFn) -> tuple[GeneratorSpec, tuple[int, ...]]:
    spec = draw(elastic_specs(largest=5, largest_side=12))
    return spec, draw(widths(spec.widths))


def both_pieces(weight: Tensor, level: int, wide: GeneratorSpec, narrow: GeneratorSpec) -> Tensor:
    """What a unet's transposed convolution reads of its mirror image, and of the level below."""
    if level == wide.downs - 1:
        return weight
    mirrored = wide.levels[0][level]
    return torch.cat((weight[: narrow.levels[0][level]], weight[mirrored : mirrored + narrow.levels[1][level]]))


def test_a_subnet_reads_and_makes_the_numbers_of_the_whole() -> None:
    whole = build_generator(SPEC)
    whole.ranges = {"input": ValueRange(low=-1024, high=3072, type="int16")}
    assert extract(whole, SUBNET).ranges == whole.ranges


@settings(deadline=None, max_examples=20)
@given(drawn=subnets())
def test_once_for_all_extracted_and_saved_give_the_same_picture(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[GeneratorSpec, tuple[int, ...]]
) -> None:
    spec, narrow = drawn
    whole, x = lively(spec), pictures(spec)
    extracted = extract(whole, narrow)
    path = tmp_path_factory.mktemp("subnet") / "model.safetensors"
    save_generator(path, extracted, experiment="", stage="subnet", signature="")
    loaded = load_generator(path)
    # The same cut by hand, from the shapes that the widths ask for.
    by_hand = build_generator(spec.with_widths(narrow))
    for name, own in by_hand.state_dict().items():
        tensor = whole.state_dict()[name]
        if spec.family == "unet" and name.startswith("up.") and name.endswith("conv.weight"):
            tensor = both_pieces(tensor, int(name.split(".")[1]), spec, by_hand.spec)
        own.copy_(tensor[tuple(slice(length) for length in own.shape)])

    with torch.inference_mode():
        picture = elastic_of(whole)(x, narrow)
        for other in (extracted, loaded, by_hand.eval()):
            torch.testing.assert_close(other(x), picture, rtol=1e-4, atol=1e-5)
    assert extracted.spec == loaded.spec == spec.with_widths(narrow)
    assert extracted.state_dict().keys() == loaded.state_dict().keys() == whole.state_dict().keys()


@settings(deadline=None, max_examples=10)
@given(subnets())
def test_every_activation_that_is_distilled_is_the_same_too(drawn: tuple[GeneratorSpec, tuple[int, ...]]) -> None:
    spec, narrow = drawn
    generator = lively(spec)
    teacher_channels = [5, 6, 7, 8][: len(generator.distilled)]
    whole = MappedGenerator(generator, teacher_channels).eval()
    elastic = Elastic(
        whole,
        lambda own: MappedGenerator(build_generator(spec.with_widths(own)), teacher_channels),
        pieces_of(spec, "generator."),
    )
    x = pictures(spec)
    with torch.inference_mode():
        picture, mapped = elastic(x, narrow)
        expected, features = extract(whole.generator, narrow).with_features(x)
        torch.testing.assert_close(picture, expected, rtol=1e-4, atol=1e-5)
        for layer, feature, got in zip(whole.maps, features, mapped["distill"], strict=True):
            assert isinstance(layer, nn.Conv2d)
            weight = layer.weight[:, : feature.shape[1]]
            torch.testing.assert_close(got, nn.functional.conv2d(feature, weight, layer.bias), rtol=1e-4, atol=1e-4)


def test_maps_are_cut_on_their_input_side_alone() -> None:
    whole = MappedGenerator(build_generator(SPEC), [5, 6, 7, 8])
    elastic = Elastic(whole, lambda own: MappedGenerator(build_generator(SPEC.with_widths(own)), [5, 6, 7, 8]))
    tensors = elastic.tensors((4, 4, 3, 4, 4, 4, 4, 4))
    assert [tuple(tensors[f"maps.{index}.weight"].shape) for index in range(4)] == [
        (teacher, 4 * 3, 1, 1) for teacher in (5, 6, 7, 8)
    ]
    assert [len(tensors[f"maps.{index}.bias"]) for index in range(4)] == [5, 6, 7, 8]


def test_without_widths_the_whole_runs() -> None:
    whole, x = lively(SPEC), pictures(SPEC)
    assert torch.equal(elastic_of(whole)(x), whole(x))
    torch.testing.assert_close(elastic_of(whole)(x, SPEC.widths), whole(x))


@pytest.mark.parametrize("position", range(WIDTHS))
def test_widths_beyond_the_whole_are_refused(position: int) -> None:
    wide = tuple(width + (index == position) for index, width in enumerate(SPEC.widths))
    whole = build_generator(SPEC)
    with pytest.raises(ValueError, match=r"\w+\.\d.*: \(.*\) is not a leading block of \("):
        elastic_of(whole)(pictures(SPEC), wide)
    with pytest.raises(ValueError, match="is not a leading block of"):
        extract(whole, wide)


@pytest.mark.parametrize("wrong", [(4,) * 7, (4,) * 9, (0, *[4] * 7)])
def test_widths_that_no_generator_has_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"widths"):
        extract(build_generator(SPEC), wrong)


def test_topologies_must_agree() -> None:
    dense = build_skeleton(SPEC.model_copy(update={"block": "dense"}))
    with pytest.raises(ValueError, match=r"topologies differ in \['blocks1\.0\.branch\.1\.0\.bias'"):
        cut(build_generator(SPEC).state_dict(), dense)
    with pytest.raises(ValueError, match="topologies differ"):
        cut({}, dense)


def test_a_tensor_of_another_rank_is_no_leading_block() -> None:
    with pytest.raises(ValueError, match=r"weight: .* is not a leading block of"):
        cut({"weight": torch.zeros(4, 4, 1), "bias": torch.zeros(4)}, nn.Linear(2, 2))


def test_the_cut_is_the_leading_block_and_a_view() -> None:
    whole = nn.Linear(4, 3)
    tensors = cut(dict(whole.named_parameters()), nn.Linear(2, 1))
    assert torch.equal(tensors["weight"], whole.weight[:1, :2])
    assert torch.equal(tensors["bias"], whole.bias[:1])
    assert tensors["weight"].untyped_storage().data_ptr() == whole.weight.untyped_storage().data_ptr()


def test_buffers_are_cut_too() -> None:
    whole, narrow = nn.BatchNorm2d(4), nn.BatchNorm2d(2)
    tensors = cut(whole.state_dict(), narrow)
    assert tensors["running_mean"].shape == (2,)
    assert tensors["num_batches_tracked"].shape == ()


@settings(deadline=None, max_examples=8)
@given(narrow=widths(SPEC.widths))
@pytest.mark.parametrize("spec", [SPEC, *BATCH_NORMED], ids=["instance", "batch", "spade"])
def test_gradients_land_in_the_leading_block_alone(spec: GeneratorSpec, narrow: tuple[int, ...]) -> None:
    whole = lively(spec).train()
    shapes = {name: tensor.shape for name, tensor in build_skeleton(spec.with_widths(narrow)).named_parameters()}
    elastic_of(whole)(pictures(spec), narrow).square().mean().backward()
    reached = 0
    for name, parameter in whole.named_parameters():
        assert parameter.grad is not None, name
        inside = tuple(slice(length) for length in shapes[name])
        outside = torch.ones_like(parameter, dtype=torch.bool)
        outside[inside] = False
        assert not parameter.grad[outside].any(), name
        reached += bool(parameter.grad[inside].any())
    # Biases before a normalisation change nothing; behind BatchNorm and ReLU, a lone channel may be silent.
    silent = spec.family == "resnet" and spec.norm == "batch"
    assert reached > (0 if silent else len(shapes) / 2)


def test_skeletons_are_no_part_of_the_state() -> None:
    elastic = elastic_of(lively(SPEC))
    before = set(elastic.state_dict())
    elastic(pictures(SPEC), SUBNET)
    elastic(pictures(SPEC), SPEC.widths)
    assert set(elastic.state_dict()) == before == {f"whole.{name}" for name in elastic.whole.state_dict()}
    assert {parameter.device.type for parameter in elastic.parameters()} == {"cpu"}
    assert {parameter.device.type for parameter in elastic.skeleton(SUBNET).parameters()} == {"meta"}
    assert elastic.skeleton(SUBNET) is elastic.skeleton(SUBNET)


# --- statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", BATCH_NORMED, ids=["resnet", "spade"])
def test_training_uses_the_statistics_of_the_batch_and_leaves_the_wholes_alone(spec: GeneratorSpec) -> None:
    whole, x = lively(spec).train(), pictures(spec)
    before = {name: buffer.clone() for name, buffer in whole.named_buffers()}
    elastic = elastic_of(whole)
    picture = elastic(x, SUBNET)
    picture.square().mean().backward()
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in whole.named_buffers())
    torch.testing.assert_close(picture, extract(whole, SUBNET).train()(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(picture, extract(whole, SUBNET)(x), atol=1e-3)
    # A subnet of the whole's own widths gathers none either: all of them do the same.
    elastic(x, spec.widths)
    assert all(torch.equal(buffer, before[name]) for name, buffer in whole.named_buffers())


@pytest.mark.parametrize("spec", BATCH_NORMED, ids=["resnet", "spade"])
def test_a_skeleton_follows_the_mode_of_the_whole(spec: GeneratorSpec) -> None:
    whole, x = lively(spec), pictures(spec)
    elastic = elastic_of(whole)
    with torch.no_grad():
        in_evaluation = elastic(x, SUBNET)
        in_training = elastic.train()(x, SUBNET)
        assert not torch.allclose(in_training, in_evaluation, atol=1e-3)
        assert torch.equal(elastic.eval()(x, SUBNET), in_evaluation)


@pytest.mark.parametrize("spec", BATCH_NORMED, ids=["resnet", "spade"])
def test_an_extracted_subnet_shares_weights_and_no_statistics(spec: GeneratorSpec) -> None:
    whole = lively(spec)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    subnet = extract(whole, SUBNET).train()
    subnet(pictures(spec))
    subnet.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())
    for name, parameter in subnet.named_parameters():
        assert parameter.data_ptr() == whole.get_parameter(name).data_ptr(), name


def test_skeletons_do_not_pile_up() -> None:
    elastic = elastic_of(lively(SPEC))
    held = [weakref.ref(elastic.skeleton((1, 1, 1, 1, 1, 1, number % 4 + 1, number // 4 + 1))) for number in range(99)]
    gc.collect()
    assert sum(skeleton() is not None for skeleton in held) == KEPT_SKELETONS


def test_a_step_on_the_whole_reaches_the_subnets() -> None:
    whole, x = lively(SPEC), pictures(SPEC)
    elastic, extracted = elastic_of(whole), extract(whole, SUBNET)
    before = elastic(x, SUBNET)
    with torch.no_grad():
        whole.get_parameter("stem.1.weight").mul_(torch.linspace(-1, 1, 4).view(-1, 1, 1, 1))
    assert not torch.allclose(elastic(x, SUBNET), before)
    torch.testing.assert_close(elastic(x, SUBNET), extracted(x), rtol=1e-4, atol=1e-5)
