"""Untrusted SVG drawings: only plain shapes are accepted, and rendered on white."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from gancomp.data.plan import Picture
from gancomp.errors import GancompError

_SVG = "{http://www.w3.org/2000/svg}"
#: The elements that a drawing may contain: no scripts, style sheets, images, text, filters or <use> (which can expand
#: without limit).
_ELEMENTS = frozenset(
    _SVG + tag
    for tag in (
        *("svg", "g", "defs", "clipPath", "path", "line", "circle", "rect", "polyline", "polygon", "ellipse"),
        *("linearGradient", "radialGradient", "stop"),
    )
)


def parse_svg(name: str, svg: bytes) -> ElementTree.Element:
    """The drawing's tree. Raises GancompError unless it is plain (no entities, scripts or references to files)."""
    try:
        text = svg.decode("utf-8")
        # Entities can expand without limit or read files, and can only be declared there.
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
    # On the root, width and height letterbox the view box; the renderer's arguments would respect only one of them.
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
        raise GancompError(f"{name}.svg: was rendered at {picture.shape[0]}x{picture.shape[1]}, not {height}x{width}")
    return picture
