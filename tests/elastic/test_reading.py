"""Networks of other people's make as generators: what is read of them holds at any widths."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

from gancomp import builders
from gancomp.deploy.runtimes import on_onnxruntime
from gancomp.elastic.costs import costs_of
from gancomp.elastic.graph import read_graph
from gancomp.elastic.pruning import prune
from gancomp.elastic.reading import read_network
from gancomp.elastic.slicing import Elastic, extract, pieces_of
from gancomp.elastic.space import Subnet, enumerate_widths
from gancomp.errors import GancompError
from gancomp.measure.macs import profile, totals_of
from gancomp.nets import Generator, build_generator, load_generator, save_generator
from gancomp.nets.module import built_by, plain
from gancomp.network import Network, read_description
from gancomp.search.tree import TreeWalk
from gancomp.spec import Block, GeneratorSpec
from tests.elastic.zoo import ZOO, Residual

#: Of the zoo all that make pictures of the size of their inputs.
OWN = [name for name in ZOO if name not in ("esrgan", "computed")]
BUILDER = "tests.elastic.zoo:build"
SIZE = (32, 32)


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        builders,
        "_allowed",
        {BUILDER, *(f"{__name__}:{name}" for name in ("build_alike", "build_normed", "build_by_values"))},
    )


@lru_cache
def network(name: str) -> Network:
    builders.allow(BUILDER)
    return read_network(BUILDER, {"name": name}, SIZE)


def spec_of(name: str, block: Block = "dense", widths: tuple[int, ...] | None = None) -> GeneratorSpec:
    own = network(name)
    return GeneratorSpec(family="module", network=own, block=block, widths=widths or own.full)


def generator_of(spec: GeneratorSpec) -> Generator:
    """With statistics and scales that no fresh network has."""
    torch.manual_seed(0)
    generator = build_generator(spec).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for key, buffer in generator.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer += 0.3 * torch.rand_like(buffer)
    return generator


def pictures(spec: GeneratorSpec, seed: int = 1) -> Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return torch.rand(2, spec.in_channels, *spec.size, generator=drawn) * 2 - 1


def drawn_widths(data: st.DataObject, full: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(1, width)) for width in full)


@pytest.mark.parametrize("block", ["dense", "separable"])
@pytest.mark.parametrize("name", [*OWN, "computed"])
@settings(deadline=None, max_examples=4)
@given(data=st.data())
@torch.inference_mode()
def test_parameters_and_macs_are_what_is_counted(name: str, block: str, data: st.DataObject) -> None:
    spec = spec_of(name, block, drawn_widths(data, network(name).full))
    generator = build_generator(spec).eval()
    counted = FlopCounterMode(display=False)
    with counted:
        generator(pictures(spec)[:1])
    found = profile(spec)
    (at_once,) = totals_of(spec_of(name, block), np.array([spec.widths]))
    assert (at_once.params, at_once.macs, at_once.macs_paper) == (found.params, found.macs, found.macs_paper)
    assert found.params == sum(parameter.numel() for parameter in generator.parameters())
    assert 2 * found.macs == counted.get_total_flops()


@pytest.mark.parametrize("name", OWN)
@settings(deadline=None, max_examples=3)
@given(data=st.data())
@torch.inference_mode()
def test_a_subnet_is_what_is_extracted_and_what_is_saved(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    spec = spec_of(name, data.draw(st.sampled_from(["dense", "separable"])))
    widths = drawn_widths(data, spec.widths)
    whole, x = generator_of(spec), pictures(spec)
    elastic = Elastic(whole, lambda own: build_generator(spec.with_widths(own)), pieces_of(spec)).eval()
    expected = elastic(x, widths)
    subnet = extract(whole, widths)
    torch.testing.assert_close(subnet(x), expected, rtol=0, atol=0)
    path = tmp_path_factory.mktemp("own") / "subnet.safetensors"
    save_generator(path, subnet, experiment="", stage="subnet", signature="")
    loaded = load_generator(path)
    assert loaded.spec == subnet.spec
    torch.testing.assert_close(loaded(x), expected, rtol=0, atol=0)
    pictures_made, features = loaded.with_features(x)
    assert [feature.shape[1] for feature in features] == loaded.feature_channels()
    assert pictures_made.shape == (2, spec.out_channels, *spec.size)


@pytest.mark.parametrize("name", OWN)
@torch.inference_mode()
def test_it_leaves_as_onnx_without_its_builder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gancomp.deploy.formats import export_generator

    spec = spec_of(name)
    draw = np.random.default_rng(OWN.index(name))
    narrow = extract(generator_of(spec), tuple(int(draw.integers(1, width + 1)) for width in spec.widths))
    save_generator(tmp_path / "model.safetensors", narrow, experiment="", stage="export", signature="")
    exported = export_generator(tmp_path / "model.safetensors", "onnx")
    monkeypatch.setattr(builders, "_allowed", set())
    run, _ = on_onnxruntime(exported)
    x = pictures(spec)[:1]
    torch.testing.assert_close(torch.from_numpy(run(x.numpy())), narrow(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", OWN)
@torch.inference_mode()
def test_walked_together_subnets_are_those_alone(name: str) -> None:
    spec = spec_of(name)
    whole, x = generator_of(spec), pictures(spec)
    space = [(width, max(1, width // 2)) if at % 2 else (width,) for at, width in enumerate(spec.widths)]
    subnets = [
        Subnet(index, widths, profile(spec.with_widths(widths))) for index, widths in enumerate(enumerate_widths(space))
    ]
    calibration = [pictures(spec, seed) for seed in (2, 3)]
    from gancomp.elastic.calibrate import calibrate

    for subnet, made in TreeWalk(whole, calibration)(subnets, x):
        alone = extract(whole, subnet.widths)
        calibrate(alone, calibration)
        torch.testing.assert_close(made, alone(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OWN)
@torch.inference_mode()
def test_pruned_to_its_own_widths_it_is_the_whole(name: str) -> None:
    spec = spec_of(name)
    whole, x = generator_of(spec), pictures(spec)
    student = build_generator(spec).eval()
    student.load_state_dict(prune(whole.state_dict(), spec, spec))
    torch.testing.assert_close(student(x), whole(x), rtol=1e-3, atol=1e-4)


def test_fresh_weights_are_the_builder_s_own() -> None:
    spec = spec_of("johnson")
    torch.manual_seed(3)
    own = plain(built_by(BUILDER, {"name": "johnson"})).state_dict()
    torch.manual_seed(3)
    fresh = build_generator(spec).state_dict()
    assert all(torch.equal(fresh[f"network.{name}"], tensor) for name, tensor in own.items())
    torch.manual_seed(3)
    narrow = build_generator(spec.with_widths((4, 8, 8, 8, 4))).state_dict()["network.conv2.weight"]
    torch.testing.assert_close(narrow, own["conv2.weight"][:8, :4] * 2**0.5)


@pytest.mark.parametrize("name", OWN)
def test_a_fresh_network_is_in_training_mode(name: str) -> None:
    """As any module is that has just been made: batch norm takes its batch's statistics, and dropout drops."""
    assert all(layer.training for layer in build_generator(spec_of(name)).modules())


@pytest.mark.parametrize(
    ("name", "stride", "norm"),
    [("cut", 4, "instance"), ("pix2pixhd 4", 16, "instance"), ("unet", 16, "batch"), ("attention", 1, "none")],
)
def test_sizes_and_norms_are_found(name: str, stride: int, norm: str) -> None:
    found = network(name)
    assert (found.stride, found.norm) == (stride, norm)
    assert found.least % stride == 0


def test_what_is_decomposed_lies_in_residual_branches() -> None:
    assert network("johnson").decomposed == tuple(f"res.{block}.conv_block.{at}" for block in (0, 1) for at in (1, 5))
    assert network("unet").decomposed == ()
    assert network("hard-coded").decomposed == ()


def test_what_is_distilled_is_spread_over_the_network() -> None:
    assert network("johnson").distilled == ("in1", "res.0", "res.1", "in3")


# --- many layers, and layers that are not plain ------------------------------------------------


def build_alike(blocks: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), *(Residual(8) for _ in range(blocks)), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()
    )


@pytest.mark.parametrize(("blocks", "parts"), [(1, (1,)), (2, (1, 1)), (3, (1, 1, 1)), (7, (2, 2, 3)), (9, (3, 3, 3))])
def test_like_groups_in_a_row_become_three_widths(blocks: int, parts: tuple[int, ...]) -> None:
    read = read_network(__name__ + ":build_alike", {"blocks": blocks}, SIZE)
    assert tuple(len(width.groups) for width in read.widths[1:]) == parts
    assert len(set(read.names)) == len(read.names)


class Normed(nn.Module):
    """Spectral norm in both of PyTorch's forms, weight norm, and a buffer that the state dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.spectral_norm(nn.Conv2d(3, 8, 3, padding=1))
        self.second = torch.nn.utils.spectral_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.third = parametrizations.weight_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.last = nn.Conv2d(8, 3, 3, padding=1)
        self.register_buffer("scale", torch.linspace(1, 2, 8).view(1, 8, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.second(F.relu(self.first(x))))
        return torch.tanh(self.last(F.relu(self.third(y)) * self.scale))


def build_normed() -> nn.Module:
    return Normed()


@torch.no_grad()
def test_norms_of_weights_are_folded(tmp_path: Path) -> None:
    from gancomp.convert.generators import load_original

    torch.manual_seed(1)
    trained = build_normed().train()
    for _ in range(3):
        trained(torch.rand(2, 3, *SIZE))
    torch.save(trained.state_dict(), tmp_path / "net.pth")
    read = read_network(__name__ + ":build_normed", {}, SIZE)
    spec = GeneratorSpec(family="module", network=read, widths=read.full)
    loaded, x = load_original(tmp_path / "net.pth", spec), pictures(spec)
    torch.testing.assert_close(loaded(x), trained.eval()(x), rtol=1e-5, atol=1e-6)
    assert not [name for name in loaded.state_dict() if "orig" in name or "parametrizations" in name]
    assert extract(loaded, tuple(width // 2 for width in read.full))(x).isfinite().all()


# --- what is refused ---------------------------------------------------------------------------


def test_another_size_of_pictures_is_refused() -> None:
    with pytest.raises(GancompError, match=r"makes 3x64x64 .* pictures of the same size are needed"):
        read_network(BUILDER, {"name": "esrgan"}, SIZE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "no such"}, "failed .KeyError"),
        ({}, "missing 1 required positional argument"),
        ({"x": 1}, "TypeError"),
    ],
)
def test_a_builder_that_fails_is_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(GancompError, match=rf"builder {BUILDER}: .*{told}"):
        read_network(BUILDER, arguments, SIZE)


def test_no_file_has_code_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint and a description name their builder; it runs where the user names it too."""
    spec = spec_of("hard-coded")
    path = tmp_path / "model.safetensors"
    save_generator(path, build_generator(spec), experiment="", stage="", signature="")
    monkeypatch.setattr(builders, "_allowed", set())
    from gancomp.nets import module

    module.whole_graph.cache_clear()
    with pytest.raises(GancompError, match=rf"built by {BUILDER}, which is code .* gancomp --builder {BUILDER}"):
        load_generator(path)
    assert load_generator(path, builder=BUILDER).spec == spec


@pytest.mark.parametrize("reference", ["os:system", "gancomp.nets.module:torch.load", "gancomp.nets:save_generator"])
def test_what_comes_along_is_named_exactly(reference: str) -> None:
    with pytest.raises(GancompError, match="which is code that runs"):
        builders.find_builder(reference)


@pytest.mark.parametrize(
    ("reference", "told"), [("no.such.module:f", "cannot be imported"), ("os:no_such", "has no function no_such")]
)
def test_a_builder_that_is_not_there_is_told(reference: str, told: str) -> None:
    builders.allow(reference)
    with pytest.raises(GancompError, match=told):
        builders.find_builder(reference)


@pytest.mark.parametrize("arguments", [{"ngf": 10**6}, {"blocks": 10**7}, {"downs": 0}, {"in_channels": -1}])
def test_what_comes_along_builds_nothing_without_bounds(arguments: dict[str, int]) -> None:
    """A hostile file may ask it for anything."""
    with pytest.raises(GancompError, match=rf"ValueError: {next(iter(arguments))} is "):
        read_network("gancomp.nets.residual:build", arguments, SIZE)


def test_a_builder_that_needs_values_is_read_too() -> None:
    read = read_network(__name__ + ":build_by_values", {}, SIZE)
    assert read.full == (8,)


def build_by_values() -> nn.Module:
    """Its channels are computed as no network of shapes alone could be."""
    wide = int(torch.full((), 8).item())
    return nn.Sequential(nn.Conv2d(3, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, 3, 3, padding=1))


def test_another_network_than_was_read_is_told(tmp_path: Path) -> None:
    read = read_network(__name__ + ":build_alike", {"blocks": 3}, SIZE)
    other = read.model_copy(update={"arguments": '{"blocks": 2}'})
    with pytest.raises(GancompError, match="makes another network than the one that was read"):
        build_generator(GeneratorSpec(family="module", network=other, widths=other.full))


def test_a_description_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "own.network.json"
    path.write_text(network("johnson").model_dump_json(indent=1))
    assert read_description(path) == network("johnson")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"norm":"instance"', '"norm":"spectral"', "norm"),
        ('"builder":"tests.', '"builder":"rm -rf .', "builder"),
        ('"arguments":"', '"arguments":"[', "delimiter"),
        ('"widths":[0]', '"widths":[77]', "its costs refer to widths that it does not have"),
        ('{"builder"', '{"more":1,"builder"', "more"),
    ],
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "own.network.json"
    text = network("johnson").model_dump_json()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(GancompError, match=rf"own\.network\.json: .*({told})"):
        read_description(path)


class Modulated(nn.Module):
    """A convolution whose kernel depends on the picture, by a group for each; then attention by torch's function."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.kernel = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.randn(1, 6, 4, 3, 3))
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        n, c, h, w = y.shape
        kernels = (self.kernel * y.mean((2, 3)).view(n, 1, c, 1, 1)).view(n * 6, c, 3, 3)
        z = F.conv2d(y.reshape(1, n * c, h, w), kernels, padding=1, groups=n).view(n, 6, h, w)
        flat = z.flatten(2).transpose(1, 2)
        seen = F.scaled_dot_product_attention(flat, flat, flat)
        return self.last(seen.transpose(1, 2).view(n, 6, h, w))


def test_modulated_convolutions_and_attention_are_counted_for_one_picture() -> None:
    graph = read_graph(Modulated(), (3, 8, 8))
    pixels = 8 * 8
    wanted = pixels * (3 * 4 * 9 + 4 * 6 * 9 + 6 * 3) + 2 * pixels * pixels * 6
    counted = costs_of(graph, {})
    assert sum(term.times for term in counted.macs) == wanted
