"""What every generator family offers: a forward pass in ordered segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gancomp.spec import GeneratorSpec


@dataclass(frozen=True)
class Segment:
    """A part of the forward pass: the attribute that holds it, and the widths that it depends on (indices)."""

    name: str
    widths: tuple[int, ...]


class Generator(nn.Module):
    """A generator is one class a family, given its widths.

    `segments` run in order, each on the output of the one before; the search shares the activations of
    subnets that agree in the widths of the first segments. `distilled` names the segments whose outputs
    are matched with the teacher's (Eq. 3).
    """

    segments: Sequence[Segment]
    distilled: Sequence[str]

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec

    def run_segment(self, index: int, x: Tensor) -> Tensor:
        """Output of segment *index* on the output of the one before (on the pictures, for the first)."""
        out: Tensor = getattr(self, self.segments[index].name)(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (n, in, h, w) in [-1, 1] → pictures (n, out, h, w) in [-1, 1]."""
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The pictures, and the activations that Eq. 3 matches."""
        features = []
        for index, segment in enumerate(self.segments):
            x = self.run_segment(index, x)
            if segment.name in self.distilled:
                features.append(x)
        return x, features

    def feature_channels(self) -> list[int]:
        """Channels of each distilled activation."""
        return [self.channels_after(name) for name in self.distilled]

    def channels_after(self, segment: str) -> int:
        """Channels of the output of a segment."""
        last = [layer for layer in getattr(self, segment).modules() if isinstance(layer, nn.InstanceNorm2d)][-1]
        return last.num_features
