"""A subnet's weight is the leading block of the once-for-all network's tensor of the same name (Section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gancomp.nets import build_skeleton
from gancomp.nets.generator import Generator
from gancomp.spec import ELASTIC_FAMILIES

Widths = tuple[int, ...]

#: Skeletons that are kept: a whole space of them would take gigabytes, and one is soon made again.
KEPT_SKELETONS = 64


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


def _cut_network(whole: nn.Module, skeleton: nn.Module) -> dict[str, Tensor]:
    """The leading blocks of *whole*, weights as views and buffers as clones.

    A subnet's BatchNorm statistics are its own: what it gathers must not run into the whole's.
    """
    tensors = cut(whole.state_dict(keep_vars=True), skeleton)
    return tensors | {name: tensors[name].clone() for name, _ in skeleton.named_buffers()}


class Elastic(nn.Module):
    """A network that also runs at any smaller widths, by `forward(x, widths)`.

    *whole* holds the weights; *build(widths)* makes the same network at other widths, of which only the shapes
    are used. Widths are an argument of `forward`, so that data-parallel wrappers see every call.

    In training mode a subnet's BatchNorm uses the statistics of the batch, and leaves no trace in the whole's running
    ones; in evaluation mode it uses the leading block of the whole's, which belong to no subnet before they are
    estimated anew (`gancomp.elastic.calibrate`).
    """

    def __init__(self, whole: nn.Module, build: Callable[[Widths], nn.Module]) -> None:
        super().__init__()
        self.whole = whole

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
        return _cut_network(self.whole, self.skeleton(widths))

    def forward(self, x: Tensor, widths: Widths | None = None) -> Any:
        """The whole's output, or that of its leading blocks at *widths*."""
        if widths is None:
            return self.whole(x)
        skeleton = self.skeleton(widths).train(self.whole.training)
        return functional_call(skeleton, self.tensors(widths), (x,), strict=True)


def extract(whole: Generator, widths: Widths) -> Generator:
    """The subnet at *widths* as a generator of its own, for evaluation: the same cut, its weights still views.

    Its BatchNorm statistics are clones of the whole's, to be estimated anew. Raises ValueError if *whole* is not
    elastic.
    """
    if whole.spec.family not in ELASTIC_FAMILIES:
        raise ValueError(f"a {whole.spec.family} generator has no subnets")
    subnet = build_skeleton(whole.spec.with_widths(widths))
    subnet.load_state_dict(_cut_network(whole, subnet), assign=True)
    return subnet.eval()
