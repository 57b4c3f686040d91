"""A foreign generator and its import produce the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gancomp.convert.discriminators import (
    DiscriminatorShape,
    convert_discriminator,
    detect_discriminator,
    load_discriminator,
)
from gancomp.convert.generators import convert, detect, load_original
from gancomp.convert.telling import assumed, describe
from gancomp.errors import GancompError
from gancomp.nets import load_generator
from gancomp.nets.discriminators import MultiscaleDiscriminator, PatchDiscriminator
from gancomp.spec import GeneratorSpec
from tests.convert.foreign import (
    Resnet,
    Spade,
    Unet,
    lively,
    multiscale_patch_gan,
    multiscale_scores,
    patch_gan,
    pixel_gan,
    saved,
)
from tests.elastic import zoo

UNEVEN = (4, 3, 5, 2, 6, 3, 2, 5)


def photos(channels: int, size: tuple[int, int]) -> Tensor:
    return 2 * torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1)) - 1


def compare(foreign: nn.Module, converted: Path, x: Tensor) -> tuple[float, bool]:
    """The largest difference of pictures in [-1, 1], and whether the foreign picture would show one."""
    with torch.inference_mode():
        expected = foreign(x.clone())  # a U-Net changes its input in place
        shows = bool(expected.std() > 0.05 and expected.abs().median() < 0.95)
        return float((load_generator(converted)(x) - expected).abs().max()), shows


def same_pictures(foreign: nn.Module, folder: Path, x: Tensor, **options: Any) -> GeneratorSpec:
    path = saved(foreign, folder / "latest_net_G.pth")
    spec = convert(path, folder / "model.safetensors", tuple(x.shape[2:]), **options)
    difference, shows = compare(foreign, folder / "model.safetensors", x)
    assert shows
    assert difference < 1e-5
    return spec


# --- ResNet ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    widths=st.tuples(*[st.integers(2, 6)] * 8),
    blocks=st.sampled_from([3, 6, 8, 9, 10]),
    kind=st.sampled_from(["instance", "instance-tracked", "batch"]),
    dropout=st.booleans(),
    separable=st.booleans(),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
)
def test_resnets(
    tmp_path_factory: pytest.TempPathFactory, widths: Any, blocks: int, kind: str, inputs: int, outputs: int, **how: Any
) -> None:
    foreign = Resnet(widths, blocks, kind, inputs=inputs, outputs=outputs, **how)
    if kind == "instance-tracked":  # the networks that wrote such files did not read their statistics
        for layer in foreign.modules():
            if isinstance(layer, nn.InstanceNorm2d):
                layer.track_running_stats = False
    path = saved(lively(foreign), tmp_path_factory.mktemp("resnet") / "net.pth")
    for layer in foreign.modules():
        if isinstance(layer, nn.InstanceNorm2d):
            layer.running_mean = layer.running_var = None
    spec = convert(path, path.with_name("model.safetensors"), (16, 12))
    assert spec == GeneratorSpec(
        family="resnet",
        block="separable" if how["separable"] else "dense",
        widths=widths,
        size=(16, 12),
        in_channels=inputs,
        out_channels=outputs,
        blocks=blocks,
        norm="batch" if kind == "batch" else "instance",
    )
    difference, shows = compare(foreign, path.with_name("model.safetensors"), photos(inputs, (16, 12)))
    assume(shows)
    assert difference < 1e-5


def test_the_file_of_a_cyclegan(tmp_path: Path) -> None:
    spec = same_pictures(lively(Resnet((8,) * 8)), tmp_path, photos(3, (16, 16)))
    assert describe(spec) == "a dense resnet with 9 blocks and instance norm, widths 8, 3 → 3 channels"


def test_the_older_subnetworks_of_gan_compression(tmp_path: Path) -> None:
    def legacy(*inner: int) -> nn.Module:
        return lively(Resnet((2, 2, 2, *inner, 2, 2), dropout=True, separable=True, legacy=True))

    with pytest.raises(GancompError, match=r"blocks of 4, 8, 8 channels in one group, .* \(legacy\) .* use a newer"):
        detect(saved(legacy(2, 1, 2), tmp_path / "net.pth"))
    assert same_pictures(legacy(2, 2, 2), tmp_path, photos(3, (16, 16))).widths == (2,) * 8


# --- U-Net -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["instance", "batch"])
@pytest.mark.parametrize(("downs", "dropout", "inputs"), [(5, True, 3), (6, False, 1)])
def test_unets(tmp_path: Path, kind: str, downs: int, dropout: bool, inputs: int) -> None:
    # The innermost level of an instance norm needs more than one pixel to have a variance.
    x = photos(inputs, (2**downs, 2 ** (downs + 1)))
    spec = same_pictures(lively(Unet(2, downs, kind, dropout, inputs)), tmp_path, x)
    assert (spec.family, spec.widths, spec.downs, spec.norm) == ("unet", (2,) * 8, downs, kind)
    assert (spec.in_channels, spec.out_channels) == (inputs, 3)


@pytest.mark.parametrize("foreign", [Resnet(UNEVEN, 6, "none"), Unet(3, 5, "none")])
def test_no_norm_is_told_from_instance_norm_by_the_biases(tmp_path: Path, foreign: nn.Module) -> None:
    lively(foreign)
    with torch.no_grad():
        for parameter in foreign.parameters():  # else tanh leaves black and white alone
            parameter *= 0.8
    spec = same_pictures(foreign, tmp_path, photos(3, (32, 64)))
    assert spec.norm == "none"
    assert assumed(spec)[0].startswith("no norm")
    path = tmp_path / "latest_net_G.pth"
    assert detect(path, norm="instance")[0].norm == "instance"
    assert load_original(path, spec).spec.norm == "none"
    with pytest.raises(GancompError, match=r"configuration needs generator\.norm: none \(not instance\)"):
        load_original(path, GeneratorSpec.model_validate(spec.model_dump() | {"norm": "instance"}))
    with pytest.raises(GancompError, match="--norm batch: the file has the tensors of none norm"):
        detect(path, norm="batch")


@pytest.mark.parametrize("kind", ["batch", "none"])
def test_mobile_resnets_have_instance_norm_between_whatever_their_norm(tmp_path: Path, kind: str) -> None:
    foreign = lively(Resnet(UNEVEN, 6, kind, separable=True, between="instance"))
    x = photos(3, (32, 64))
    with torch.no_grad():  # else tanh leaves black and white alone
        written = foreign.model[:-1](x)
        for parameter in foreign.model[-2].parameters():
            parameter /= 2 * written.std()
    spec = same_pictures(foreign, tmp_path, x)
    assert (spec.norm, spec.between) == (kind, "instance")


@pytest.mark.parametrize("foreign", [Resnet(UNEVEN, 6, "batch"), Unet(3, 5)])
def test_batch_norm_by_the_statistics_of_each_picture(tmp_path: Path, foreign: nn.Module) -> None:
    """As pix2pix's test.py runs it: in training mode, one picture at a time."""
    path = saved(lively(foreign), tmp_path / "latest_net_G.pth")
    x = photos(3, (64, 64))
    assert convert(path, tmp_path / "ours.safetensors", (64, 64), statistics="batch").statistics == "batch"
    with torch.inference_mode():
        running = foreign(x.clone())
        expected = torch.cat([foreign.train()(picture[None].clone()) for picture in x])
        ours = load_generator(tmp_path / "ours.safetensors")(x)
    assert (expected - running).abs().mean() > 1e-3
    assert torch.allclose(ours, expected, atol=1e-5)
    declared = GeneratorSpec.model_validate(detect(path, (64, 64))[0].model_dump())
    assert "statistics" not in declared.model_dump()
    with pytest.raises(GancompError, match=r"configuration needs original\.statistics: batch \(not running\)"):
        load_original(tmp_path / "ours.safetensors", declared)


AFFINE = {
    "resnet": lambda kind: Resnet(UNEVEN, 3, kind),
    "mobile": lambda kind: Resnet(UNEVEN, 3, kind, separable=True),
}


@pytest.mark.parametrize("build", AFFINE.values(), ids=AFFINE)
def test_affine_instance_norm_is_batch_norm_by_each_pictures_own_statistics(
    tmp_path: Path, build: Callable[[str], nn.Module]
) -> None:
    foreign = lively(build("instance-affine"))
    spec = same_pictures(foreign, tmp_path, photos(3, (64, 64)))  # two pictures at once
    assert (spec.norm, spec.statistics) == ("batch", "batch")
    path = tmp_path / "latest_net_G.pth"
    assert detect(path, (64, 64), norm="instance")[0] == spec
    with pytest.raises(GancompError, match=r"statistics: running: its norms have none \(affine instance norm\)"):
        detect(path, statistics="running")
    assert load_original(path, spec).spec == spec
    by_default = spec.model_copy(update={"statistics": "running"})
    by_default = GeneratorSpec.model_validate(by_default.model_dump())
    with pytest.raises(GancompError, match=r"configuration needs original\.statistics: batch \(not running\)"):
        load_original(path, by_default)


@pytest.mark.parametrize("build", AFFINE.values(), ids=AFFINE)
def test_statistics_of_affine_instance_norm_are_asked_for(tmp_path: Path, build: Callable[[str], nn.Module]) -> None:
    """In evaluation mode it draws by the running ones, and in training mode, pix2pix's usual, by each picture's own."""
    foreign, x = lively(build("instance-affine-tracked")), photos(3, (64, 64))
    path = saved(foreign, tmp_path / "latest_net_G.pth")
    asked = "Set which statistics it uses: --statistics running .* or batch"
    for norm in (None, "instance", "batch"):
        with pytest.raises(GancompError, match=asked):
            detect(path, norm=norm)
    running = same_pictures(foreign, tmp_path, x, statistics="running")
    own = convert(path, tmp_path / "own.safetensors", (64, 64), statistics="batch")
    with torch.inference_mode():
        expected = foreign.train()(x.clone())
        assert (expected - foreign.eval()(x.clone())).abs().mean() > 1e-3
        assert torch.allclose(load_generator(tmp_path / "own.safetensors")(x), expected, atol=1e-5)
    by_default = GeneratorSpec.model_validate(running.model_dump())
    with pytest.raises(GancompError, match=asked):
        load_original(path, by_default)
    for spec in (running, own):
        assert load_original(path, spec).spec == spec


@pytest.mark.parametrize("kind", ["instance-affine", "instance-affine-tracked"])
def test_unets_of_affine_instance_norm_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(GancompError, match=r"is a U-Net with affine instance norm .* train it with --norm instance or"):
        detect(saved(Unet(3, 5, kind), tmp_path / "net.pth"))


# --- SPADE -------------------------------------------------------------------------------------


def label_maps(more: bool) -> Tensor:
    size = (2, 128, 192) if more else (2, 64, 96)
    labels = nn.functional.one_hot(torch.randint(5, size, generator=torch.Generator().manual_seed(2)), 5)
    return labels.permute(0, 3, 1, 2).float()


def not_black_and_white(foreign: Spade, x: Tensor) -> None:
    """Narrow what the last convolution writes to where tanh leaves differences."""
    written: list[Tensor] = []
    hook = foreign.conv_img.register_forward_hook(lambda *call: written.append(call[-1]))
    with torch.no_grad():
        foreign.eval()(x)
        for parameter in foreign.conv_img.parameters():
            parameter /= 2 * written[-1].std()
    hook.remove()


@pytest.mark.parametrize("more", [True, False])
def test_published_spade_subnetworks_of_mixed_widths(tmp_path: Path, more: bool) -> None:
    """They keep statistics of all channels of the network that they were cut from."""
    widths = (2, 1, 3, 1, 2, 3, 1, 2)
    foreign = lively(Spade(widths, 5, more, spectral=False, separable="instance", whole=3))
    assert foreign.head_0.norm_1.param_free_norm.running_mean.shape == (48,)
    assert foreign.head_0.conv_0.out_channels == 16
    not_black_and_white(foreign, label_maps(more))
    upsampling = "more" if more else "normal"
    spec = same_pictures(foreign, tmp_path, label_maps(more), upsampling=upsampling, norm="instance")
    assert spec.widths == widths


def test_a_published_spade_subnetwork_that_widens_is_refused(tmp_path: Path) -> None:
    foreign = Spade((1, 1, 1, 1, 1, 3, 1, 1), 5, False, spectral=False, separable="instance", whole=3)
    with pytest.raises(GancompError, match=r"from 8 to 12 channels within up_1, .* no more output channels than input"):
        detect(saved(foreign, tmp_path / "net.pth"), upsampling="normal", norm="instance")


def test_a_separable_spade_file_does_not_say_its_norm(tmp_path: Path) -> None:
    path = saved(Spade((1,) * 8, 4, True, False, "instance"), tmp_path / "net.pth")
    with pytest.raises(GancompError, match=r"set --norm instance .* or none"):
        detect(path, upsampling="more")


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize(
    ("widths", "spectral", "separable", "free"),
    [
        ((2,) * 8, True, "", "batch"),
        ((2,) * 8, True, "", "instance"),
        ((2, 1, 2, 1, 2, 1, 2, 1), False, "instance", "batch"),
        ((2, 1, 2, 1, 2, 1, 2, 1), False, "none", "batch"),
    ],
)
def test_spade_generators(tmp_path: Path, more: bool, widths: Any, spectral: bool, separable: str, free: str) -> None:
    foreign = lively(Spade(widths, 5, more, spectral, separable, free=free))
    x = label_maps(more)
    with torch.no_grad():
        foreign.train()(x)  # one step of the power iteration and of the statistics, as training leaves them
    not_black_and_white(foreign, x)
    upsampling = "more" if more else "normal"
    spec = same_pictures(foreign.eval(), tmp_path, x, upsampling=upsampling, norm=separable or None)
    assert (spec.norm, spec.between) == (free, separable or "instance")
    assert (spec.family, spec.widths, spec.in_channels, spec.upsampling) == ("spade", widths, 5, upsampling)
    assert spec.block == ("separable" if separable else "dense")


def test_a_spade_file_does_not_say_how_often_it_doubles(tmp_path: Path) -> None:
    path = saved(Spade((1,) * 8, 4, more=True), tmp_path / "net.pth")
    with pytest.raises(GancompError, match=r"net\.pth: a SPADE file does not contain .* --upsampling normal"):
        detect(path, (64, 64))


@pytest.mark.parametrize(("spectral", "separable"), [(True, ""), (False, "instance")])
def test_a_spade_with_as_many_hidden_channels_in_every_block(tmp_path: Path, spectral: bool, separable: str) -> None:
    """SPADE's own has 128 at any ngf; twice the width is usual at 64 alone."""
    foreign = lively(Spade((2,) * 8, 5, False, spectral, separable, hidden=7))
    with torch.no_grad():
        foreign.train()(label_maps(False))
    not_black_and_white(foreign, label_maps(False))
    spec = same_pictures(foreign, tmp_path, label_maps(False), upsampling="normal", norm=separable or None)
    assert spec.hidden == 7
    assert "with 7 hidden channels, widths 2, 5 → 3" in describe(spec)
    usual = GeneratorSpec.model_validate(spec.model_dump() | {"hidden": None})
    assert "hidden" not in usual.model_dump()
    with pytest.raises(GancompError, match=r"needs teacher\.hidden: 7 \(not None\)$"):
        load_original(tmp_path / "latest_net_G.pth", usual, "teacher")
    assert load_original(tmp_path / "latest_net_G.pth", spec).spec == spec


def test_a_spade_whose_blocks_have_other_hidden_channels_is_refused(tmp_path: Path) -> None:
    foreign = Spade((2,) * 8, 4, more=False)
    foreign.up_2 = Spade((2,) * 8, 4, more=False, hidden=7).up_2
    with pytest.raises(GancompError, match=r"looks like a dense spade generator.* is \(.*7.*\), but .* need \(.*4.*\)"):
        detect(saved(foreign, tmp_path / "net.pth"), (64, 64), "normal")


def test_spade_variants_that_are_not_known_are_named(tmp_path: Path) -> None:
    foreign = Spade((1,) * 8, 4, more=False)
    tensors = foreign.state_dict()
    for change, told in [
        ({"fc.weight": torch.zeros(16, 4)}, "style vector"),
        ({"up_4.conv_0.weight": torch.zeros(1, 1, 3, 3)}, "doubles seven times"),
        ({"up_0.conv_0.weight_u": torch.zeros(3)}, r"up_0\.conv_0\.weight_orig needs .*weight_u"),
        ({"head_0.conv_0.weight_orig": torch.zeros(16, 16, 3, 3)}, "spectral norm of zero"),
        ({"up_0.norm_0.style.weight": torch.zeros(3)}, r"unknown tensors for its layout: up_0\.norm_0\.style\.weight$"),
    ]:
        torch.save(tensors | change, tmp_path / "net.pth")
        with pytest.raises(GancompError, match=told):
            detect(tmp_path / "net.pth", (64, 64), "normal")


# --- variants of files -------------------------------------------------------------------------


def test_old_formats_other_types_and_parallel_training(tmp_path: Path) -> None:
    foreign = lively(Resnet(UNEVEN, 3))
    legacy = saved(foreign, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    wrapped = saved(nn.DataParallel(foreign), tmp_path / "parallel.pth")
    half = saved(lively(Resnet(UNEVEN, 3)).half(), tmp_path / "half.pth")
    spec, expected = detect(legacy, (16, 16))
    for path in (wrapped, half):
        again, tensors = detect(path, (16, 16))
        assert again == spec
        assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
        assert all(torch.allclose(tensors[name], expected[name], atol=1e-2) for name in expected)


def test_the_size_is_ours_to_say_and_must_fit(tmp_path: Path) -> None:
    path = saved(Resnet((1,) * 8, 3), tmp_path / "net.pth")
    assert detect(path)[0].size == (256, 256)
    with pytest.raises(GancompError, match=r"net\.pth: size 30x32: both sides must be multiples of 4"):
        detect(path, (30, 32))


def test_a_converted_file_stays_what_it_is(tmp_path: Path) -> None:
    path = saved(lively(Resnet(UNEVEN, 3)), tmp_path / "net.pth")
    spec = convert(path, tmp_path / "model.safetensors", (16, 24))
    again, tensors = detect(tmp_path / "model.safetensors")
    assert again == spec
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in detect(path)[1].items())


# --- instead of training -----------------------------------------------------------------------


def test_an_original_is_what_the_configuration_declares(tmp_path: Path) -> None:
    foreign = lively(Resnet((4,) * 8, 6))
    path = saved(foreign, tmp_path / "net.pth")
    spec = GeneratorSpec(widths=4, blocks=6, size=16)
    generator = load_original(path, spec)
    assert not generator.training
    assert generator.spec == spec
    x = photos(3, (16, 16))
    with torch.inference_mode():
        assert torch.allclose(generator(x), foreign(x), atol=1e-5)


def test_an_original_of_ours_serves_at_another_size(tmp_path: Path) -> None:
    path = saved(lively(Resnet((4,) * 8, 6)), tmp_path / "net.pth")
    convert(path, tmp_path / "model.safetensors", (16, 16))
    spec = GeneratorSpec(widths=4, blocks=6, size=(24, 32))
    assert load_original(tmp_path / "model.safetensors", spec).spec == spec


def test_a_spade_original_doubles_as_declared_or_as_its_own_file_says(tmp_path: Path) -> None:
    path = saved(lively(Spade((1,) * 8, 4, more=True)), tmp_path / "net.pth")
    declared = {"family": "spade", "widths": 1, "in_channels": 4, "size": 128}
    more = GeneratorSpec.model_validate(declared | {"upsampling": "more"})
    normal = GeneratorSpec.model_validate(declared | {"upsampling": "normal"})
    for spec in (more, normal):
        assert load_original(path, spec).spec == spec
    convert(path, tmp_path / "model.safetensors", more.size, "more")
    with pytest.raises(GancompError, match=r"needs generator\.upsampling: more \(not normal\)$"):
        load_original(tmp_path / "model.safetensors", normal)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"blocks": 9}, r"generator\.blocks: 6 \(not 9\)"),
        ({"norm": "batch"}, r"generator\.norm: instance \(not batch\)"),
        ({"widths": 8}, r"teacher\.widths: 4 \(not 8\)"),
        ({"widths": (4, 4, 4, 4, 4, 4, 4, 2)}, r"teacher\.widths: 4 \(not 4_4_4_4_4_4_4_2\)"),
        ({"block": "separable"}, r"teacher\.block: dense \(not separable\)"),
        ({"in_channels": 1}, r"input channels: 3 \(not 1\)"),
        ({"family": "unet", "downs": 4}, r"generator\.family: resnet \(not unet\)"),
        ({"blocks": 9, "widths": 2}, r"generator\.blocks: 6 \(not 9\); teacher\.widths: 4 \(not 2\)"),
    ],
)
def test_another_original_is_refused_and_the_keys_named(tmp_path: Path, declared: dict[str, Any], told: str) -> None:
    path = saved(Resnet((4,) * 8, 6), tmp_path / "net.pth")
    spec = GeneratorSpec.model_validate({"widths": 4, "blocks": 6, "size": 32} | declared)
    with pytest.raises(GancompError, match=rf"net\.pth: is a dense resnet with 6 blocks .* needs {told}$"):
        load_original(path, spec, "teacher")


# --- discriminators ----------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "ndf", "layers"), [(6, 4, 3), (3, 3, 2), (4, 2, 5)])
@pytest.mark.parametrize("kind", ["instance", "instance-tracked"])
def test_discriminators(tmp_path: Path, channels: int, ndf: int, layers: int, kind: str) -> None:
    foreign = lively(patch_gan(channels, ndf, layers, kind))
    path = saved(foreign, tmp_path / "latest_net_D.pth")
    assert convert_discriminator(path, tmp_path / "ours.safetensors") == DiscriminatorShape(channels, ndf, layers)
    assert detect_discriminator(tmp_path / "ours.safetensors")[0] == DiscriminatorShape(channels, ndf, layers)
    x = photos(channels, (128, 128))
    for source in (path, tmp_path / "ours.safetensors"):
        ours = PatchDiscriminator(channels, ndf, layers)
        load_discriminator(ours, source)
        with torch.inference_mode():
            scores = ours(x)
            assert scores.std() > 0.01
            for layer in foreign.modules():
                if isinstance(layer, nn.InstanceNorm2d):
                    layer.running_mean = layer.running_var = None
                    layer.track_running_stats = False
            assert torch.allclose(scores, foreign.model(x), atol=1e-5)


@pytest.mark.parametrize(("layers", "scales"), [(4, 2), (2, 3)])
def test_discriminators_of_gaugan(tmp_path: Path, layers: int, scales: int) -> None:
    foreign = lively(multiscale_patch_gan(7, 3, layers, scales))
    path = saved(foreign, tmp_path / "latest_net_D.pth")
    shape = DiscriminatorShape(7, 3, layers, scales)
    assert convert_discriminator(path, tmp_path / "ours.safetensors") == shape
    assert detect_discriminator(tmp_path / "ours.safetensors")[0] == shape
    ours = MultiscaleDiscriminator(7, 3, layers, scales).eval()
    load_discriminator(ours, path)
    x = photos(7, (64, 96))
    with torch.inference_mode():
        for found, expected in zip(ours(x), multiscale_scores(foreign, x), strict=True):
            assert expected.std() > 0.01
            assert torch.allclose(found[-1], expected, atol=1e-5)


def test_other_discriminators_are_refused(tmp_path: Path) -> None:
    for foreign, told in [
        (patch_gan(6, 4, 3, "batch"), "with batch norm; only instance norm is supported"),
        (patch_gan(6, 4, 3, "none"), "without norm"),
        (pixel_gan(6, 4, "batch"), "of single pixels .*; only PatchGANs are supported"),
        (pixel_gan(6, 4, "instance"), "of single pixels .*; only PatchGANs are supported"),
    ]:
        with pytest.raises(GancompError, match=rf"D\.pth: is a discriminator {told}.*: leave it out; students then"):
            detect_discriminator(saved(foreign, tmp_path / "D.pth"))
    path = saved(patch_gan(6, 4, 3), tmp_path / "D.pth")
    with pytest.raises(GancompError, match=r"with 6 input channels, ndf 4 and 3 layers; the configuration"):
        load_discriminator(PatchDiscriminator(3, 4, 3), path)
    with pytest.raises(GancompError, match=r"D\.pth: is a discriminator"):
        detect(path)
    with pytest.raises(GancompError, match=r"G\.pth: has tensors of no known discriminator"):
        detect_discriminator(saved(Unet(2, 5), tmp_path / "G.pth"))
    with pytest.raises(GancompError, match=r"G\.pth: is not a PatchGAN|G\.pth: has tensors of no known"):
        detect_discriminator(saved(Resnet((1,) * 8, 3), tmp_path / "G.pth"))


# --- residual generators that have no family ---------------------------------------------------


class Named(nn.Module):
    """A network as its authors keep it: one Sequential called `model`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model(x)
        return out


@pytest.mark.parametrize(
    ("foreign", "told"),
    {
        "cut": (lambda: zoo.cut(4, 5), {"downs": 2, "blocks": 5, "blurred_down": True, "blurred_up": True}),
        "pix2pixHD, 1 halving": (lambda: zoo.pix2pixhd(4, 1, 3), {"downs": 1, "blurred_up": False}),
        "pix2pixHD, 3 halvings": (lambda: zoo.pix2pixhd(4, 3, 2), {"downs": 3, "blocks": 2}),
        "pix2pixHD, 4 halvings": (lambda: zoo.pix2pixhd(2, 4, 1), {"downs": 4, "norm": "instance"}),
    }.values(),
)
@torch.no_grad()
def test_residual_generators_of_cut_and_pix2pixhd(
    tmp_path: Path, foreign: Callable[[], nn.Module], told: dict[str, Any]
) -> None:
    """Recognised by their tensors alone, without a builder being named."""
    torch.manual_seed(2)
    theirs = Named(foreign()).eval()
    torch.save(theirs.state_dict(), tmp_path / "net_G.pth")
    spec, _ = detect(tmp_path / "net_G.pth", (32, 48))
    assert spec.network
    assert spec.network.keywords().items() >= told.items()
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    ours = load_original(tmp_path / "net_G.pth", spec)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)
    convert(tmp_path / "net_G.pth", tmp_path / "own.safetensors", (32, 48))
    torch.testing.assert_close(load_generator(tmp_path / "own.safetensors")(x), theirs(x), rtol=0, atol=1e-5)


def test_no_norm_of_such_a_generator_has_to_be_said(tmp_path: Path) -> None:
    torch.save(Named(zoo.pix2pixhd(4, 3, 2)).state_dict(), tmp_path / "net_G.pth")
    spec, _ = detect(tmp_path / "net_G.pth", (32, 32), norm="none")
    assert spec.norm == "none"
    with pytest.raises(GancompError, match="--norm batch: the file has the tensors of instance norm"):
        detect(tmp_path / "net_G.pth", (32, 32), norm="batch")


def test_blocks_where_no_such_generator_has_them_are_refused(tmp_path: Path) -> None:
    tensors = {
        f"model.{11 + int(at)}.{rest}": t
        for name, t in zoo.pix2pixhd().state_dict().items()
        for at, _, rest in [name.partition(".")]
    }
    torch.save(tensors, tmp_path / "net_G.pth")
    with pytest.raises(GancompError, match=r"residual blocks at 24, 25 .* unlike CUT's and pix2pixHD's"):
        detect(tmp_path / "net_G.pth")
