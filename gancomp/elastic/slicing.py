"""A subnet's weight is the leading block of the once-for-all network's tensor of the same name (Section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gancomp.nets import build_skeleton
from gancomp.nets.generator import Generator

Widths = tuple[int, ...]


def cut(tensors: Mapping[str, Tensor], skeleton: nn.Module) -> dict[str, Tensor]:
    """The leading block of every tensor, in the shapes of *skeleton*; views, so gradients reach the whole.

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
        blocks[name] = whole[tuple(slice(length) for length in shape)]
    return blocks


class Elastic(nn.Module):
    """A network that also runs at any smaller widths, by `forward(x, widths)`.

    *whole* holds the weights; *build(widths)* makes the same network at other widths, of which only the shapes
    are used. Widths are an argument of `forward`, so that data-parallel wrappers see every call.
    """

    def __init__(self, whole: nn.Module, build: Callable[[Widths], nn.Module]) -> None:
        super().__init__()
        self.whole = whole
        self._build = build
        # A plain dict: skeletons hold no weights and must not appear in the state.
        self._skeletons: dict[Widths, nn.Module] = {}

    def skeleton(self, widths: Widths) -> nn.Module:
        """The network at *widths* on the meta device."""
        if widths not in self._skeletons:
            with torch.device("meta"):
                self._skeletons[widths] = self._build(widths)
        return self._skeletons[widths]

    def tensors(self, widths: Widths) -> dict[str, Tensor]:
        """The weights at *widths*, as views into the whole's."""
        return cut(self.whole.state_dict(keep_vars=True), self.skeleton(widths))

    def forward(self, x: Tensor, widths: Widths | None = None) -> Any:
        """The whole's output, or that of its leading blocks at *widths*."""
        if widths is None:
            return self.whole(x)
        return functional_call(self.skeleton(widths), self.tensors(widths), (x,), strict=True)


def extract(whole: Generator, widths: Widths) -> Generator:
    """The subnet at *widths* as a generator of its own: the same cut, with weights that are still views."""
    subnet = build_skeleton(whole.spec.with_widths(widths))
    subnet.load_state_dict(cut(whole.state_dict(), subnet), assign=True)
    return subnet.eval()
