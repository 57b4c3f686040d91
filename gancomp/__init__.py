"""gancomp compresses conditional GANs by the method of *GAN Compression* (Li et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_generator"]

if TYPE_CHECKING:
    from gancomp.nets import load_generator


def __getattr__(name: str) -> Any:
    # Imported on first use: the workflow and the command line's help need no torch.
    if name == "load_generator":
        from gancomp.nets import load_generator

        return load_generator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
