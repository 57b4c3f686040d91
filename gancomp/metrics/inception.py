"""Pictures to Inception features: OpenVINO on processors where it is installed, else PyTorch."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gancomp.errors import GancompError
from gancomp.extras import extra, installed
from gancomp.metrics import inception_weights
from gancomp.metrics.inception_network import FEATURES, SIDE, CleanFidInception, FidInception
from gancomp.pipeline.checkpoints import load_tensors, save_tensors, tensors_sha256
from gancomp.pipeline.provenance import processor_has_bf16

if TYPE_CHECKING:
    import openvino

    from gancomp.config.values import Precision

Pictures = NDArray[np.uint8]
#: What a network is run on: pictures, or resized ones.
Input = NDArray[np.uint8] | NDArray[np.float32]
Features = NDArray[np.float32]
#: How pictures come to 299²: as pytorch-fid, bilinear without antialiasing; as clean-fid, bicubic with it.
Resizing = Literal["legacy", "clean"]

#: Pictures that run through the network together, which bounds memory; on two cores more than 16 are not faster.
CPU_CHUNK, GPU_CHUNK = 16, 128
CONVERTED_KIND = "fid-inception-openvino"


class Inception:
    """The FID Inception network: `inception(pictures)` → features.

    `key` names weights and arithmetic, and belongs beside every cached feature: bf16 features compared with fp32
    ones give a Fréchet distance of 4 to 6 even for identical pictures. In full precision the runtimes agree to
    1e-5, so there the key does not name them. *resizing* is in it where it is clean-fid's.

    Raises GancompError when *weights* are missing or tampered with, or the device is not there.
    """

    def __init__(
        self,
        weights: Path,
        runtime: Literal["auto", "torch", "openvino"] = "auto",
        precision: Precision = "auto",
        device: str = "auto",
        threads: int | None = None,
        resizing: Resizing = "legacy",
    ) -> None:
        runtime_, precision_, device = _resolve(runtime, precision, device)
        self.key = _key(runtime_, precision_) + ("-clean" if resizing == "clean" else "")
        self._clean = resizing == "clean"
        if runtime == "auto" and device == "cpu" and runtime_ == "torch":
            sys.stderr.write("Inception runs in PyTorch; in OpenVINO it is faster: pip install 'gancomp[openvino]'\n")
        self._chunk = CPU_CHUNK if device == "cpu" else GPU_CHUNK
        network = CleanFidInception if self._clean else FidInception
        self._run = (_torch if runtime_ == "torch" else _openvino)(network, weights, precision_, device, threads)

    def __call__(self, pictures: Pictures) -> Features:
        """Features (n, 2048) of RGB pictures (n, h, w, 3) of any size, independent of how they are batched."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ValueError(f"expected uint8 pictures (n, h, w, 3), not {pictures.dtype} {pictures.shape}")
        features = np.empty((len(pictures), FEATURES), np.float32)
        for start in range(0, len(pictures), self._chunk):
            some = slice(start, start + self._chunk)
            features[some] = self._run(resize(pictures[some]) if self._clean else np.ascontiguousarray(pictures[some]))
        return features


def resize(pictures: Pictures) -> NDArray[np.float32]:
    """RGB pictures (n, h, w, 3) at 299², as clean-fid: each channel by Pillow's antialiased bicubic filter, in floating
    point, cut to 0 … 255 and not rounded."""
    resized = np.empty((len(pictures), SIDE, SIDE, pictures.shape[3]), np.float32)
    for place, picture in enumerate(pictures):
        for channel in range(pictures.shape[3]):
            plane = Image.fromarray(picture[..., channel].astype(np.float32))
            resized[place, ..., channel] = np.asarray(plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return resized.clip(0, 255, out=resized)


def inception_key(precision: Precision, device: str = "auto") -> str:
    """The key that `Inception` has there, without building it."""
    return _key(*_resolve("auto", precision, device)[:2])


def _resolve(runtime: str, precision: str, device: str) -> tuple[str, str, str]:
    """What `auto` stands for on this machine; GancompError if the device is not there."""
    if device == "auto":
        device = "cuda" if runtime != "openvino" and torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and (runtime == "openvino" or not torch.cuda.is_available()):
        raise GancompError(f"device {device}: not there for runtime {runtime}; use cpu, or auto for what there is")
    if runtime == "auto":
        runtime = "openvino" if device == "cpu" and installed("openvino") else "torch"
    if precision == "auto":
        precision = "bf16" if _has_bf16(runtime, device) else "32"
    return runtime, precision, device


def _key(runtime: str, precision: str) -> str:
    short_hash = inception_weights.TENSORS_SHA256[:12]
    return f"{short_hash}-32" if precision == "32" else f"{short_hash}-{runtime}-{precision}"


def _has_bf16(runtime: str, device: str) -> bool:
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if runtime == "torch":
        return processor_has_bf16()
    capabilities: list[str] = extra("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


# --- PyTorch -----------------------------------------------------------------------------------


def _torch(
    kind: type[FidInception], weights: Path, precision: str, device: str, threads: int | None
) -> Callable[[Input], Features]:
    network = kind(inception_weights.load(weights)).to(device).to(memory_format=torch.channels_last)

    def run(pictures: Input) -> Features:
        autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
        # TF32, cuDNN's default, would be a third precision under the name of 32.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with _torch_threads(threads), torch.inference_mode(), autocast, exact:
            features: Features = network(torch.from_numpy(pictures).to(device)).float().cpu().numpy()
        return features

    return run


@contextlib.contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- OpenVINO ----------------------------------------------------------------------------------


def _openvino(
    kind: type[FidInception], weights: Path, precision: str, device: str, threads: int | None
) -> Callable[[Input], Features]:
    core = extra("openvino").Core()
    settings = {
        "INFERENCE_PRECISION_HINT": {"32": "f32", "bf16": "bf16"}[precision],
        # One stream over all threads: as fast as several streams here, with one batch in memory.
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
        # Pinned threads of two processes could meet on one core and leave the other idle.
        "ENABLE_CPU_PINNING": False,
    }
    network = core.compile_model(_converted(core, kind, weights), "CPU", settings)

    def run(pictures: Input) -> Features:
        features: Features = network(pictures, share_inputs=True)[0]
        return features

    return run


def _converted(core: openvino.Core, kind: type[FidInception], weights: Path) -> openvino.Model:
    """The network in OpenVINO's form, kept beside *weights*: reading it takes under a second, converting 5 to 15.

    Whether it was kept or not, it is read from its serialised form: the graph in memory runs its sums in another
    order, and scores must not depend on which process came first.
    """
    openvino = extra("openvino")
    tensors = inception_weights.load(weights)
    path = weights.with_suffix(".openvino-clean.safetensors" if kind is CleanFidInception else ".openvino.safetensors")
    about = {
        "kind": CONVERTED_KIND,
        "openvino": openvino.get_version(),
        "weights": inception_weights.TENSORS_SHA256,
    }
    serialised = _kept(path, about)
    if serialised is None:
        serialised = _convert(kind, tensors)
        with contextlib.suppress(GancompError):  # a folder that cannot be written costs time, nothing else
            save_tensors(path, serialised, about | {"tensors_sha256": tensors_sha256(serialised)})
    return core.read_model(serialised["xml"].numpy().tobytes(), openvino.Tensor(serialised["bin"].numpy()))


def _kept(path: Path, about: dict[str, str]) -> inception_weights.Tensors | None:
    """What an earlier process converted, unless it is damaged or made by another version from other weights."""
    try:
        serialised, header = load_tensors(path)
    except GancompError:
        return None
    whole = header == about | {"tensors_sha256": tensors_sha256(serialised)}
    return serialised if whole else None


def _convert(kind: type[FidInception], tensors: inception_weights.Tensors) -> inception_weights.Tensors:
    """The network as OpenVINO serialises it: graph `xml` and weights `bin`, as bytes."""
    openvino = extra("openvino")
    clean = kind is CleanFidInception
    example = torch.zeros(2, SIDE, SIDE, 3) if clean else torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    shape = openvino.PartialShape([-1, SIDE, SIDE, 3] if clean else [-1, -1, -1, 3])
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # OpenVINO traces by torch.jit
        model = openvino.convert_model(kind(tensors), example_input=example, input=[shape])
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(model, xml, weights)
        return {
            name: torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)
            for name, file in (("xml", xml), ("bin", weights))
        }
