"""Parameters and multiply-accumulates in closed form, by layer, in plain Python (no torch).

Two conventions (both reported everywhere):

- **exact**: every convolution at the resolution at which it multiplies;
- **paper**: as *GAN Compression* counts: convolutions, one per element that an InstanceNorm writes, and
  transposed convolutions at their output resolution (four times too many at stride 2).

BatchNorm counts nothing in either: at inference it is a constant scale and shift, which the convolution before it can
absorb. Its learned scales and shifts count as parameters; running statistics do not. What the printed figures tell of
this is in the docstrings of the families.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancomp.network import value_of
from gancomp.spec import KERNELS, GeneratorSpec, Norm


@dataclass(frozen=True)
class Layer:
    """One layer's parameters and multiply-accumulates for one picture."""

    name: str
    params: int
    macs: int
    macs_paper: int


@dataclass(frozen=True)
class Totals:
    """A generator's parameters and multiply-accumulates for one picture."""

    params: int
    macs: int
    macs_paper: int


@dataclass(frozen=True)
class Profile(Totals):
    """The totals, and the layers that they are sums of."""

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


def totals_of(spec: GeneratorSpec, widths: NDArray[np.int64]) -> list[Totals]:
    """The totals of *spec* at many *widths* (n, K), counted at once."""
    parts = ("params", "macs", "macs_paper")
    columns = [_sum_of([getattr(layer, part) for layer in _layers_at(spec, widths)], len(widths)) for part in parts]
    return [Totals(*counts) for counts in zip(*(column.tolist() for column in columns), strict=True)]


def macs_by_layer(spec: GeneratorSpec, widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exact MACs (layers, n) of every layer of *spec* at many *widths* (n, K)."""
    return np.stack([_sum_of([layer.macs], len(widths)) for layer in _layers_at(spec, widths)])


def _layers_at(spec: GeneratorSpec, widths: NDArray[np.int64]) -> list[Layer]:
    """The layers, with arrays (n,) for numbers wherever those depend on the widths."""
    return list(_LAYERS[spec.family](spec.model_copy(update={"widths": tuple(widths.T)})))


def _sum_of(counts: list[Any], length: int) -> NDArray[np.int64]:
    total = np.zeros(length, np.int64)
    for count in counts:
        total += count
    return total


def _convolution(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    pixels: int,
    *,
    groups: int = 1,
    input_pixels: int | None = None,
    bias: bool = True,
) -> Layer:
    """A convolution that writes *pixels* per channel.

    *input_pixels* is given for transposed convolutions: there each input pixel, not each output pixel, multiplies
    with the whole kernel.
    """
    weights = inputs // groups * outputs * kernel**2
    paper = weights * pixels
    return Layer(name, weights + outputs * bias, paper if input_pixels is None else weights * input_pixels, paper)


def _norm(name: str, channels: int, pixels: int, norm: Norm = "instance") -> Layer:
    params = 2 * channels if norm in ("affine", "batch") else 0
    return Layer(name, params, 0, channels * pixels if norm in ("instance", "affine") else 0)


def _block_convolution(spec: GeneratorSpec, name: str, inputs: int, outputs: int, pixels: int) -> Iterator[Layer]:
    """A 3x3 convolution, whole or decomposed. On padded input, the depthwise norm sees as many pixels as it writes."""
    if spec.block == "separable":
        yield from _separable(name, inputs, outputs, 3, pixels, spec.between)
    else:
        yield _convolution(name, inputs, outputs, 3, pixels)


def _separable(
    name: str, inputs: int, outputs: int, kernel: int, pixels: int, norm: Norm, *, input_pixels: int | None = None
) -> Iterator[Layer]:
    """Depthwise, normalisation, pointwise; *input_pixels* as in `_convolution`, of the depthwise part."""
    yield _convolution(f"{name}.0", inputs, inputs, kernel, pixels, groups=inputs, input_pixels=input_pixels)
    yield _norm(f"{name}.1", inputs, pixels, norm)
    yield _convolution(f"{name}.2", inputs, outputs, 1, pixels)


def _inception(spec: GeneratorSpec, name: str, trunk: int, branch: int, pixels: int) -> Iterator[Layer]:
    """Layers of `nets.inception.InceptionBlock`, whose norms see as many pixels as it writes."""
    for kernel in KERNELS:
        dense = f"{name}.branches.dense{kernel}.layers"
        yield _convolution(f"{dense}.1", trunk, branch, kernel, pixels, bias=False)
        yield _norm(f"{dense}.2", branch, pixels, spec.norm)
        yield _convolution(f"{dense}.5", branch, trunk, kernel, pixels, bias=False)
    for kernel in KERNELS:
        depthwise = f"{name}.branches.depthwise{kernel}.layers"
        yield _convolution(f"{depthwise}.0", trunk, branch, 1, pixels, bias=False)
        yield _norm(f"{depthwise}.1", branch, pixels, spec.norm)
        yield _convolution(f"{depthwise}.4", branch, branch, kernel, pixels, groups=branch, bias=False)
        yield _norm(f"{depthwise}.5", branch, pixels, spec.norm)
        yield _convolution(f"{depthwise}.7", branch, trunk, 1, pixels, bias=False)
    yield _norm(f"{name}.norm", trunk, pixels, spec.norm)


def _resnet(spec: GeneratorSpec) -> Iterator[Layer]:
    """Layers of `nets.resnet.ResnetGenerator`, under its module names.

    The paper's 56.8G (Table 1) needs both of its oddities, the InstanceNorm elements and the resolution of transposed
    convolutions; the exact count is 49.6G.
    """
    c, norm = spec.widths, spec.norm
    full = spec.size[0] * spec.size[1]
    half, quarter = full // 4, full // 16
    trunk = 4 * c[2]

    def down(name: str, inputs: int, outputs: int, kernel: int, pixels: int) -> Iterator[Layer]:
        if spec.block == "separable-down":
            yield from _separable(name, inputs, outputs, kernel, pixels, spec.between)
        else:
            yield _convolution(name, inputs, outputs, kernel, pixels)

    def up(name: str, inputs: int, outputs: int, pixels: int, input_pixels: int) -> Iterator[Layer]:
        if spec.block == "separable-up":
            yield from _separable(name, inputs, outputs, 3, pixels, spec.between, input_pixels=input_pixels)
        else:
            yield _convolution(name, inputs, outputs, 3, pixels, input_pixels=input_pixels)

    yield from down("stem.1", spec.in_channels, c[0], 7, full)
    yield _norm("stem.2", c[0], full, norm)
    yield from down("down1.0", c[0], 2 * c[1], 3, half)
    yield _norm("down1.1", 2 * c[1], half, norm)
    yield from down("down2.0", 2 * c[1], trunk, 3, quarter)
    yield _norm("down2.1", trunk, quarter, norm)
    for group, (width, count) in enumerate(zip(c[3:6], spec.groups, strict=True), start=1):
        inner = 4 * width
        for block in range(count):
            if spec.block == "inception":
                yield from _inception(spec, f"blocks{group}.{block}", trunk, spec.branch_of(width), quarter)
                continue
            branch = f"blocks{group}.{block}.branch"
            yield from _block_convolution(spec, f"{branch}.1", trunk, inner, quarter)
            yield _norm(f"{branch}.2", inner, quarter, norm)
            yield from _block_convolution(spec, f"{branch}.5", inner, trunk, quarter)
            yield _norm(f"{branch}.6", trunk, quarter, norm)
    yield from up("up1.0", trunk, 2 * c[6], half, quarter)
    yield _norm("up1.1", 2 * c[6], half, norm)
    yield from up("output.0", 2 * c[6], c[7], full, half)
    yield _norm("output.1", c[7], full, norm)
    yield _convolution("output.4", c[7], spec.out_channels, 7, full)


def _unet(spec: GeneratorSpec) -> Iterator[Layer]:
    """Layers of `nets.unet.UnetGenerator`, under its module names.

    The paper's 18.1G (Table 6) are transposed convolutions at their output resolution; the exact count is 6.05G.
    Counting what the normalisations write (3.0M) would not change it, nor would InstanceNorm change 54.4M.
    """
    widths, ups = spec.levels
    bottom = spec.downs - 1
    pixels = [spec.size[0] * spec.size[1] // 4**level for level in range(spec.downs + 1)]
    bias = spec.norm != "batch"

    for level, width in enumerate(widths):
        inputs = widths[level - 1] if level else spec.in_channels
        yield _convolution(f"down.{level}.conv", inputs, width, 4, pixels[level + 1], bias=bias)
        if 0 < level < bottom:
            yield _norm(f"down.{level}.norm", width, pixels[level + 1], spec.norm)
    for level in reversed(range(spec.downs)):
        inputs = widths[level] + (ups[level] if level < bottom else 0)
        outputs = ups[level - 1] if level else spec.out_channels
        yield _convolution(
            f"up.{level}.conv",
            inputs,
            outputs,
            4,
            pixels[level],
            input_pixels=pixels[level + 1],
            bias=bias or level == 0,
        )
        if level:
            yield _norm(f"up.{level}.norm", outputs, pixels[level], spec.norm)


def _spade(spec: GeneratorSpec) -> Iterator[Layer]:
    """Layers of `nets.spade.SpadeGenerator`, under its module names.

    None of its convolutions is transposed, so a dense one has the same count in both conventions: the paper's 281G
    (Table 1). Counting the elements that BatchNorm writes (80M) would not change that figure.
    """
    c, labels = spec.widths, spec.in_channels
    trunk = 16 * c[0]
    pixels = spec.size[0] * spec.size[1] // spec.stride**2

    def modulation(name: str, channels: int, hidden: int) -> Iterator[Layer]:
        if spec.norm == "instance":
            yield _norm(f"{name}.norm", channels, pixels)
        yield _convolution(f"{name}.shared.0", labels, hidden, 3, pixels)
        yield from _block_convolution(spec, f"{name}.gamma", hidden, channels, pixels)
        yield from _block_convolution(spec, f"{name}.beta", hidden, channels, pixels)

    def block(name: str, inputs: int, inner: int, outputs: int, hidden: int, learned: bool) -> Iterator[Layer]:
        if learned:
            yield from modulation(f"{name}.norm_s", inputs, hidden)
            yield _convolution(f"{name}.conv_s", inputs, outputs, 1, pixels, bias=False)
        yield from modulation(f"{name}.norm_0", inputs, hidden)
        yield _convolution(f"{name}.conv_0", inputs, inner, 3, pixels)
        yield from modulation(f"{name}.norm_1", inner, hidden)
        yield _convolution(f"{name}.conv_1", inner, outputs, 3, pixels)

    yield _convolution("fc", labels, trunk, 3, pixels)
    for name, width in (("head", c[1]), ("middle1", c[2]), ("middle2", c[3])):
        if name == "middle1" or (name == "middle2" and spec.upsampling == "more"):
            pixels *= 4
        yield from block(name, trunk, 16 * width, trunk, spec.hidden_of(width), learned=False)
    inputs = trunk
    for number, width in enumerate(c[4:], start=1):
        pixels *= 4
        outputs = 2 ** (4 - number) * width
        yield from block(f"up{number}", inputs, _lesser(inputs, outputs), outputs, spec.hidden_of(width), learned=True)
        inputs = outputs
    yield _convolution("output", inputs, spec.out_channels, 3, pixels)


def _lesser(one: int, other: int) -> int:
    """The smaller of two numbers, or of two arrays element by element."""
    return (one + other - abs(one - other)) // 2


def _module(spec: GeneratorSpec) -> Iterator[Layer]:
    """A network of one's own in one piece: its costs are known as sums over all layers (`gancomp.network`)."""
    assert spec.network
    costs = spec.network.costs(spec.block)
    yield Layer("network", *(value_of(terms, spec.widths) for terms in (costs.params, costs.macs, costs.macs_paper)))


_LAYERS = {"resnet": _resnet, "unet": _unet, "spade": _spade, "module": _module}
