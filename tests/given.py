"""Folders of weights as a configuration gives them to metrics: networks of the real kinds, small and random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

#: Of both transformers: two layers, and pictures of 2 × 2 patches.
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}


def write_dinov2(folder: Path, seed: int = 0) -> Any:
    """DINOv2 as the Hub has it, and the library's own network."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    network = Dinov2Model(Dinov2Config(**SMALL, initializer_range=0.2)).eval()
    network.save_pretrained(folder)
    return network


def write_clip(folder: Path, seed: int = 0) -> Any:
    """Both networks of CLIP as the Hub has them, and the library's own."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    sees = SMALL | {"intermediate_size": 64, "projection_dim": 16}
    reads = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    own = CLIPConfig(vision_config=sees, text_config=reads | {"projection_dim": 16}, projection_dim=16)
    own.initializer_factor = own.vision_config.initializer_factor = 10.0  # else all pictures look alike to it
    network = CLIPModel(own).eval()
    network.save_pretrained(folder)
    return network


def write_dists(folder: Path, seed: int = 0) -> tuple[Any, dict[str, torch.Tensor]]:
    """VGG16 as torchvision has it with the shares of DISTS, and both as they are."""
    from torchvision.models import vgg16

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    network = vgg16(weights=None).features.eval()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.05)
    state = {f"features.{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    shares = {name: torch.rand(1, 1475, 1, 1) for name in ("alpha", "beta")}
    save_file(state, folder / "vgg16.safetensors")
    save_file(shares, folder / "weights.safetensors")
    return network, shares


WRITE = {"fd_dinov2": write_dinov2, "cmmd": write_clip, "dists": write_dists}
