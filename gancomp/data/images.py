"""Read pictures of any format that Pillow supports as 8-bit RGB, or raise an error with their name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gancomp.data.plan import Picture
from gancomp.errors import GancompError
from gancomp.spec import NumberType

#: Suffixes of pictures.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"})
#: Larger pictures are rejected before they are decoded: a small file can expand to many gigabytes.
MAX_PIXELS = 64_000_000
GIVE_RANGE = "give the data set one (range: [LOW, HIGH] or auto), or save it with 8 bits a channel"
Number = TypeVar("Number", bound=np.integer)


def read_rgb(path: Path) -> Picture:
    """The picture as uint8 (height, width, 3), turned upright by its EXIF orientation.

    Grayscale and palette pictures become RGB, transparency is composited on white, 16-bit values are scaled to 8 bits,
    CMYK is converted, and the first frame of an animation is used. Raises GancompError with *path* if it is
    missing, does not decode, is truncated, has more than MAX_PIXELS pixels, or a depth without a fixed range
    (floating point, 32-bit integers).
    """
    return np.asarray(_on_white(_read(path)).convert("RGB"))


def decode_rgb(name: str, content: bytes) -> Picture:
    """Like `read_rgb`, for the *content* of the file *name*."""
    with _refusing(name):
        return np.asarray(_on_white(_open(io.BytesIO(content))).convert("RGB"))


def read_input(path: Path, channels: int) -> Picture:
    """The picture in *path* as one of 1 to 4 *channels* is stored (`as_input`). Raises GancompError as `read_rgb`."""
    return as_input(_read(path), channels)


def as_input(image: Image.Image, channels: int) -> Picture:
    """*image* as one of 1 to 4 *channels* is stored: (height, width, 3), or 4 where it keeps its alpha.

    1 is gray, 2 gray and alpha, 3 colours (as `read_rgb`), 4 colours and alpha; gray is repeated in red, green and
    blue.
    """
    with_alpha = channels in (2, 4)
    image = image.convert("RGBA") if with_alpha else _on_white(image).convert("RGB")
    if channels > 2:
        return np.asarray(image)
    gray = np.repeat(np.asarray(image.convert("L"))[:, :, None], 3, axis=2)
    return np.concatenate([gray, np.asarray(image)[:, :, 3:]], axis=2) if with_alpha else gray


def as_rgb(picture: Picture) -> Picture:
    """A picture (height, width, 1 to 4), as `as_image` shows it, in RGB on white."""
    return np.asarray(_on_white(as_image(picture)).convert("RGB"))


def read_numbers(path: Path) -> tuple[NDArray[np.float64], NumberType]:
    """The unscaled values of a gray picture (height, width), and the type of its file.

    Colours become luma. Raises GancompError as `read_rgb`, except for depths without a fixed range, which are
    supported here; and for NaN.
    """
    with _refusing(path), path.open("rb") as stream:
        image = _open(stream)
        kind = _number_type(Image.open(stream))  # the upright picture has lost its tags
        numbers = np.asarray(_on_white(image).convert("L") if kind == "uint8" else image).astype(np.float64)
        if np.isnan(numbers).any():
            raise _Refused("has values that are not numbers (NaN); give them a number, such as the lowest of the range")
        return numbers, kind


def _number_type(image: Image.Image) -> NumberType:
    if image.mode == "F":
        return "float32"
    if image.mode.startswith("I;16"):
        return "uint16"
    if image.mode == "I":
        # Pillow widens signed 16-bit values, and 16-bit PNGs of old.
        bits = getattr(image, "tag_v2", {}).get(258, (32,))
        return "int16" if bits == (16,) else "int32"
    return "uint8"


def read_values(path: Path, bits: int = 16) -> NDArray[np.int32]:
    """The pixel values of a label map (height, width): palette indices, or gray values.

    Raises GancompError as `read_rgb`, for a picture in colour, and for one with 16 or more bits if *bits* is 8.
    """
    with _refusing(path), path.open("rb") as stream:
        image = _open(stream)
        if image.mode not in ("L", "P", "1") and not (bits > 8 and image.mode.startswith("I")):
            raise _Refused(
                f"is of mode {image.mode}; a map has one number of at most {bits} bits a pixel: save it as "
                f"{bits}-bit gray or with a palette"
            )
        return np.asarray(image).astype(np.int32)


def encode_png(picture: Picture) -> bytes:
    """The bytes of a picture as PNG (see `as_image`). Equal pictures give equal bytes."""
    buffer = io.BytesIO()
    as_image(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_numbers(numbers: NDArray[np.generic]) -> bytes:
    """The bytes of a gray picture (height, width) of a `NumberType`, in the format of `suffix_of`."""
    buffer = io.BytesIO()
    if numbers.dtype == np.int16:  # Pillow has no such mode, but TIFF a tag: signed
        Image.fromarray(numbers.view(np.uint16)).save(buffer, format="TIFF", tiffinfo={339: 2})
    else:
        Image.fromarray(numbers).save(buffer, format="PNG" if numbers.dtype in (np.uint8, np.uint16) else "TIFF")
    return buffer.getvalue()


def suffix_of(kind: NumberType) -> str:
    """The suffix of files with this type of numbers."""
    return ".png" if kind in ("uint8", "uint16") else ".tif"


def as_image(picture: NDArray[Any]) -> Image.Image:
    """A picture, uint8 (height, width, 1 to 4), gray, gray and alpha, RGB or RGBA; or (height, width) of any type that
    Pillow has."""
    return Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at *size* (height, width), bicubic and antialiased; itself when it has that size."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def fit_on_white(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture (h, w, 3) as large as fits *size* (height, width), bicubic and antialiased, centred on white."""
    height, width = size
    return np.asarray(ImageOps.pad(Image.fromarray(picture), (width, height), Image.Resampling.BICUBIC, color="white"))


def resize_numbers(numbers: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Gray of any values at *size* (height, width), as `resize` does it."""
    height, width = size
    if numbers.shape == size:
        return numbers
    return np.asarray(Image.fromarray(numbers).resize((width, height), Image.Resampling.BICUBIC))


def resize_values(values: NDArray[Number], size: tuple[int, int]) -> NDArray[Number]:
    """A label map at *size* (height, width), by nearest neighbour."""
    rows, columns = (((np.arange(n) + 0.5) * have / n).astype(int) for n, have in zip(size, values.shape, strict=True))
    resized: NDArray[Number] = values[rows[:, None], columns]
    return resized


def reflected(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A picture (h, w, …) padded to *size* (height, width) at its lower and right edges by reflection, repeatedly if
    necessary; a single row or column is repeated."""
    added = [(0, side - have) for side, have in zip(size, picture.shape, strict=False)]
    return np.pad(picture, added + [(0, 0)] * (picture.ndim - 2), mode="reflect")


def size_of(path: Path) -> tuple[int, int]:
    """Height and width by the file's header, before it is turned upright. Raises GancompError as `read_rgb`, except
    for errors after the header."""
    with _refusing(path), path.open("rb") as stream:
        image = _undecoded(stream)
        return image.height, image.width


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in *folder*, sorted; other and hidden files are ignored. Raises GancompError if there are none."""
    if not folder.is_dir():
        raise GancompError(f"{folder}: no such folder")
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise GancompError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return sorted(found)


class _Refused(Exception):
    """A picture that decodes but is not supported; the message says why and what to do."""


@contextmanager
def _refusing(path: Path | str) -> Iterator[None]:
    """Convert every error in reading *path* into a GancompError with its name."""
    try:
        yield
    except FileNotFoundError:
        raise GancompError(f"{path}: no such picture") from None
    except _Refused as refusal:
        raise GancompError(f"{path}: {refusal}") from None
    # Pillow's decoders raise almost anything on damaged input: OSError, SyntaxError, struct.error, IndexError …
    except Exception as error:
        raise GancompError(
            f"{path}: not a picture that can be decoded, or truncated ({error}); replace or delete it"
        ) from error


def _read(path: Path) -> Image.Image:
    """The decoded picture with 8 bits per channel."""
    with _refusing(path), path.open("rb") as stream:
        image = _open(stream)
        if image.mode == "F":
            raise _Refused(f"has floating-point values, whose range is not known; {GIVE_RANGE}")
        return _from_16_bits(np.asarray(image).astype(np.int64)) if image.mode.startswith("I") else image


def _open(stream: IO[bytes]) -> Image.Image:
    """The picture in its own mode, decoded and upright."""
    image = ImageOps.exif_transpose(_undecoded(stream))
    image.load()
    return image


def _undecoded(stream: IO[bytes]) -> Image.Image:
    try:
        image: Image.Image = Image.open(stream)
        too_large = image.width * image.height > MAX_PIXELS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    if too_large:
        raise _Refused(f"has more than {MAX_PIXELS:,} pixels; make it smaller")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _from_16_bits(values: np.ndarray) -> Image.Image:
    if values.min() < 0 or values.max() > 65_535:
        raise _Refused(f"has values below 0 or above 65,535, whose range is not known; {GIVE_RANGE}")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
