"""The interface of every generator family: a forward pass in ordered segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from gancomp.spec import GeneratorSpec, Role, ValueRange

if TYPE_CHECKING:
    from gancomp.share.hub import Origin

#: The state between segments: first the input, finally the outputs, in between whatever the family needs.
State = Any


class Generator(nn.Module):
    """The base class of the families' generators, which are built from their widths.

    `segments` names the attributes that run in order, each on the previous one's state; the search shares the states of
    subnets whose first segments are equal. `distilled` names the modules whose outputs are matched with
    the teacher's (Eq. 3). `ranges` are those of numbers that it reads or makes, which [-1, 1] stands for.
    `origin` is where it was fetched from, if it was.
    """

    segments: Sequence[str]
    distilled: Sequence[str] = ()

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.ranges: Mapping[Role, ValueRange] = {}
        self.origin: Origin | None = None

    def run_segment(self, index: int, state: State) -> State:
        """The state after segment *index*, given the one before (the input, for the first); that one is not changed."""
        return getattr(self, self.segments[index])(state)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (n, in, h, w) → pictures (n, out, h, w) in [-1, 1]; pictures as inputs are in [-1, 1] too."""
        state: State = x
        for index in range(len(self.segments)):
            state = self.run_segment(index, state)
        pictures: Tensor = state
        return pictures

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The pictures, and the activations that Eq. 3 matches: what the modules in `distilled` return."""
        features: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, read, made: features.__setitem__(name, made)

        hooks = [self.get_submodule(name).register_forward_hook(keep(name)) for name in self.distilled]
        try:
            pictures: Tensor = self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return pictures, [features[name] for name in self.distilled]

    def feature_channels(self) -> list[int]:
        """Channels of each distilled activation."""
        return []
