"""Features of pictures by a vision transformer with weights from a folder: DINOv2 and CLIP, built by transformers.

The folder holds config.json and the weights, as the Hugging Face Hub has them. Only sizes are read of the former and
tensors of the latter: nothing is fetched, and no code in the folder runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gancomp.data.weights import Tensors, read_weights
from gancomp.errors import GancompError
from gancomp.extras import extra
from gancomp.metrics.given import Given

Pictures = NDArray[np.uint8]

#: Pictures that run through the network together, which bounds memory.
CPU_CHUNK, GPU_CHUNK = 8, 64


@dataclass(frozen=True)
class Tower:
    """A network of transformers, its input pictures and its output features."""

    network: str
    config: str
    #: What of config.json shapes it. All else is left unread: parts of it would have the library fetch or run code.
    sizes: tuple[str, ...]
    #: How the names of its tensors begin: the file may hold other networks, too.
    prefixes: tuple[str, ...]
    #: The member of its output that holds the features (n, d).
    output: str
    #: Of the pictures that it sees; None: what its config.json says.
    side: int | None
    #: Whether the largest square in the middle is seen, or the whole picture, whatever its shape.
    square: bool
    #: Of its training pictures' colours, in [0, 1].
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    #: Whether features are scaled to length 1.
    unit: bool


_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size", "num_channels"),
    *("hidden_act", "layer_norm_eps"),
)
TOWERS: dict[str, Tower] = {
    # dgm-eval, of Stein et al. (2023): the class token after the last norm; it is the pooled output here.
    "fd_dinov2": Tower(
        "Dinov2Model",
        "Dinov2Config",
        (*_SIZES, "mlp_ratio", "qkv_bias", "layerscale_value", "use_swiglu_ffn"),
        ("embeddings.", "encoder.", "layernorm."),
        "pooler_output",
        side=224,
        square=False,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        unit=False,
    ),
    # Jayasumana et al. (2024).
    "cmmd": Tower(
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        (*_SIZES, "intermediate_size", "projection_dim"),
        ("vision_model.", "visual_projection."),
        "image_embeds",
        side=None,
        square=True,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        unit=True,
    ),
}


class Embedding:
    """`embedding(pictures)` → features, always in float32. `key` names metric, weights and arithmetic.

    Raises GancompError when transformers is not installed, or the weights are not those of the network.
    """

    def __init__(self, given: Given, device: str | torch.device = "cpu") -> None:
        self.key = f"{given.metric}-{given.short_hash}-32"
        self._tower, self._device = TOWERS[given.metric], torch.device(device)
        self._network, self._side = _build(given, self._tower)
        self._network.to(self._device)
        self._chunk = CPU_CHUNK if self._device.type == "cpu" else GPU_CHUNK

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        """Features (n, d) of RGB pictures (n, h, w, 3) of any size, independent of how they are batched."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ValueError(f"expected uint8 pictures (n, h, w, 3), not {pictures.dtype} {pictures.shape}")
        parts = [
            self._features(resize(pictures[start : start + self._chunk], self._side, self._tower.square))
            for start in range(0, len(pictures), self._chunk)
        ]
        return np.concatenate(parts)

    @torch.inference_mode()
    def _features(self, pictures: Pictures) -> NDArray[np.float32]:
        mean, std = (
            torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (self._tower.mean, self._tower.std)
        )
        x = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 255
        # TF32, cuDNN's default, would be another precision under the same key.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.autocast(self._device.type, enabled=False), exact:
            features: Tensor = getattr(self._network((x - mean) / std), self._tower.output)
        if self._tower.unit:
            features = features / features.norm(dim=1, keepdim=True)
        made: NDArray[np.float32] = features.float().cpu().numpy()
        return made


def resize(pictures: Pictures, side: int, square: bool) -> Pictures:
    """Pictures (n, h, w, 3) at (n, side, side, 3), by Pillow's antialiased bicubic filter in 8 bits; with *square* of
    the largest square in the middle."""
    height, width = pictures.shape[1:3]
    if square:
        length = min(height, width)
        top, left = (height - length) // 2, (width - length) // 2
        pictures = pictures[:, top : top + length, left : left + length]
    resized = np.empty((len(pictures), side, side, 3), np.uint8)
    for place, picture in enumerate(pictures):
        image = Image.fromarray(np.ascontiguousarray(picture))
        resized[place] = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    return resized


# --- the network -------------------------------------------------------------------------------


def _build(given: Given, tower: Tower) -> tuple[nn.Module, int]:
    """The network with the given weights, frozen, and the side of its input pictures."""
    file = given.files[1]
    try:
        tensors = read_weights(file)
    except GancompError as error:
        raise given.fault(error) from None
    config = _config(given, tower)
    kept = {name: value for name, value in tensors.items() if name.startswith(tower.prefixes)}
    network, missing = _quietly(lambda: _load(tower, config, kept), given)
    if missing:
        raise given.fault(
            f"{file}: lacks {missing[0]} and {len(missing) - 1} more of the tensors that config.json asks for"
        )
    return network.eval().requires_grad_(False), tower.side or int(config.image_size)


def _config(given: Given, tower: Tower) -> Any:
    """The library's configuration of the network, from the sizes in config.json alone."""
    settings = given.settings()
    inner = settings.get("vision_config")  # of CLIP's two networks the one that sees
    inner = {**settings, **inner} if isinstance(inner, dict) else settings
    sizes = {name: inner[name] for name in tower.sizes if name in inner}
    try:
        return getattr(extra("transformers"), tower.config)(**sizes)
    except (TypeError, ValueError) as error:
        raise given.fault(f"{given.files[0]}: no sizes of this network ({error})") from None


def _load(tower: Tower, config: Any, tensors: Tensors) -> tuple[nn.Module, list[str]]:
    """The network, and the names of missing tensors. The library maps the names in files of older versions."""
    kind = getattr(extra("transformers"), tower.network)
    network, told = kind.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=torch.float32,
        attn_implementation="sdpa",
        local_files_only=True,
        output_loading_info=True,
    )
    return network, sorted(told["missing_keys"])


def _quietly(load: Callable[[], tuple[nn.Module, list[str]]], given: Given) -> tuple[nn.Module, list[str]]:
    """The result of *load*, without the library's progress bars and tables; errors name the file and the key."""
    logging = extra("transformers").utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        return load()
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise given.fault(f"{given.files[1]}: not the weights that config.json describes ({error})") from None
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
