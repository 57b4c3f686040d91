"""The drawing page of an experiment: a folder of plain files that any web server can show."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gancomp.config.settings import Config
from gancomp.data.datasets import Pictures, to_rgb
from gancomp.data.images import encode_png
from gancomp.data.plan import Picture
from gancomp.deploy.demo.web_runtime import FILES
from gancomp.deploy.formats import export_generator
from gancomp.deploy.runtimes import Pixels
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import atomic, write_json
from gancomp.pipeline.places import model_of
from gancomp.spec import GeneratorSpec

PAGE = Path(__file__).with_name("page")
EXAMPLES = 9
#: Width of the pencil in pixels of the network's picture, for each 64 of its height; so many times as wide is a brush.
PENCIL, BRUSH = 2.0, 4.0
#: Colours that the page offers at most, and how far the parts of one must lie apart (of 255) for it not to be gray.
COLOURS, COLOURFUL = 12, 48


@dataclass(frozen=True)
class Shown:
    """A network of the page: its *name* (original, compressed), its heading, and its checkpoint."""

    name: str
    title: str
    checkpoint: Path


def build_demo(config: Config, experiment: str, web_runtime: Path) -> Path:
    """`demo/index.html` of *experiment* and what it needs beside it; *web_runtime* holds onnxruntime-web's files."""
    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    pictures = Pictures(paths.dataset(settings.dataset), ("val",), dataset.direction)
    every = range(len(pictures))
    chosen = [every[place * len(every) // EXAMPLES] for place in range(min(EXAMPLES, len(every)))]
    inputs = pictures.inputs(list(dict.fromkeys(chosen)))
    models = [
        Shown("original", "Original", model_of(config, experiment, "original")),
        Shown("compressed", "Compressed", paths.stage(experiment, "export") / "model.safetensors"),
    ]
    return write_page(
        paths.stage(experiment, "demo"),
        settings.title or experiment,
        models,
        list(to_rgb(inputs)),
        web_runtime,
        real=pictures.encode(inputs[:4]).numpy(),
        classes=[{"name": one.name, "colour": list(one.colour)} for one in pictures.classes],
    )


def write_page(
    folder: Path,
    title: str,
    models: Sequence[Shown],
    examples: Sequence[Picture],
    web_runtime: Path,
    *,
    real: Pixels | None = None,
    classes: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write the page into *folder*, `index.html` last; returns that path.

    GancompError if a network reads what the page cannot draw, or differs from PyTorch when it is exported.
    """
    rows = []
    for shown in models:
        generator = load_generator(shown.checkpoint)
        _refuse_undrawable(shown.checkpoint, generator.spec, len(classes))
        file = f"models/{shown.name}.onnx"
        export_generator(shown.checkpoint, "onnx", folder / file, real=real)
        counted = profile(generator.spec)
        rows.append(
            {
                "name": shown.name,
                "title": shown.title,
                "file": file,
                "macs": counted.macs,
                "params": counted.params,
                "bytes": (folder / file).stat().st_size,
            }
        )
    spec = generator.spec
    height, width = spec.size
    palette = [] if classes or spec.in_channels == 1 else palette_of(examples)
    for index, picture in enumerate(examples):
        with atomic(folder / "examples" / f"{index + 1}.png") as temporary:
            temporary.write_bytes(encode_png(np.ascontiguousarray(picture)))
    for name in FILES:
        _copy(web_runtime / name, folder / "ort" / name)
    write_json(
        folder / "demo.json",
        {
            "title": title,
            "size": [height, width],
            "channels": spec.in_channels,
            "shape": [1, spec.in_channels, height, width],
            "classes": list(classes),
            "palette": palette,
            "pencil": max(1.0, PENCIL * height / 64) * (BRUSH if palette else 1),
            "examples": [f"examples/{index + 1}.png" for index in range(len(examples))],
            "models": rows,
        },
    )
    for page in sorted(PAGE.iterdir(), key=lambda page: page.name == "index.html"):
        _copy(page, folder / page.name)
    return folder / "index.html"


def palette_of(examples: Sequence[Picture]) -> list[list[int]]:
    """The colours (red, green, blue) that *examples* are made of, dark to light; none where they are drawn in gray."""
    pixels = np.concatenate(
        [np.asarray(picture).reshape(-1, 3) for picture in examples] or [np.zeros((0, 3), np.uint8)]
    )
    if not len(pixels) or np.quantile(np.ptp(pixels, axis=1), 0.95) < COLOURFUL:
        return []
    few = Image.fromarray(pixels[None]).quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=2)
    found = np.unique(np.array(few.getpalette()).reshape(-1, 3)[: len(few.getcolors() or ())], axis=0)
    return sorted(map(list, found.tolist()), key=sum)


def _refuse_undrawable(path: Path, spec: GeneratorSpec, classes: int) -> None:
    if spec.reads_labels and spec.in_channels != classes + 1:
        raise GancompError(f"{path}: reads {spec.in_channels - 1} classes, but the data set names {classes}")
    if not spec.reads_labels and spec.in_channels not in (1, 3):
        raise GancompError(f"{path}: reads {spec.in_channels} channels; the page draws in gray or colour")


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        try:
            shutil.copyfile(source, temporary)
        except FileNotFoundError:
            raise GancompError(f"{source}: missing; run `gancomp web-runtime` first") from None
