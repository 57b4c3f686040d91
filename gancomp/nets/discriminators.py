"""The PatchGAN discriminators: of pix2pix and CycleGAN, and GauGAN's at several scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from gancomp.config.experiment import Discriminator
from gancomp.config.values import Model
from gancomp.nets.layers import initialise, initialise_xavier, normalisation

#: GauGAN's widest layer.
MOST_CHANNELS = 512


def build_discriminator(
    model: Model, settings: Discriminator, input_channels: int, output_channels: int = 3
) -> nn.Module:
    """The discriminator of *model*, with initial weights from torch's global random generator.

    pix2pix and gaugan: conditional, on input ⊕ output (Eq. 2), *input_channels* being the encoded input's; cyclegan:
    on the output alone.
    """
    if model == "gaugan":
        return MultiscaleDiscriminator(input_channels + output_channels, settings.ndf, settings.layers, settings.scales)
    channels = output_channels if model == "cyclegan" else input_channels + output_channels
    return PatchDiscriminator(channels, settings.ndf, settings.layers)


class PatchDiscriminator(nn.Module):
    """*layers* stride-2 convolutions, one of stride 1, then one score per patch: (n, channels, h, w) → (n, 1, h', w').

    For paired data *channels* counts input and output together: the discriminator is conditional (Eq. 2).
    """

    def __init__(self, channels: int, ndf: int, layers: int = 3) -> None:
        super().__init__()
        self.channels = channels
        modules: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        width = ndf
        for layer in range(1, layers + 1):
            wider = ndf * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            modules += [
                nn.Conv2d(width, wider, 4, stride=stride, padding=1),
                normalisation(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width = wider
        modules.append(nn.Conv2d(width, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        return scores

    def seen(self, x: Tensor) -> Tensor:
        """The activations of *x* in the last layer but one, before the scores."""
        found: Tensor = self.model[:-1](x)
        return found


class SharedDiscriminator(nn.Module):
    """PatchGANs, one for each of *judged* generators, whose first *shared* convolutions are the same (OMGD)."""

    def __init__(self, channels: int, ndf: int, layers: int, judged: int, shared: int) -> None:
        super().__init__()
        networks = [PatchDiscriminator(channels, ndf, layers).model for _ in range(judged)]
        convolutions = [index for index, layer in enumerate(networks[0]) if isinstance(layer, nn.Conv2d)]
        end = (*convolutions, len(networks[0]))[min(shared, len(convolutions))]
        self.trunk = networks[0][:end]
        self.heads = nn.ModuleList(network[end:] for network in networks)

    def forward(self, made: Tensor, real: Tensor | None = None) -> list[Tensor]:
        """What each of them says, (n, 1, h', w'), of its generator's pictures *made* (judged, n, channels, h, w); and
        behind it, where they are given, of *real* ones (n, channels, h, w): (2n, 1, h', w')."""
        seen = [*made, *([] if real is None else [real])]
        parts = self.trunk(torch.cat(seen)).split(made.shape[1])
        own, reals = parts[: len(self.heads)], parts[len(self.heads) :]
        return [head(torch.cat((one, *reals))) for head, one in zip(self.heads, own, strict=True)]


class MultiscaleDiscriminator(nn.Module):
    """GauGAN's: the same PatchGAN at full size, half, a quarter, …, each with its own weights."""

    def __init__(self, channels: int, ndf: int, layers: int = 4, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(FeatureDiscriminator(channels, ndf, layers) for _ in range(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """(n, channels, h, w) → for each scale the activations of its layers, the last of them the scores."""
        found = []
        for index, network in enumerate(self.scales):
            if index:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found.append(list(network(x)))
        return found


class FeatureDiscriminator(nn.Module):
    """A PatchGAN that returns every layer: *layers* convolutions, all but the last of stride 2, and that of the scores.

    Those between the first and the scores have spectral and instance normalisation, and so no bias.
    """

    def __init__(self, channels: int, ndf: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        width = channels
        for layer in range(layers):
            wider = min(ndf * 2**layer, max(MOST_CHANNELS, ndf))
            stride = 2 if layer < layers - 1 or layer == 0 else 1
            conv = nn.Conv2d(width, wider, 4, stride=stride, padding=2, bias=layer == 0)
            norm = [normalisation(wider)] if layer else []
            self.layers.append(nn.Sequential(conv, *norm, nn.LeakyReLU(0.2, inplace=True)))
            width = wider
        self.layers.append(nn.Sequential(nn.Conv2d(width, 1, 4, padding=2)))
        initialise_xavier(self)
        for hidden in list(self.layers)[1:layers]:
            assert isinstance(hidden, nn.Sequential)
            parametrizations.spectral_norm(hidden[0])

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        for layer in self.layers:
            x = layer(x)
            yield x
