"""One threshold of the norms' scales: that it is the least that meets the budget, and what is left above it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gancomp import builders
from gancomp.deploy.formats import Differences, export_generator, random_inputs
from gancomp.deploy.runtimes import on_pytorch, open_model
from gancomp.elastic.listing import list_groups
from gancomp.elastic.reading import by_groups, read_network
from gancomp.elastic.threshold import Remainder, above_threshold
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import Generator, build_generator, load_generator, save_generator
from gancomp.spec import GeneratorSpec
from tests.strategies import lively, pictures

ZOO = "tests.elastic.zoo:build"
SPECS: dict[str, dict[str, Any]] = {
    "inception": {"widths": 4, "block": "inception", "norm": "affine", "size": 16, "blocks": 3},
    "inception of batch norm": {"widths": 4, "block": "inception", "norm": "batch", "size": "12x16", "blocks": 4},
    "separable": {"widths": (3, 4, 5, 2, 4, 3, 3, 4), "block": "separable", "norm": "affine", "size": 12, "blocks": 3},
    "unet": {"family": "unet", "widths": 4, "size": 32, "downs": 5},
}
INCEPTION = GeneratorSpec.model_validate(SPECS["inception"])
BRANCHES = ["dense1", "dense3", "dense5", "depthwise1", "depthwise3", "depthwise5"]


def left_of(whole: Generator, macs: float, least: int = 2) -> Remainder:
    return above_threshold(whole.state_dict(), whole.spec, macs, least)


def loaded(left: Remainder) -> Generator:
    """What is left as a generator; loading asserts names and shapes."""
    generator = build_generator(left.spec)
    generator.load_state_dict(left.tensors)
    return generator.to(next(iter(left.tensors.values())).dtype).eval()


def scaling_norms(spec: GeneratorSpec) -> list[str]:
    """The norm whose scales are those of each group of *spec*'s generator, in order: by its architecture."""
    if spec.family == "unet":
        downs = [f"down.{level}.norm" for level in range(1, spec.downs - 1)]
        return [*downs, *(f"up.{level}.norm" for level in reversed(range(1, spec.downs)))]
    inner = []
    for group, count in enumerate(spec.groups, start=1):
        for block in range(count):
            if spec.block == "inception":
                place = f"blocks{group}.{block}.branches.{{}}.layers.{{}}"
                inner += [place.format(name, 2 if name.startswith("dense") else 1) for name in BRANCHES]
            else:
                inner.append(f"blocks{group}.{block}.branch.2")
    return ["stem.2", "down1.1", "down2.1", *inner, "up1.1", "output.1"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.12])
def test_the_threshold_is_the_least_of_all_that_meet_the_budget(name: str, share: float) -> None:
    """Against every threshold that there is, with the scales of the norms that the method names."""
    spec = GeneratorSpec.model_validate(SPECS[name])
    whole = lively(spec)
    scales = [whole.state_dict()[f"{norm}.weight"].abs() for norm in scaling_norms(spec)]
    every = by_groups(spec)
    unscaled = [at for at, width in enumerate(every.width_names) if width.endswith(("down.0.conv", "down.4.conv"))]
    assert len(scales) == len(every.widths) - len(unscaled)

    def widths(threshold: float) -> tuple[int, ...]:
        counts = []
        for of_group, own in zip(scales, scaling_norms(spec), strict=True):
            kept = sum(float(scale) > threshold for scale in of_group)
            counts.append(kept if "branches" in own else max(kept, 2))
        for at in unscaled:  # no norm reads the outermost and the innermost level of a unet
            counts.insert(at, every.widths[at])
        return tuple(counts)

    budget = profile(spec).macs * share
    met = []
    for threshold in [-1.0, *torch.cat(scales).tolist()]:
        counted = profile(every.with_widths(widths(threshold))).macs
        met += [(counted, widths(threshold))] if counted <= budget else []
    if not met:
        with pytest.raises(GancompError, match=r"distill\.prune\.least"):
            left_of(whole, budget)
        return
    left = left_of(whole, budget)
    assert left.spec.widths == max(met)[1]
    assert profile(left.spec).macs <= budget


@pytest.mark.parametrize("name", SPECS)
def test_counts_are_those_of_the_network_that_is_left(name: str) -> None:
    whole = lively(GeneratorSpec.model_validate(SPECS[name]))
    left = left_of(whole, profile(whole.spec).macs * 0.4, least=1)
    generator = loaded(left)
    counted = profile(left.spec)
    assert counted.params == sum(parameter.numel() for parameter in generator.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        generator(pictures(left.spec, count=1))
    assert counted.macs == counter.get_total_flops() / 2


@pytest.mark.parametrize("name", SPECS)
def test_a_budget_that_is_met_prunes_nothing(name: str) -> None:
    whole = lively(GeneratorSpec.model_validate(SPECS[name])).double()
    left = left_of(whole, math.inf)
    assert profile(left.spec).macs == profile(whole.spec).macs
    x = pictures(whole.spec).double()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(left)(x), whole(x), rtol=1e-6, atol=1e-8)


def without(whole: Generator, gone: dict[str, list[int]]) -> None:
    """Set scale and shift of the channels *gone* of each norm to 0, in place."""
    for norm, channels in gone.items():
        layer: Any = whole.get_submodule(norm)
        with torch.no_grad():
            layer.weight[channels] = 0
            layer.bias[channels] = 0


def silenced(spec: GeneratorSpec) -> tuple[Generator, int]:
    """An inception generator some of whose channels contribute nothing, all of two branches and of one block among
    them; and how many branches those are."""
    whole = lively(spec).double()
    branch = len(whole.state_dict()["blocks1.0.branches.dense1.layers.2.weight"])
    blocks = [f"blocks{group}.{block}" for group, count in enumerate(spec.groups, 1) for block in range(count)]
    gone = {"stem.2": [0, 2], "down1.1": [1], "up1.1": [3, 5], "output.1": [0]}
    # A channel of the trunk is what down2 and all blocks add to it.
    gone |= {"down2.1": [4, 7]} | {f"{block}.norm": [4, 7] for block in blocks}
    vanished = [(blocks[0], "dense3"), (blocks[1], "depthwise5"), *((blocks[2], name) for name in BRANCHES)]
    for block in blocks:
        for name in BRANCHES:
            channels = list(range(branch)) if (block, name) in vanished else [0]
            norms = [2] if name.startswith("dense") else [1, 5]
            gone |= {f"{block}.branches.{name}.layers.{at}": channels for at in norms}
    without(whole, gone)
    return whole, len(vanished)


@pytest.mark.parametrize("norm", ["affine", "batch"])
def test_without_what_contributes_nothing_the_pictures_are_the_same(norm: Any) -> None:
    whole, vanished = silenced(INCEPTION.model_copy(update={"norm": norm}))
    left = left_of(whole, profile(whole.spec).macs * 0.75, least=1)
    assert left.threshold == 0
    assert left.spec.widths.count(0) == vanished
    x = pictures(whole.spec).double()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(left)(x), whole(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("to", ["onnx", "torch"])
@pytest.mark.parametrize("norm", ["affine", "batch"])
def test_what_vanished_is_not_exported(tmp_path: Path, norm: Any, to: Any) -> None:
    left = left_of(silenced(INCEPTION.model_copy(update={"norm": norm}))[0].float(), profile(INCEPTION).macs * 0.75)
    model = tmp_path / "model.safetensors"
    save_generator(model, loaded(left), experiment="mine", stage="distill", signature="s")
    out = export_generator(model, to)
    if to == "onnx":
        opened, inputs = open_model(out, numbers="exact"), random_inputs(left.spec, left.spec.size, 3)
        assert Differences.between(on_pytorch(load_generator(model)), opened.run, inputs).max <= 1


def test_what_is_left_comes_back_from_its_file_and_learns(tmp_path: Path) -> None:
    left = left_of(silenced(INCEPTION)[0].float(), profile(INCEPTION).macs * 0.75)
    save_generator(tmp_path / "model.safetensors", loaded(left), experiment="mine", stage="distill", signature="s")
    back = load_generator(tmp_path / "model.safetensors")
    assert back.spec == left.spec
    assert back.feature_channels() == [left.spec.widths[2]] * 4
    x = pictures(back.spec)
    with torch.inference_mode():
        torch.testing.assert_close(back(x), loaded(left)(x), rtol=0, atol=0)
    back.train().with_features(x)[0].square().sum().backward()
    learns = {name: parameter.requires_grad for name, parameter in back.named_parameters()}
    assert [name for name, own in learns.items() if not own] == [
        name for name, parameter in back.named_parameters() if parameter.numel() == 0
    ]
    assert all(parameter.grad is not None for parameter in back.parameters() if parameter.requires_grad)


def test_groups_of_what_is_left_are_listed() -> None:
    left = left_of(silenced(INCEPTION)[0].float(), profile(INCEPTION).macs * 0.75)
    listed = list_groups(left.spec, left.tensors)
    assert [one.channels for one in listed if not one.reason] == [width for width in left.spec.widths if width > 1]
    assert listed[2].name == listed[2].width == "down2.0"


def test_fresh_weights_at_the_widths_that_are_left() -> None:
    left = left_of(silenced(INCEPTION)[0].float(), profile(INCEPTION).macs * 0.75)
    torch.manual_seed(0)
    fresh = build_generator(left.spec)
    with torch.inference_mode():
        assert fresh(pictures(left.spec)).std() > 0
    assert not torch.equal(fresh.state_dict()["network.stem.1.weight"], left.tensors["network.stem.1.weight"])


def test_kept_channels_lie_in_descending_order_of_their_scales() -> None:
    whole = lively(INCEPTION)
    left = left_of(whole, profile(INCEPTION).macs * 0.5)
    for norm in scaling_norms(INCEPTION):
        before, kept = whole.state_dict()[f"{norm}.weight"].abs(), left.tensors[f"network.{norm}.weight"].abs()
        assert torch.equal(kept, before.sort(descending=True).values[: len(kept)]), norm


# --- networks of one's own, and what cannot be pruned ------------------------------------------


def own(name: str, monkeypatch: pytest.MonkeyPatch) -> GeneratorSpec:
    monkeypatch.setattr(builders, "_allowed", {ZOO})
    network = read_network(ZOO, {"name": name}, (32, 32))
    return GeneratorSpec(family="module", network=network, widths=network.full)


def test_a_network_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lively(own("stargan", monkeypatch))
    left = left_of(whole, profile(whole.spec).macs / 3)
    assert 0 < profile(left.spec).macs <= profile(whole.spec).macs / 3
    assert min(left.spec.widths) >= 2, "nothing of it says that it may vanish"
    with torch.inference_mode():
        assert loaded(left)(pictures(left.spec)).isfinite().all()


def test_a_teacher_that_is_narrower_than_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = own("stargan", monkeypatch)
    whole = lively(spec.with_widths(tuple(width - 2 for width in spec.widths)))
    left = left_of(whole, profile(whole.spec).macs * 0.8)
    assert profile(left.spec).macs <= profile(whole.spec).macs * 0.8
    assert all(own <= width for own, width in zip(left.spec.widths, by_groups(whole.spec).widths, strict=True))
    assert left.spec.widths != by_groups(whole.spec).widths
    with torch.inference_mode():
        assert loaded(left)(pictures(left.spec)).isfinite().all()


def test_norms_without_scales_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these the norms outside the blocks are affine."""
    with pytest.raises(GancompError, match=r"norm after res\.0\.conv_block\.1 has no scales .* affine"):
        left_of(lively(own("johnson", monkeypatch)), 1e6)


def test_a_generator_without_scales_is_told_what_to_do() -> None:
    plain = GeneratorSpec(widths=4, size=16, blocks=3)
    for norm in ("instance", "none"):
        with pytest.raises(GancompError, match=r"generator\.norm: affine or batch"):
            left_of(build_generator(plain.model_copy(update={"norm": norm})), 1e6)


def test_a_budget_below_the_least_is_refused() -> None:
    whole = lively(INCEPTION)
    with pytest.raises(GancompError, match=r"allows 1,000 exact MACs, and [\d,]+ are left .* distill\.prune\.least"):
        left_of(whole, 1000)
    with pytest.raises(GancompError, match=r"what no norm reads stays whole \(down\.0\.conv, down\.4\.conv\); raise"):
        left_of(lively(GeneratorSpec.model_validate(SPECS["unet"])), 1000)


def test_only_branches_vanish() -> None:
    spec = by_groups(INCEPTION)
    assert spec.network
    names = [spec.width_names[at] for at in spec.network.vanishing]
    assert len(names) == 3 * 6
    assert all(".branches." in name for name in names)
    with pytest.raises(ValueError, match=r"width stem\.1 is 0"):
        spec.with_widths((0, *spec.widths[1:]))


def tensors_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_teacher_is_left_as_it_was() -> None:
    whole = lively(INCEPTION)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    generator = loaded(left_of(whole, profile(INCEPTION).macs * 0.5))
    with torch.no_grad():
        for parameter in generator.parameters():
            nn.init.zeros_(parameter)
    assert tensors_equal(whole.state_dict(), before)
