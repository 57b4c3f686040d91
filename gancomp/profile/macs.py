"""Parameters and multiply-accumulates in closed form, by layer, in plain Python (no torch).

Two conventions (both reported everywhere):

- **exact**: every convolution at the resolution at which it multiplies;
- **paper**: as *GAN Compression* counts: convolutions, one per element that an InstanceNorm writes, and
  transposed convolutions at their output resolution (four times too many at stride 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gancomp.spec import GeneratorSpec


@dataclass(frozen=True)
class Layer:
    """One layer's parameters and multiply-accumulates for one picture."""

    name: str
    params: int
    macs: int
    macs_paper: int


@dataclass(frozen=True)
class Profile:
    """A generator's totals for one picture, and its layers."""

    params: int
    macs: int
    macs_paper: int
    layers: tuple[Layer, ...]


def profile(spec: GeneratorSpec) -> Profile:
    """Count *spec* for one picture of its size."""
    layers = tuple(_LAYERS[spec.family](spec))
    return Profile(
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        macs_paper=sum(layer.macs_paper for layer in layers),
        layers=layers,
    )


def _convolution(
    name: str, inputs: int, outputs: int, kernel: int, pixels: int, *, groups: int = 1, input_pixels: int | None = None
) -> Layer:
    """A convolution with bias that writes *pixels* per channel.

    *input_pixels* is given for transposed convolutions: there each input pixel, not each output pixel, multiplies
    with the whole kernel.
    """
    weights = inputs // groups * outputs * kernel**2
    paper = weights * pixels
    return Layer(name, weights + outputs, paper if input_pixels is None else weights * input_pixels, paper)


def _norm(name: str, channels: int, pixels: int) -> Layer:
    return Layer(name, 0, 0, channels * pixels)


def _resnet(spec: GeneratorSpec) -> Iterator[Layer]:
    """Layers of `nets.resnet.ResnetGenerator`, under its module names."""
    c = spec.widths
    full = spec.size[0] * spec.size[1]
    half, quarter = full // 4, full // 16
    trunk = 4 * c[2]

    yield _convolution("stem.1", spec.in_channels, c[0], 7, full)
    yield _norm("stem.2", c[0], full)
    yield _convolution("down1.0", c[0], 2 * c[1], 3, half)
    yield _norm("down1.1", 2 * c[1], half)
    yield _convolution("down2.0", 2 * c[1], trunk, 3, quarter)
    yield _norm("down2.1", trunk, quarter)
    for group, inner in enumerate((4 * c[3], 4 * c[4], 4 * c[5]), start=1):
        for block in range(spec.blocks // 3):
            branch = f"blocks{group}.{block}.branch"
            yield from _block_convolution(spec, f"{branch}.1", trunk, inner, quarter)
            yield _norm(f"{branch}.2", inner, quarter)
            yield from _block_convolution(spec, f"{branch}.5", inner, trunk, quarter)
            yield _norm(f"{branch}.6", trunk, quarter)
    yield _convolution("up1.0", trunk, 2 * c[6], 3, half, input_pixels=quarter)
    yield _norm("up1.1", 2 * c[6], half)
    yield _convolution("output.0", 2 * c[6], c[7], 3, full, input_pixels=half)
    yield _norm("output.1", c[7], full)
    yield _convolution("output.4", c[7], spec.out_channels, 7, full)


def _block_convolution(spec: GeneratorSpec, name: str, inputs: int, outputs: int, pixels: int) -> Iterator[Layer]:
    """A residual block's 3x3 convolution. On padded input, the depthwise norm sees as many pixels as it writes."""
    if spec.block == "dense":
        yield _convolution(name, inputs, outputs, 3, pixels)
    else:
        yield _convolution(f"{name}.0", inputs, inputs, 3, pixels, groups=inputs)
        yield _norm(f"{name}.1", inputs, pixels)
        yield _convolution(f"{name}.2", inputs, outputs, 1, pixels)


_LAYERS = {"resnet": _resnet}
