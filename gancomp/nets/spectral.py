"""Spectral normalisation of GauGAN's networks, and folding it away from the generator's weights."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrizations, parametrize

from gancomp.nets.spade import SpadeBlock, SpadeGenerator


def add_spectral_norm(generator: SpadeGenerator) -> None:
    """Divide the weights of the blocks' convolutions by their largest singular value, estimated anew at each step.

    In place. As in SPADE, only `conv_0`, `conv_1` and `conv_s` are normalised.
    """
    for block in generator.modules():
        if isinstance(block, SpadeBlock):
            for layer in block.children():
                if isinstance(layer, nn.Conv2d):
                    parametrizations.spectral_norm(layer)


def fold_spectral_norm(module: nn.Module) -> None:
    """Make the normalised weights the weights, in place: plain names afterwards, and the outputs of evaluation mode."""
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            training = layer.training
            layer.eval()  # in training mode, reading the weight would estimate once more
            _give_own_class(layer)
            parametrize.remove_parametrizations(layer, "weight")
            layer.train(training)


def _give_own_class(layer: nn.Module) -> None:
    """A deep copy has the class of its original, from which torch would remove the property `weight` for both."""
    shared = type(layer)
    own = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, own)
