"""Reading pictures of any kind that Pillow knows as 8-bit RGB, or refusing them by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from gancomp.data.plan import Picture
from gancomp.errors import GancompError

#: File names that count as pictures.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"})
#: Larger pictures are refused before they are decoded: a small file can expand to many gigabytes.
MAX_PIXELS = 64_000_000


def read_rgb(path: Path) -> Picture:
    """The picture as uint8 (height, width, 3), turned upright by its EXIF orientation.

    Grayscale and palette pictures become RGB, transparency is laid on white, 16-bit values are scaled to 8 bits,
    CMYK is converted, and of an animation the first frame is taken. Raises GancompError naming *path* when it is
    missing, does not decode, is cut off, has more than MAX_PIXELS pixels, or a depth with no fixed range
    (floating point, 32-bit integers).
    """
    try:
        with path.open("rb") as stream:
            return _decode(stream)
    except FileNotFoundError:
        raise GancompError(f"{path}: no such picture") from None
    except _Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None
    # Pillow's decoders raise almost anything on damaged input: OSError, SyntaxError, struct.error, IndexError …
    except Exception as error:
        raise GancompError(
            f"{path}: not a picture that can be decoded, or cut off ({error}); replace or delete it"
        ) from error


def encode_png(picture: Picture) -> bytes:
    """A picture, uint8 (height, width, 3), as the bytes of an RGB PNG; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at *size* (height, width), bicubic and antialiased; itself when it has that size."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


class _Refused(Exception):
    """A picture that decodes but is not taken; the message says why and what to do."""


def _decode(stream: IO[bytes]) -> Picture:
    try:
        image: Image.Image = Image.open(stream)
        too_large = image.width * image.height > MAX_PIXELS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    if too_large:
        raise _Refused(f"has more than {MAX_PIXELS:,} pixels; make it smaller")
    image = ImageOps.exif_transpose(image)
    image.load()
    if image.mode == "F":
        raise _Refused("has floating-point values, whose range is not known; save it with 8 bits a channel")
    if image.mode.startswith("I"):
        return _from_16_bits(np.asarray(image).astype(np.int64))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _from_16_bits(values: np.ndarray) -> Picture:
    if values.min() < 0 or values.max() > 65_535:
        raise _Refused("has 32-bit values, whose range is not known; save it with 8 bits a channel")
    gray = ((values + 128) // 257).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)
