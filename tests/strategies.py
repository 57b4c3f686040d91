"""What property-based tests draw: widths, generators and their weights."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from gancomp.nets import Generator, build_generator
from gancomp.spec import GeneratorSpec

WIDTHS = 8


def widths(largest: tuple[int, ...] = (6,) * WIDTHS) -> st.SearchStrategy[tuple[int, ...]]:
    """Any widths from 1 up to *largest*, each on its own."""
    return st.tuples(*(st.integers(1, width) for width in largest))


def specs(largest: int = 6, largest_side: int = 20) -> st.SearchStrategy[GeneratorSpec]:
    """Generators of every kind, seldom square."""
    side = st.integers(2, largest_side // 4).map(lambda quarter: 4 * quarter)
    return st.builds(
        GeneratorSpec,
        block=st.sampled_from(["dense", "separable"]),
        widths=widths((largest,) * WIDTHS),
        size=st.tuples(side, side),
        in_channels=st.integers(1, 4),
        out_channels=st.integers(1, 4),
        blocks=st.sampled_from([3, 6]),
    )


def lively(spec: GeneratorSpec, seed: int = 0) -> Generator:
    """A generator whose weights and biases are all drawn, so that a wrong one shows in the picture."""
    generator = build_generator(spec).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(0, 0.5, generator=draw)
    return generator


def pictures(spec: GeneratorSpec, count: int = 2, seed: int = 1) -> torch.Tensor:
    """Pictures in [-1, 1] for *spec*: (count, in, h, w)."""
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, spec.in_channels, *spec.size, generator=draw) - 1
