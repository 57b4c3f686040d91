"""A subnet's weight is the leading block of the once-for-all network's tensor of the same name (Section 3.3).

If channels are concatenated, it is the leading channels of every piece.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gancomp.elastic.of_spec import graph_of
from gancomp.elastic.pieces import Pieces, cut
from gancomp.nets import build_skeleton
from gancomp.nets.generator import Generator
from gancomp.spec import GeneratorSpec

Widths = tuple[int, ...]

#: Cached skeletons: those of a whole space would take gigabytes, and one is quickly rebuilt.
KEPT_SKELETONS = 64


def pieces_of(spec: GeneratorSpec, prefix: str = "") -> Pieces:
    """The pieces of the generator of *spec*."""
    return Pieces(graph_of(spec), prefix)


def _cut_network(whole: nn.Module, skeleton: nn.Module, pieces: Pieces | None) -> dict[str, Tensor]:
    """The leading blocks of *whole*, weights as views and buffers as clones.

    A subnet has its own BatchNorm statistics, whose updates must not change the full network's.
    """
    tensors = cut(whole.state_dict(keep_vars=True), skeleton, pieces)
    return tensors | {name: tensors[name].clone() for name, _ in skeleton.named_buffers()}


class Elastic(nn.Module):
    """A network that also runs at any smaller widths, by `forward(x, widths)`.

    *whole* holds the weights; *build(widths)* makes the same network at other widths, of which only the shapes
    are used; *pieces* are those of its generator, where its channels are concatenated. Widths are an argument of
    `forward`, so that data-parallel wrappers see every call.

    In training mode a subnet's BatchNorm uses the statistics of the batch, and does not update the full network's
    running ones; in evaluation mode it uses the leading block of those, which are valid for no subnet before they are
    re-estimated (`gancomp.elastic.calibrate`).
    """

    def __init__(self, whole: nn.Module, build: Callable[[Widths], nn.Module], pieces: Pieces | None = None) -> None:
        super().__init__()
        self.whole = whole
        self._pieces = pieces

        def skeleton(widths: Widths) -> nn.Module:
            with torch.device("meta"):
                return build(widths)

        # Not a submodule: skeletons have no weights and must not appear in the state.
        self._skeletons = lru_cache(KEPT_SKELETONS)(skeleton)

    def skeleton(self, widths: Widths) -> nn.Module:
        """The network at *widths* on the meta device."""
        return self._skeletons(widths)

    def tensors(self, widths: Widths) -> dict[str, Tensor]:
        """The weights at *widths*, as views into the whole's, and clones of its buffers."""
        return _cut_network(self.whole, self.skeleton(widths), self._pieces)

    def forward(self, x: Tensor, widths: Widths | None = None) -> Any:
        """The whole's output, or that of its leading blocks at *widths*."""
        if widths is None:
            return self.whole(x)
        skeleton = self.skeleton(widths).train(self.whole.training)
        return functional_call(skeleton, self.tensors(widths), (x,), strict=True)


def extract(whole: Generator, widths: Widths) -> Generator:
    """The subnet at *widths* as a separate generator for evaluation, whose weights are still views; of the same ranges.

    Its BatchNorm statistics are clones of the full network's, to be re-estimated. Raises ValueError if the full
    network has no such subnet.
    """
    subnet = build_skeleton(whole.spec.with_widths(widths))
    subnet.load_state_dict(_cut_network(whole, subnet, pieces_of(whole.spec)), assign=True)
    subnet.ranges = whole.ranges
    return subnet.eval()
