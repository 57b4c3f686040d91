"""gancomp compresses conditional GANs by the method of *GAN Compression* (Li et al., CVPR 2020)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "compress", "load_generator", "open_model", "translate"]

if TYPE_CHECKING:
    from gancomp.compression.run import compress
    from gancomp.deploy.apply import translate
    from gancomp.deploy.runtimes import open_model
    from gancomp.nets import load_generator

_HOMES = {
    "compress": "gancomp.compression.run",
    "load_generator": "gancomp.nets",
    "open_model": "gancomp.deploy.runtimes",
    "translate": "gancomp.deploy.apply",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: the workflow and the command line's help need no torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
