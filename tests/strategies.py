"""What property-based tests draw: widths, generators and their weights."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn

from gancomp.elastic.calibrate import calibrate
from gancomp.nets import Generator, build_generator
from gancomp.spec import GeneratorSpec

WIDTHS = 8


def widths(largest: tuple[int, ...] = (6,) * WIDTHS) -> st.SearchStrategy[tuple[int, ...]]:
    """Any widths from 1 up to *largest*, each on its own."""
    return st.tuples(*(st.integers(1, width) for width in largest))


def sides(stride: int, least: int, largest: int) -> st.SearchStrategy[tuple[int, int]]:
    """Sizes, seldom square, that a generator of *stride* takes."""
    side = st.integers(least // stride, max(largest, least) // stride).map(lambda times: times * stride)
    return st.tuples(side, side)


def resnets(largest: int = 6, largest_side: int = 20) -> st.SearchStrategy[GeneratorSpec]:
    """ResNet generators of every kind."""

    def of_block(block: str) -> st.SearchStrategy[GeneratorSpec]:
        return st.builds(
            GeneratorSpec,
            block=st.just(block),
            norm=st.sampled_from(["instance", "affine", "batch"]),
            widths=widths((largest,) * WIDTHS),
            size=sides(4, 12 if block == "inception" else 8, largest_side),
            in_channels=st.integers(1, 4),
            out_channels=st.integers(1, 4),
            blocks=st.sampled_from([3, 5, 6]),
        )

    return st.sampled_from(["dense", "separable", "inception"]).flatmap(of_block)


def unets(largest: int = 3, largest_side: int = 32) -> st.SearchStrategy[GeneratorSpec]:
    """U-Nets of every kind."""

    def of_depth(downs: int) -> st.SearchStrategy[GeneratorSpec]:
        return st.builds(
            GeneratorSpec,
            family=st.just("unet"),
            norm=st.sampled_from(["instance", "batch"]),
            widths=widths((largest,) * WIDTHS),
            size=sides(2**downs, 2**downs, largest_side),
            in_channels=st.integers(1, 4),
            out_channels=st.integers(1, 4),
            downs=st.just(downs),
        )

    return st.integers(3, 5).flatmap(of_depth)


def spades(largest: int = 3, largest_side: int = 96) -> st.SearchStrategy[GeneratorSpec]:
    """SPADE generators of every kind; the smallest that there are read 64x64 pixels."""

    def upsampled(upsampling: str) -> st.SearchStrategy[GeneratorSpec]:
        stride = 64 if upsampling == "more" else 32
        return st.builds(
            GeneratorSpec,
            family=st.just("spade"),
            block=st.sampled_from(["dense", "separable"]),
            widths=widths((largest,) * WIDTHS),
            size=sides(stride, 2 * stride, largest_side),
            in_channels=st.integers(2, 5),
            out_channels=st.integers(1, 4),
            upsampling=st.just(upsampling),
            hidden=st.sampled_from([None, 5]),
        )

    return st.sampled_from(["normal", "more"]).flatmap(upsampled)


def elastic_specs(largest: int = 4, largest_side: int = 12) -> st.SearchStrategy[GeneratorSpec]:
    """Generators whose widths can be searched."""
    return st.one_of(resnets(largest, largest_side), unets(min(largest, 3)), spades(min(largest, 3), 64))


def specs(largest: int = 6, largest_side: int = 20) -> st.SearchStrategy[GeneratorSpec]:
    """Generators of every family."""
    return st.one_of(resnets(largest, largest_side), unets(min(largest, 3)), spades(min(largest, 3)))


def lively(spec: GeneratorSpec, seed: int = 0) -> Generator:
    """A generator whose weights, biases and statistics are all drawn, so that a wrong one shows in the picture.

    The pictures stay away from black and white, where all networks look alike.
    """
    generator = build_generator(spec).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.normal_(0, fan_in**-0.5, generator=draw)
        calibrate(generator, [pictures(spec, count=3, seed=seed + 2)])
        for layer in generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean += 0.2 * torch.randn(layer.num_features, generator=draw)
                layer.running_var += 0.2 * torch.rand(layer.num_features, generator=draw)
    return generator


def pictures(spec: GeneratorSpec, count: int = 2, seed: int = 1) -> torch.Tensor:
    """Inputs of *spec*: pictures in [-1, 1] or label maps of one-hot classes and edges; (count, in, h, w)."""
    draw = torch.Generator().manual_seed(seed)
    if spec.family != "spade":
        return 2 * torch.rand(count, spec.in_channels, *spec.size, generator=draw) - 1
    classes = spec.in_channels - 1
    labels = torch.randint(classes, (count, *spec.size), generator=draw)
    edges = torch.randint(2, (count, 1, *spec.size), generator=draw)
    return torch.cat((nn.functional.one_hot(labels, classes).movedim(-1, 1), edges), dim=1).float()
