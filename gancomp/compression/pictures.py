"""Detect the layout of a folder of pictures, and the model for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gancomp.config.values import Model
from gancomp.convert.telling import describe
from gancomp.data.images import SUFFIXES
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec

Direction = Literal["AtoB", "BtoA"]

LAYOUTS = """\
  train/ and val/ (or test/)   pictures A|B side by side, for pix2pix
  trainA/ and trainB/          two domains, for CycleGAN; testA/ and testB/ (or valA/ and valB/) where there are any
  images/ and labels/          photos and label maps of the same names, for GauGAN; instances/, and val_images/,
                               val_labels/ and val_instances/ where there are any"""


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures: the model that learns from it, the data set to declare, the number of training pictures."""

    model: Model
    declared: dict[str, Any]
    count: int


def pictures_in(data: Path, spec: GeneratorSpec, direction: Direction = "AtoB") -> Pictures:
    """The contents of *data* as a data set for a generator of *spec*.

    Raises GancompError with the three layouts if it has none of them or no pictures, or if the generator
    does not match the layout.
    """

    def folder(*names: str) -> str | None:
        return next((str(data / name) for name in names if (data / name).is_dir()), None)

    height, width = spec.size
    common: dict[str, Any] = {"size": f"{height}x{width}", "load_size": f"{height * 286 // 256}x{width * 286 // 256}"}
    made = {"target_channels": spec.out_channels} if spec.out_channels != 3 else {}
    common |= {"direction": direction, "channels": spec.in_channels} | made
    if (a := folder("trainA")) and (b := folder("trainB")):
        model: Model = "cyclegan"
        own = {"source": "folders", "a": a, "b": b, "val_a": folder("testA", "valA"), "val_b": folder("testB", "valB")}
        declared, counted = own | common, [a, b]
    elif (train := folder("train")) and folder("val", "test"):
        model = "pix2pix"
        declared, counted = {"source": "aligned", "path": str(data)} | common, [train]
    elif (images := folder("images")) and folder("labels"):
        model = "gaugan"
        parts = ("images", "labels", "instances", "val_images", "val_labels", "val_instances")
        # A generator's channels are the classes, "unlabelled", and the edges.
        names = [f"class {index}" for index in range(spec.in_channels - 2)]
        declared = {
            "source": "labels",
            **{part: folder(part) for part in parts},
            "names": names,
            "size": common["size"],
            **made,
        }
        counted = [images]
    else:
        raise GancompError(f"{data}: is not a folder of pictures in a known layout:\n{LAYOUTS}")
    if (model == "gaugan") != spec.reads_labels:
        raise GancompError(
            f"{data}: has the layout for {model}, but the generator is {describe(spec)}; only SPADE generators read "
            f"label maps, and they read nothing else. The layouts:\n{LAYOUTS}"
        )
    if model == "gaugan" and direction == "BtoA":
        raise GancompError(f"{data}: the input of a SPADE generator is the label map; remove the direction")
    if model != "gaugan" and spec.in_channels > 4:
        raise GancompError(f"{data}: the generator reads {spec.in_channels} channels, and pictures have at most 4")
    if spec.out_channels > 4:
        raise GancompError(
            f"{data}: the generator has {spec.out_channels} output channels, and pictures have at most 4"
        )
    if spec.out_channels == 2:
        raise GancompError(
            f"{data}: the generator has 2 output channels. If they are a and b of Lab, as in pix2pix's colorization, "
            "they are not supported; if they are gray and alpha, write the configuration by hand, "
            "with target_channels: 2 (docs/data.md)"
        )
    count = max(sum(path.suffix.lower() in SUFFIXES for path in Path(part).iterdir()) for part in counted)
    if not count:
        raise GancompError(f"{counted[0]}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return Pictures(model, {key: value for key, value in declared.items() if value is not None}, count)
