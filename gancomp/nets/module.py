"""A custom generator: the network of a builder, at any widths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from gancomp.builders import find_builder
from gancomp.elastic.graph import Graph, expected_shape, read_graph, resized
from gancomp.elastic.layouts import Group
from gancomp.elastic.pieces import Pieces, cut
from gancomp.errors import GancompError
from gancomp.nets.generator import Generator
from gancomp.nets.layers import BatchNorm, SeparableConv, WithoutWeights
from gancomp.network import Network
from gancomp.spec import GeneratorSpec, Norm

#: The prefix of the network in its generator.
PREFIX = "network."
Pair = tuple[int, int]


class ModuleGenerator(Generator):
    """The network of `spec.network.builder`, with its groups narrowed to `spec.widths`, as `network`.

    Initial weights are the leading blocks of the builder's, scaled up for the smaller fan-in.
    """

    segments = ()

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        assert spec.network
        self._graph = whole_graph(spec.network, spec.block, spec.between)
        self._sizes = sizes_at(self._graph, spec.network, spec.widths)
        self.network = resized(self._graph, self._sizes)
        self.distilled = [PREFIX + name for name in spec.network.distilled]
        if not torch.empty(0).is_meta:
            self._initialise(built(spec.network, spec.block, spec.between))
        for parameter in self.network.parameters():  # what has vanished learns nothing, and nobody waits for it
            parameter.requires_grad_(parameter.requires_grad and parameter.numel() > 0)
        self.train()  # as a new module is; it was read in evaluation mode

    def _initialise(self, whole: nn.Module) -> None:
        tensors = {name: tensor.detach() for name, tensor in whole.state_dict(keep_vars=True).items()}
        leading = cut(tensors, self.network, Pieces(self._graph))
        for name, tensor in self.network.named_parameters():
            if tensor.dim() > 1 and tensor.numel():
                leading[name] = leading[name] * (tensors[name][0].numel() / tensor[0].numel()) ** 0.5
        own = {name: tensor.clone() for name, tensor in leading.items()}
        self.network.load_state_dict(own, assign=True)

    def feature_channels(self) -> list[int]:
        """Channels of each distilled activation."""
        values = [self._graph.tape.modules[name.removeprefix(PREFIX)][0] for name in self.distilled]
        return [expected_shape(self._graph, value, self._sizes)[1] for value in values]

    def forward(self, x: Tensor) -> Tensor:
        pictures: Tensor = self.network(x)
        return pictures


def built(network: Network, block: str = "dense", norm: Norm = "instance") -> nn.Module:
    """The module of *network*'s builder, with its initial weights, in plain form (`plain`).

    If *block* is separable, its decomposed convolutions are replaced by two, with *norm* between them.
    """
    whole = plain(built_by(network.builder, network.keywords()))
    if block == "separable":
        decompose(whole, network.decomposed, norm)
    return whole


def shapes_by(reference: str, arguments: Mapping[str, Any]) -> nn.Module:
    """What the builder *reference* makes of *arguments*, in plain form, for its shapes: without memory for weights,
    where the builder can do without. Raises as `built_by`."""
    with torch.random.fork_rng(devices=[]), WithoutWeights():
        try:
            return plain(built_by(reference, arguments, "meta"))
        except Exception:  # anybody's code, which may ask for a tensor's values
            return plain(built_by(reference, arguments))


def built_by(reference: str, arguments: Mapping[str, Any], device: str = "cpu") -> nn.Module:
    """Call the builder *reference* with *arguments*. Raises GancompError if it fails, or returns no module."""
    builder = find_builder(reference)
    try:
        with torch.device(device):
            network = builder(**arguments)
    except Exception as error:  # anybody's code
        raise GancompError(f"builder {reference}: failed ({type(error).__name__}: {error})") from error
    if not isinstance(network, nn.Module):
        raise GancompError(f"builder {reference}: made a {type(network).__name__}, and a torch.nn.Module is needed")
    return network


def plain(network: nn.Module) -> nn.Module:
    """*network*, in place, in evaluation mode, in a form whose tensors are only its parameters and buffers.

    Spectral and weight norm are folded into the weights, non-persistent buffers become persistent, and
    batch norm is replaced by gancomp's, which can also use each picture's own statistics.
    """
    network.eval()
    for layer in network.modules():
        layer._non_persistent_buffers_set.clear()
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = BatchNorm
        if parametrize.is_parametrized(layer):
            assert isinstance(layer.parametrizations, nn.ModuleDict)
            for name in list(layer.parametrizations):
                parametrize.remove_parametrizations(layer, name)
        # PyTorch's first form of both is a hook that makes the weight anew before each pass.
        for hook in list(layer._forward_pre_hooks.values()):
            if isinstance(hook, SpectralNorm):
                remove_spectral_norm(layer, hook.name)
                layer._load_state_dict_pre_hooks.clear()  # which PyTorch leaves there
            elif isinstance(hook, WeightNorm):
                remove_weight_norm(layer, hook.name)
    return network


def decompose(network: nn.Module, names: tuple[str, ...], norm: Norm) -> None:
    """Replace each of *names* by a depthwise convolution, *norm* and a pointwise one, in place (Section 3.2).

    The depthwise one has the kernel, padding and dilation of the replaced one.
    """
    for name in names:
        conv = network.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        owner, _, own = name.rpartition(".")
        setattr(network.get_submodule(owner), own, _separable(conv, norm))


def _separable(conv: nn.Conv2d, norm: Norm) -> nn.Sequential:
    parts = SeparableConv(conv.in_channels, conv.out_channels, norm)
    parts[0] = nn.Conv2d(
        conv.in_channels,
        conv.in_channels,
        cast(Pair, conv.kernel_size),  # PyTorch types them as tuples of any length
        padding=conv.padding if isinstance(conv.padding, str) else cast(Pair, conv.padding),
        dilation=cast(Pair, conv.dilation),
        groups=conv.in_channels,
        padding_mode=conv.padding_mode,
    )
    return parts.eval()


@lru_cache(16)
def whole_graph(network: Network, block: str, norm: Norm) -> Graph:
    """The width groups of the builder's network at full width. Raises GancompError if they differ from *network*'s."""
    whole = shapes_by(network.builder, network.keywords())
    if block == "separable":
        decompose(whole, network.decomposed, norm)
    graph = read_graph(whole, (network.in_channels, *network.size))
    full = [group.full for group in graph.free]
    wanted = {at: width.full for width in network.widths for at in width.groups}
    if dict(enumerate(full)) != wanted:
        raise GancompError(
            f"builder {network.builder}: makes another network than the one that was read: its groups are of {full} "
            "channels; read it anew"
        )
    return graph


def sizes_at(graph: Graph, network: Network, widths: tuple[int, ...]) -> dict[Group, int]:
    """Channels of each free group of *graph* where the network has *widths*."""
    free = graph.free
    return {free[at]: own for width, own in zip(network.widths, widths, strict=True) for at in width.groups}
