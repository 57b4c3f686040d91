"""The PatchGAN discriminator."""

from __future__ import annotations

from torch import Tensor, nn

from gancomp.nets.layers import initialise, normalisation


class PatchDiscriminator(nn.Module):
    """*layers* stride-2 convolutions, one of stride 1, then one score a patch: (n, channels, h, w) → (n, 1, h', w').

    For paired data *channels* counts input and output together: the discriminator is conditional (Eq. 2).
    """

    def __init__(self, channels: int, ndf: int, layers: int = 3) -> None:
        super().__init__()
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
