"""The ResNet generator: what each width controls, and where its layers and normalisations are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancomp.nets import Generator, build_generator, build_skeleton
from gancomp.spec import GeneratorSpec

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_distilled_activations_are_the_trunk() -> None:
    generator = build_skeleton(GeneratorSpec(widths=(1, 2, 3, 4, 5, 6, 7, 8), size=16))
    assert list(generator.distilled) == ["down2", "blocks1", "blocks2", "blocks3"]
    assert generator.feature_channels() == [12, 12, 12, 12]


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


@pytest.mark.parametrize(
    ("block", "decomposed"),
    [("separable-down", ["stem.1", "down1.0", "down2.0"]), ("separable-up", ["up1.0", "output.0"])],
)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_only_the_named_convolutions_are_decomposed(block: str, decomposed: list[str], norm: str) -> None:
    """Table 4's other rows: depthwise, normalisation, pointwise, at the size that the whole convolution has."""
    dense, own = (
        build_skeleton(GeneratorSpec.model_validate({"widths": 4, "block": kind, "norm": norm, "size": 16}))
        for kind in ("dense", block)
    )
    changed = {name.rsplit(".", 1)[0] for name in dense.state_dict().keys() - own.state_dict().keys()}
    assert changed == set(decomposed)
    for name in decomposed:
        depthwise, _, pointwise = own.get_submodule(name).children()
        whole = dense.get_submodule(name)
        assert isinstance(depthwise, type(whole))
        assert isinstance(whole, (nn.Conv2d, nn.ConvTranspose2d))
        assert isinstance(pointwise, nn.Conv2d)
        assert depthwise.kernel_size == whole.kernel_size
        assert depthwise.groups == depthwise.in_channels == whole.in_channels
        assert (pointwise.kernel_size, pointwise.out_channels) == ((1, 1), whole.out_channels)
    picture = torch.empty(1, 3, 16, 16, device="meta")
    assert own(picture).shape == dense(picture).shape == picture.shape


def test_instance_normalisation_has_no_state() -> None:
    generator = build_skeleton(GeneratorSpec(widths=4, block="separable", size=16))
    assert {name.rsplit(".", 1)[1] for name in generator.state_dict()} == {"weight", "bias"}
    assert not [m for m in generator.modules() if isinstance(m, nn.InstanceNorm2d) and list(m.parameters())]


@pytest.mark.parametrize("block", ["dense", "separable"])
def test_batch_normalisation_takes_the_same_places(block: str) -> None:
    instance, batch = (
        build_skeleton(GeneratorSpec.model_validate({"widths": 4, "block": block, "norm": norm, "size": 16}))
        for norm in ("instance", "batch")
    )

    def places(generator: Generator, kind: type[nn.Module]) -> list[str]:
        return [name for name, module in generator.named_modules() if isinstance(module, kind)]

    assert places(batch, nn.BatchNorm2d) == places(instance, nn.InstanceNorm2d)
    assert not places(batch, nn.InstanceNorm2d)
    own = {f"{name}.{key}" for name in places(batch, nn.BatchNorm2d) for key in BATCH_NORM}
    # Convolutions keep their bias with either norm.
    assert batch.state_dict().keys() - instance.state_dict().keys() == own
    assert instance.state_dict().keys() <= batch.state_dict().keys()


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
