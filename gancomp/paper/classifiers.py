"""Figure 2: the computed costs of conditional GANs and of image classifiers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from gancomp.measure.macs import profile
from gancomp.spec import GeneratorSpec

#: torchvision's networks with their input sizes, by their usual names.
CLASSIFIERS: dict[str, tuple[str, int]] = {
    "MobileNet-v3": ("mobilenet_v3_large", 224),
    "MobileNet-v2": ("mobilenet_v2", 224),
    "EfficientNet-B0": ("efficientnet_b0", 224),
    "DenseNet-121": ("densenet121", 224),
    "ResNet-50": ("resnet50", 224),
    "Inception-v3": ("inception_v3", 299),
    "VGG-16": ("vgg16", 224),
}
GENERATORS: dict[str, dict[str, Any]] = {
    "pix2pix (U-Net)": {"family": "unet", "widths": 64},
    "CycleGAN, pix2pix (ResNet)": {"widths": 64},
    "GauGAN": {"family": "spade", "widths": 64, "size": "256x512", "in_channels": 36},
}


def costs() -> list[dict[str, Any]]:
    """Name, kind, size, MACs per picture (exact: convolutions and linear layers) and parameters of each network."""
    rows = []
    for name, (builder, size) in CLASSIFIERS.items():
        macs, params = count_classifier(builder, size)
        rows.append({"network": name, "kind": "classifier", "size": f"{size}x{size}", "macs": macs, "params": params})
    for name, spec in GENERATORS.items():
        generator = GeneratorSpec.model_validate(spec)
        counted, (height, width) = profile(generator), generator.size
        about = {"network": name, "kind": "generator", "size": f"{height}x{width}"}
        rows.append(about | {"macs": counted.macs, "params": counted.params})
    return rows


def count_classifier(builder: str, size: int) -> tuple[int, int]:
    """MACs and parameters of torchvision's *builder* for one picture of *size*, on the meta device."""
    options = {"init_weights": False} if builder in ("inception_v3", "vgg16") else {}
    with torch.device("meta"):
        network = getattr(torchvision.models, builder)(weights=None, **options).eval()
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += output[0].numel() * math.prod(weight.shape[1:])

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    network(torch.empty(1, 3, size, size, device="meta"))
    return total, sum(parameter.numel() for parameter in network.parameters())
