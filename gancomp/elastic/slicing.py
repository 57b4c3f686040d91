"""A subnet's weight is the leading block of the once-for-all network's tensor of the same name (Section 3.3).

Where channels are concatenated, it is the leading channels of every piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gancomp.elastic.graph import Graph, spans
from gancomp.elastic.groups import Group, Layout
from gancomp.elastic.of_spec import graph_of
from gancomp.nets import build_skeleton
from gancomp.nets.generator import Generator
from gancomp.spec import GeneratorSpec

Widths = tuple[int, ...]

#: Skeletons that are kept: a whole space of them would take gigabytes, and one is soon made again.
KEPT_SKELETONS = 64


class Pieces:
    """Where channels lie in pieces, as behind a concatenation: which tensors' dimensions, and how long each piece is.

    Names of tensors begin with *prefix* in the network that holds the one of *graph*.
    """

    def __init__(self, graph: Graph, prefix: str = "") -> None:
        self._layouts: dict[str, dict[int, Layout]] = {}
        #: Of each group, a dimension that is made of it alone, from which its length can be read.
        self._known: dict[Group, tuple[str, int, int]] = {}
        for name, dims in graph.weights.items():
            for dim, layout in dims.items():
                if len(layout) > 1:
                    self._layouts.setdefault(prefix + name, {})[dim] = layout
                if len({group for group, _ in layout}) == 1:
                    total = sum(factor for _, factor in layout)
                    self._known.setdefault(layout[0][0], (prefix + name, dim, total))

    def spans(self, name: str, dim: int, shapes: Mapping[str, torch.Size]) -> list[tuple[int, int]]:
        """(offset, length) of what a network with *shapes* takes of the whole's dimension: one span, or several."""
        layout = self._layouts.get(name, {}).get(dim)
        if layout is None:
            return [(0, shapes[name][dim])]
        taken = []
        for offset, group, factor in spans(layout):
            known, at, total = self._known[group]
            taken.append((offset, shapes[known][at] // total * factor))
        return taken


def pieces_of(spec: GeneratorSpec, prefix: str = "") -> Pieces:
    """The pieces of the generator of *spec*."""
    return Pieces(graph_of(spec), prefix)


def cut(tensors: Mapping[str, Tensor], skeleton: nn.Module, pieces: Pieces | None = None) -> dict[str, Tensor]:
    """The leading block of every tensor (of every piece, where it has *pieces*), in the shapes of *skeleton*.

    Views, so gradients reach the whole; where several pieces are joined, copies, which gradients pass.

    Raises ValueError if the names differ, or if a tensor of the skeleton is larger than the whole's.
    """
    shapes = {name: tensor.shape for name, tensor in skeleton.state_dict(keep_vars=True).items()}
    if shapes.keys() != tensors.keys():
        raise ValueError(f"topologies differ in {sorted(shapes.keys() ^ tensors.keys())}")
    blocks = {}
    for name, shape in shapes.items():
        whole = tensors[name]
        if len(shape) != whole.dim() or any(part > all_ for part, all_ in zip(shape, whole.shape, strict=True)):
            raise ValueError(f"{name}: {tuple(shape)} is not a leading block of {tuple(whole.shape)}")
        for dim in range(len(shape)):
            taken = pieces.spans(name, dim, shapes) if pieces else [(0, shape[dim])]
            parts = [whole.narrow(dim, *span) for span in taken]
            whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
        blocks[name] = whole
    return blocks


def _cut_network(whole: nn.Module, skeleton: nn.Module, pieces: Pieces | None) -> dict[str, Tensor]:
    """The leading blocks of *whole*, weights as views and buffers as clones.

    A subnet's BatchNorm statistics are its own: what it gathers must not run into the whole's.
    """
    tensors = cut(whole.state_dict(keep_vars=True), skeleton, pieces)
    return tensors | {name: tensors[name].clone() for name, _ in skeleton.named_buffers()}


class Elastic(nn.Module):
    """A network that also runs at any smaller widths, by `forward(x, widths)`.

    *whole* holds the weights; *build(widths)* makes the same network at other widths, of which only the shapes
    are used; *pieces* are those of its generator, where its channels are concatenated. Widths are an argument of
    `forward`, so that data-parallel wrappers see every call.

    In training mode a subnet's BatchNorm uses the statistics of the batch, and leaves no trace in the whole's running
    ones; in evaluation mode it uses the leading block of the whole's, which belong to no subnet before they are
    estimated anew (`gancomp.elastic.calibrate`).
    """

    def __init__(self, whole: nn.Module, build: Callable[[Widths], nn.Module], pieces: Pieces | None = None) -> None:
        super().__init__()
        self.whole = whole
        self._pieces = pieces

        def skeleton(widths: Widths) -> nn.Module:
            with torch.device("meta"):
                return build(widths)

        # Kept outside the modules: skeletons hold no weights and must not appear in the state.
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
    """The subnet at *widths* as a generator of its own, for evaluation: the same cut, its weights still views.

    Its BatchNorm statistics are clones of the whole's, to be estimated anew. Raises ValueError if the whole has no
    such subnet.
    """
    subnet = build_skeleton(whole.spec.with_widths(widths))
    subnet.load_state_dict(_cut_network(whole, subnet, pieces_of(whole.spec)), assign=True)
    return subnet.eval()
