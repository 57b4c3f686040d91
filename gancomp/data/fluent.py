"""Fluent Emoji: flat drawings, or edges, and 3D renderings of the same emoji, from two npm packages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from gancomp.data.archives import each_member
from gancomp.data.images import decode_rgb, fit_on_white
from gancomp.data.plan import Picture, Plan, file_of, plan_emoji
from gancomp.data.settings import FluentDataset, Split
from gancomp.data.sources import fetch_npm_package
from gancomp.data.svg import parse_svg, render
from gancomp.errors import GancompError

FLAT = (
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
)
RENDERED = (
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)
#: Maximum bytes that the members read may expand to.
MAX_BYTES = 200_000_000

#: Names of flat drawings that make no pair, each with its reason. Measured at 64 × 64 on pixels that are at least
#: half opaque: the silhouettes have an IoU below 0.75 (another design or pose, or thin
#: strokes side by side), or the colours of the pixels in both differ by more than a quarter of the range.
LEFT_OUT = Path(__file__).with_name("fluent_left_out.csv")

#: Edges are detected at the rendering's resolution by a Gaussian derivative with this sigma in pixels, and are black
#: where a channel changes by this much per pixel.
EDGE_SIGMA, EDGE_STRENGTH = 1.0, 16.0

ATTRIBUTION = f"""\
Fluent Emoji, copyright Microsoft Corporation, under the MIT License (https://github.com/microsoft/fluentui-emoji).
Flat drawings: npm package {FLAT[0]} {FLAT[1]}; 3D renderings: npm package {RENDERED[0]} {RENDERED[1]}.

Changes: {{left_out}} were left out; the drawings were rendered
to pixels on white, or edges were found in the 3D renderings (left half), and these laid on white (right half).
"""
#: Pictures that are left out, without and with `skin_tones`.
WITHOUT_TONES = "skin-tone variants, and pairs of another design in the two styles,"
WITH_TONES = "pairs of another design in the two styles, and skin-tone variants of emoji held out or used by the search"


def plan(dataset: FluentDataset, downloads: Path) -> Plan:
    """A: the flat drawing, or the edges of the 3D rendering; B: the 3D rendering, all on white.

    Emoji are paired by their code points, without LEFT_OUT; those that differ only by the person shown share a split.
    Skin-tone variants are left out, or with `skin_tones` are in train-1 if their emoji is. The pictures are square;
    another shape letterboxes them, centred. Raises GancompError as `fetch_npm_package` and `each_member`; `draw`
    raises it as `parse_svg`.
    """
    flat = read_flat(fetch_npm_package(*FLAT, downloads))
    rendered = read_rendered(fetch_npm_package(*RENDERED, downloads))
    pairs = flat.keys() & rendered.keys()

    def draw(code: str) -> tuple[Picture, Picture]:
        rendering = decode_rgb(f"{code}.webp", rendered[code])
        if dataset.task == "edges2render":
            drawing = fit_on_white(edges(rendering), dataset.size)
        else:
            drawing = render(code, parse_svg(code, flat[code]), dataset.size)
        return drawing, fit_on_white(rendering, dataset.size)

    attribution = ATTRIBUTION.format(left_out=WITH_TONES if dataset.skin_tones else WITHOUT_TONES)
    plan = plan_emoji((code for code in pairs if not has_skin_tone(code)), dataset, draw, attribution, subject)
    if not dataset.skin_tones:
        return plan
    training = {Path(file).stem for file, split in plan.splits.items() if split == "train-1"}
    variants: dict[str, Split] = {
        file_of("train-1", code): "train-1"
        for code in pairs
        if has_skin_tone(code) and without_skin_tone(code) in training
    }
    return replace(plan, splits={**plan.splits, **variants}, draw=lambda file: draw(Path(file).stem))


def read_flat(package: Path) -> dict[str, bytes]:
    """The flat drawings, {code points as `code_of` writes them: SVG}, without LEFT_OUT."""
    left_out = {line.partition(",")[0] for line in LEFT_OUT.read_text(encoding="utf-8").splitlines()}
    members = dict(each_member(package, {"package/icons.json", "package/chars.json"}.__contains__, MAX_BYTES))
    drawings = {}
    try:
        set_of, names = (json.loads(members[f"package/{file}.json"]) for file in ("icons", "chars"))
        for points, name in names.items():
            if name in left_out or name not in set_of["icons"]:
                continue
            icon = set_of["icons"][name]
            width, height = (int(icon.get(side, set_of[side])) for side in ("width", "height"))
            root = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            drawings[code_of(points)] = f"{root}{icon['body']}</svg>".encode()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise GancompError(
            f"{package}: holds no drawings as {FLAT[0]} {FLAT[1]} has them ({type(error).__name__}: {error})"
        ) from None
    return drawings


def read_rendered(package: Path) -> dict[str, bytes]:
    """The 3D renderings, {code points as `code_of` writes them: WebP}."""

    def wanted(member: str) -> bool:
        return PurePosixPath(member).match("package/assets/*.webp")

    # Some occur twice, under a number with and without leading zeros.
    members = sorted(each_member(package, wanted, MAX_BYTES), reverse=True)
    return {code_of(PurePosixPath(member).stem): content for member, content in members}


def code_of(points: str) -> str:
    """Code points such as `0023-FE0F-20E3` as `23-20e3`: the packages differ in zeros and variation selectors."""
    return "-".join(point.lstrip("0") for point in points.lower().split("-") if point != "fe0f")


def has_skin_tone(code: str) -> bool:
    return without_skin_tone(code) != code


def without_skin_tone(code: str) -> str:
    return "-".join(point for point in code.split("-") if point not in _TONES)


def subject(code: str) -> str:
    """The emoji's code without man, woman, person and their signs, unless nothing else remains."""
    return "-".join(point for point in code.split("-") if point not in _WHO) or code


_TONES = frozenset(f"{tone:x}" for tone in range(0x1F3FB, 0x1F400))
_WHO = frozenset({"200d", "1f468", "1f469", "1f9d1", "2640", "2642"})


def edges(picture: Picture) -> Picture:
    """The edges of a picture (h, w, 3) as dark lines on white, uint8 of the same shape."""
    from scipy.ndimage import gaussian_gradient_magnitude  # slow to import, and used only here

    values = picture.astype(np.float32)
    change = np.max([gaussian_gradient_magnitude(values[..., channel], EDGE_SIGMA) for channel in range(3)], axis=0)
    darkness = np.clip(change / EDGE_STRENGTH, 0, 1) ** 2  # squared to suppress shading, which changes slowly
    return np.repeat(np.rint(255 * (1 - darkness)).astype(np.uint8)[..., None], 3, axis=2)
