"""BatchNorm's statistics estimated anew: cumulative averages, in place, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gancomp.elastic.calibrate import calibrate, has_batch_statistics
from gancomp.elastic.slicing import extract
from gancomp.nets import Generator
from gancomp.spec import GeneratorSpec
from tests.strategies import elastic_specs, lively, pictures

SPECS = [
    GeneratorSpec.model_validate({"widths": 2, "size": 8, "blocks": 3, "norm": "batch", "block": "separable"}),
    GeneratorSpec.model_validate(
        {"family": "spade", "widths": 2, "size": 64, "in_channels": 4, "upsampling": "normal"}
    ),
    GeneratorSpec.model_validate({"family": "unet", "widths": 2, "size": 8, "downs": 3}),
]


@pytest.fixture(params=SPECS, ids=lambda spec: spec.family)
def generator(request: pytest.FixtureRequest) -> Generator:
    return lively(request.param)


def batches(spec: GeneratorSpec, count: int = 3) -> list[Tensor]:
    return [pictures(spec, count=2, seed=seed) for seed in range(count)]


def first_norm(generator: Generator) -> nn.BatchNorm2d:
    return next(module for module in generator.modules() if isinstance(module, nn.BatchNorm2d))


def test_who_has_statistics() -> None:
    assert [has_batch_statistics(lively(spec)) for spec in SPECS] == [True, True, True]
    assert not has_batch_statistics(lively(GeneratorSpec(widths=2, size=8, blocks=3)))


def test_they_are_the_averages_over_the_batches(generator: Generator) -> None:
    """Of what really arrived at every layer, under the statistics of the batch itself."""
    arrived: dict[str, list[tuple[Tensor, Tensor]]] = {}
    hooks = []
    for name, module in generator.named_modules():
        if isinstance(module, nn.BatchNorm2d):

            def note(_: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
                x = inputs[0].transpose(0, 1).flatten(1)
                arrived.setdefault(name, []).append((x.mean(dim=1), x.var(dim=1, unbiased=True)))

            hooks.append(module.register_forward_hook(note))
    calibrate(generator, batches(generator.spec))
    for hook in hooks:
        hook.remove()
    assert arrived
    for name, seen in arrived.items():
        assert len(seen) == 3
        own = generator.get_submodule(name)
        assert isinstance(own, nn.BatchNorm2d)
        for index, statistic in enumerate((own.running_mean, own.running_var)):
            expected = torch.stack([each[index] for each in seen]).mean(dim=0)
            torch.testing.assert_close(statistic, expected, rtol=1e-4, atol=1e-6)
        assert own.num_batches_tracked == 3


def test_one_batch_again_gives_what_training_mode_gives(generator: Generator) -> None:
    (batch,) = batches(generator.spec, 1)
    calibrate(generator, [batch])
    with torch.no_grad():
        calibrated = generator(batch)
        layers = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
        for layer in layers:
            layer.train()
        by_batch = generator(batch)
    # Running variances are unbiased, those of a batch are not: few elements, some difference.
    assert (calibrated - by_batch).abs().mean() < 0.1


def test_it_starts_anew_and_the_order_does_not_matter(generator: Generator) -> None:
    calibrate(generator, batches(generator.spec))
    once = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    calibrate(generator, reversed(batches(generator.spec)))
    for name, buffer in generator.named_buffers():
        torch.testing.assert_close(buffer, once[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_weights_and_modes_stay(generator: Generator, training: bool) -> None:
    generator.train(training)
    before = {name: parameter.clone() for name, parameter in generator.named_parameters()}
    momentum = first_norm(generator).momentum
    calibrate(generator, batches(generator.spec))
    assert all(module.training is training for module in generator.modules())
    assert first_norm(generator).momentum == momentum
    assert all(torch.equal(parameter, before[name]) for name, parameter in generator.named_parameters())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_modes_stay_when_a_batch_fails(generator: Generator) -> None:
    with pytest.raises(RuntimeError):
        calibrate(generator, [*batches(generator.spec), torch.rand(2, 99, *generator.spec.size)])
    assert not any(module.training for module in generator.modules())
    assert first_norm(generator).momentum is not None


def test_without_a_batch_it_refuses(generator: Generator) -> None:
    with pytest.raises(ValueError, match="no batch"):
        calibrate(generator, [])


def test_without_statistics_nothing_runs() -> None:
    calibrate(lively(GeneratorSpec(widths=2, size=8, blocks=3)), iter(()))


@settings(deadline=None, max_examples=15)
@given(elastic_specs(largest=3), st.data())
def test_a_subnet_is_calibrated_and_the_whole_is_not(spec: GeneratorSpec, data: st.DataObject) -> None:
    whole = lively(spec)
    narrow = data.draw(st.tuples(*(st.integers(1, width) for width in spec.widths)))
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    subnet = extract(whole, narrow)
    calibrate(subnet, batches(spec))
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())
    if has_batch_statistics(whole):
        assert not torch.equal(first_norm(subnet).running_var, extract(whole, narrow).get_buffer(_first_var(subnet)))


def _first_var(generator: Generator) -> str:
    return next(name for name, _ in generator.named_buffers() if name.endswith("running_var"))
