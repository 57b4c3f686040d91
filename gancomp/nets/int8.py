"""Eight bits while a generator trains: its convolutions compute with the numbers that an int8 export will.

As ONNX Runtime's static quantisation has them, and so what runs in OpenVINO: weights in 255 steps by output channel,
around zero; a convolution's input in 256 steps over the range that was seen. Its output stays in floating point, as do
norms: of all roundings, that of outputs costs the most KID, and OpenVINO is as fast without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gancomp.extras import extra

_PARTS = ("quantise_input", "quantise_weight")


class _Quantised(nn.Module):
    """What a convolution of either class has beside its own: two quantisers, by name."""

    quantise_input: nn.Module
    quantise_weight: nn.Module


class QuantisedConv2d(nn.Conv2d, _Quantised):
    """A convolution with simulated int8 numbers, and gradients as if they were not rounded."""

    def forward(self, x: Tensor) -> Tensor:
        weight = _through(self.quantise_weight, self.weight)
        made: Tensor = self._conv_forward(_through(self.quantise_input, x), weight, self.bias)
        return made


class QuantisedConvTranspose2d(nn.ConvTranspose2d, _Quantised):
    """The same of a transposed convolution."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert not isinstance(self.padding, str)  # torch refuses it in a transposed convolution
        padding = self._output_padding(
            x, output_size, list(self.stride), list(self.padding), list(self.kernel_size), 2, list(self.dilation)
        )
        weight = _through(self.quantise_weight, self.weight)
        shape = self.stride, self.padding, padding, self.groups, self.dilation
        return nn.functional.conv_transpose2d(_through(self.quantise_input, x), weight, self.bias, *shape)


#: The class that takes the place of each.
_QUANTISED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: QuantisedConv2d,
    nn.ConvTranspose2d: QuantisedConvTranspose2d,
}
_PLAIN = {quantised: plain for plain, quantised in _QUANTISED.items()}


def add_int8(network: nn.Module) -> None:
    """Simulate int8 in every convolution of *network*, on the CPU and in place; the names of its weights stay.

    The ranges are running averages of the largest and smallest values that pass.
    Raises GancompError if torchao, which simulates, is not installed.
    """
    for layer in list(network.modules()):
        if type(layer) in _QUANTISED:
            layer.__class__ = _QUANTISED[type(layer)]
            channels = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            for name in _PARTS:
                layer.add_module(name, _quantiser(channels if name == "quantise_weight" else None))


def remove_int8(network: nn.Module) -> None:
    """Undo `add_int8`, in place: the trained weights, not rounded."""
    for _, layer in quantised(network):
        layer.__class__ = _PLAIN[type(layer)]
        for name in _PARTS:
            delattr(layer, name)


def quantised(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The convolutions of *network* that simulate int8, by name."""
    yield from [(name, layer) for name, layer in network.named_modules() if type(layer) in _PLAIN]


@torch.inference_mode()
def calibrate_int8(network: nn.Module, inputs: Tensor) -> None:
    """Fix the ranges as an int8 export does: means of the extremes that each of *inputs* (n, c, h, w) leads to while
    nothing is rounded. All layers round afterwards."""
    layers = [layer for _, layer in quantised(network)]
    observers: list[Any] = [layer.get_submodule("quantise_input.activation_post_process") for layer in layers]
    usual = [observer.averaging_constant for observer in observers]
    for layer in layers:
        switch_int8(layer, rounds=False, observes=True)
    for number, x in enumerate(inputs, 1):
        for observer in observers:
            observer.averaging_constant = 1 / number
        network(x[None])
    for layer, observer, constant in zip(layers, observers, usual, strict=True):
        observer.averaging_constant = constant
        switch_int8(layer, rounds=True, observes=False)


def switch_int8(layer: nn.Module, *, rounds: bool, observes: bool) -> None:
    """Whether *layer*, one of `quantised`, rounds, and whether its ranges follow what passes."""
    for name in _PARTS:
        getattr(layer, name).enable_fake_quant(rounds)
        getattr(layer, name).enable_observer(observes)


def _quantiser(channels: int | None) -> nn.Module:
    """torchao's simulation of int8 weights, whose output *channels* are this axis, or of uint8 activations."""
    pt2e = _pt2e()
    made: nn.Module
    # Not its fused kind, whose steps of a weight are up to 0.4% too long or short.
    if channels is None:
        made = pt2e.FakeQuantize(
            observer=pt2e.MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=255,
            dtype=torch.uint8,
            qscheme=torch.per_tensor_affine,
            averaging_constant=0.01,
        )
    else:
        made = pt2e.FakeQuantize(
            observer=pt2e.MovingAveragePerChannelMinMaxObserver,
            quant_min=-127,
            quant_max=127,
            dtype=torch.int8,
            qscheme=torch.per_channel_symmetric,
            ch_axis=channels,
            averaging_constant=1.0,  # the range of now: it does not lag behind what is trained
        )
    return made


def _pt2e() -> Any:
    extra("torchao")
    from torchao.quantization import pt2e

    return pt2e


def _through(quantiser: nn.Module, x: Tensor) -> Tensor:
    """*x* rounded, in the type that it came in: torchao's simulation is in fp32."""
    rounded: Tensor = quantiser(x.float()).to(x.dtype)
    return rounded
