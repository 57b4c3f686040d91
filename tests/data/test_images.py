"""Pictures of every kind are read as 8-bit RGB or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gancomp.data import images
from gancomp.data.images import encode_png, pictures_in, read_input, read_rgb, read_values, resize, resize_values
from gancomp.errors import GancompError


def ramp(dtype: type = np.uint8, top: int = 255) -> np.ndarray:
    return np.linspace(0, top, 30).reshape(5, 6).astype(dtype)


def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    picture = read_rgb(saved(Image.fromarray(rgb()), tmp_path / "x.png"))
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, rgb())


def test_grayscale(tmp_path: Path) -> None:
    picture = read_rgb(saved(Image.fromarray(ramp()), tmp_path / "x.png"))
    assert np.array_equal(picture, np.repeat(ramp()[:, :, None], 3, axis=2))


def test_black_and_white(tmp_path: Path) -> None:
    bits = Image.fromarray(ramp()).point(lambda value: 255 if value > 100 else 0).convert("1")
    picture = read_rgb(saved(bits, tmp_path / "x.png"))
    assert np.array_equal(picture[:, :, 0], np.where(ramp() > 100, 255, 0))


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(rgb()).quantize(8)
    assert np.array_equal(read_rgb(saved(image, tmp_path / "x.png")), np.asarray(image.convert("RGB")))


def test_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    picture = read_rgb(saved(image, tmp_path / "x.png", transparency=0))
    assert picture.tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (0, 0, 0, alpha))
    picture = read_rgb(saved(image.convert(mode), tmp_path / "x.png"))
    assert picture[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_is_scaled(tmp_path: Path, suffix: str) -> None:
    values = ramp(np.uint16, 65_535)
    picture = read_rgb(saved(Image.fromarray(values), tmp_path / f"x.{suffix}"))
    assert np.array_equal(picture[:, :, 0], np.round(values / 257).astype(np.uint8))
    assert picture.shape == (5, 6, 3)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    picture = read_rgb(saved(image, tmp_path / "x.jpg", quality=95))
    assert np.abs(picture.astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70_000), ("I", -1)])
def test_values_without_a_known_range_are_refused(tmp_path: Path, mode: str, value: float) -> None:
    path = saved(Image.new(mode, (4, 4), value), tmp_path / "deep.tif")
    with pytest.raises(GancompError, match=r"deep\.tif: has .*values.*, whose range is not known; .*range: "):
        read_rgb(path)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    path = saved(Image.fromarray(rgb()), tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_rgb(path), np.rot90(rgb(), -1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "gif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_pictures_are_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"cut.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(GancompError, match=rf"cut\.{suffix}: not a picture that can be decoded"):
        read_rgb(path)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(GancompError, match=r"text\.png: not a picture"):
        read_rgb(tmp_path / "text.png")
    with pytest.raises(GancompError, match=r"none\.png: no such picture"):
        read_rgb(tmp_path / "none.png")


@pytest.mark.parametrize("limit", [100, 40_000_000])
def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", limit)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit // 4)  # Pillow's own limit, half of which is a warning
    path = saved(Image.new("1", (7000, 6000)), tmp_path / "bomb.png")
    assert path.stat().st_size < 20_000
    with pytest.raises(GancompError, match=r"bomb\.png: has more than"):
        read_rgb(path)


def test_png_bytes_are_lossless_and_equal_for_equal_pictures(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encode_png(rgb()))
    assert np.array_equal(read_rgb(tmp_path / "x.png"), rgb())
    assert encode_png(rgb()) == encode_png(rgb())


def test_resize_gives_height_by_width_and_keeps_what_fits() -> None:
    assert resize(rgb(), (12, 8)).shape == (12, 8, 3)
    assert np.array_equal(resize(rgb(), (5, 6)), rgb())


def test_resize_is_antialiased() -> None:
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, (4, 4)).astype(int) - 128).max() < 20


# --- inputs of other channels ------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_inputs_are_stored_as_gray_or_colours_with_or_without_alpha(tmp_path: Path, channels: int) -> None:
    rgba = np.concatenate([rgb(), np.random.default_rng(1).integers(0, 256, (5, 6, 1), dtype=np.uint8)], axis=2)
    path = saved(Image.fromarray(rgba), tmp_path / "x.png")
    stored = read_input(path, channels)
    if channels == 3:
        assert np.array_equal(stored, read_rgb(path))
    elif channels == 4:
        assert np.array_equal(stored, rgba)
    else:
        shown = rgba[..., :3] if channels == 2 else read_rgb(path)
        luma = shown @ [0.299, 0.587, 0.114]
        assert np.abs(stored[..., :3] - luma[..., None]).max() <= 1
        assert np.array_equal(stored[..., 3:], rgba[..., 3:] if channels == 2 else rgba[..., :0])
    (tmp_path / "opaque.png").write_bytes(encode_png(rgb()))
    assert (read_input(tmp_path / "opaque.png", channels)[..., 3:] == 255).all()


def test_stored_alpha_survives(tmp_path: Path) -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(encode_png(rgba))
    assert np.array_equal(read_input(tmp_path / "x.png", 4), rgba)


# --- label maps --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint8, 16), (np.uint16, 16)])
def test_values_are_read_as_they_are(tmp_path: Path, dtype: type, bits: int) -> None:
    values = ramp(dtype, np.iinfo(dtype).max)
    assert np.array_equal(read_values(saved(Image.fromarray(values), tmp_path / "x.png"), bits), values)


def test_a_palette_is_read_by_its_numbers(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([9, 9, 9, 200, 100, 50, 9, 9, 9])
    image.putdata([2, 1, 0])
    assert read_values(saved(image, tmp_path / "x.png")).tolist() == [[2, 1, 0]]


@pytest.mark.parametrize(("mode", "bits"), [("RGB", 16), ("LA", 16), ("RGBA", 8), ("I;16", 8)])
def test_what_has_not_one_number_a_pixel_is_refused(tmp_path: Path, mode: str, bits: int) -> None:
    path = saved(Image.new(mode, (4, 4)), tmp_path / "map.png")
    with pytest.raises(
        GancompError, match=rf"map\.png: is of mode {mode}; a map has one number of at most {bits} bits"
    ):
        read_values(path, bits)


def test_values_are_resized_to_the_one_at_the_middle() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert resize_values(values, (2, 2)).tolist() == [[7, 10], [19, 22]]
    assert np.array_equal(resize_values(values, (4, 6)), values)
    assert np.array_equal(resize_values(values, (8, 12)), values.repeat(2, axis=0).repeat(2, axis=1))
    assert resize_values(values, (3, 5)).shape == (3, 5)


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in pictures_in(tmp_path)] == ["a.jpg", "b.PNG"]
    with pytest.raises(GancompError, match=r"folder\.png: holds no pictures"):
        pictures_in(tmp_path / "folder.png")
    with pytest.raises(GancompError, match="none: no such folder"):
        pictures_in(tmp_path / "none")


#: How files begin that Pillow takes for pictures.
MAGIC = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\x00", b"RIFF\x40\x00\x00\x00WEBPVP8 "),
    *(b"P6 2 2 255\n", b"P5\n3 3\n65535\n", b"%!PS-Adobe", b"<svg ", b""),
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(MAGIC), st.binary(max_size=200), st.sampled_from([1, 2, 3, 4]))
def test_any_bytes_are_a_picture_or_refused_by_name(tmp_path: Path, magic: bytes, rest: bytes, channels: int) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(magic + rest)
    for read in (read_rgb, read_values, lambda path: read_input(path, channels)):
        read_or_refuse(read, path)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm"]),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_picture_is_read_or_refused_by_name(
    tmp_path: Path, suffix: str, changes: list[tuple[int, int]]
) -> None:
    path = saved(Image.fromarray(rgb()), tmp_path / f"x{suffix}")
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    for read in (read_rgb, read_values):
        read_or_refuse(read, path)


def read_or_refuse(read: Callable[[Path], np.ndarray], path: Path) -> None:
    try:
        assert read(path).size
    except GancompError as error:
        assert str(path) in str(error)  # noqa: PT017 (some are pictures)
