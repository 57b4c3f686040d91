"""Export a generator to the formats of computers, phones and boards: one module for each format.

An export is run and compared with PyTorch before it is written; the differences are in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gancomp.data.datasets import Pictures
from gancomp.data.settings import Split
from gancomp.deploy.formats.coreml import to_coreml
from gancomp.deploy.formats.executorch import to_executorch
from gancomp.deploy.formats.litert import to_litert
from gancomp.deploy.formats.onnx import exported_onnx, to_int8, to_onnx
from gancomp.deploy.formats.openvino import to_openvino
from gancomp.deploy.formats.program import Precision, Program, quiet, random_inputs
from gancomp.deploy.formats.tensorrt import to_tensorrt
from gancomp.deploy.formats.torch import to_torch
from gancomp.deploy.runtimes import Pixels, Run, on_pytorch
from gancomp.errors import GancompError, first_line
from gancomp.nets import Generator, load_generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256, write_json
from gancomp.spec import GeneratorSpec

__all__ = [
    "CALIBRATION_PICTURES",
    "EXPORTERS",
    "LIMITS",
    "SUFFIX",
    "Differences",
    "Format",
    "Precision",
    "Program",
    "export_generator",
    "export_path",
    "exported_onnx",
    "random_inputs",
    "real_inputs",
]

Format = Literal["onnx", "openvino", "torch", "coreml", "litert", "executorch", "tensorrt"]
SUFFIX: dict[Format, str] = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torch": ".pt2",
    "coreml": ".mlpackage",
    "litert": ".tflite",
    "executorch": ".pte",
    "tensorrt": ".onnx",
}
#: Formats for phones and boards, which have a fixed input size, and the package that exports each.
EXPORTERS: dict[Format, str] = {
    "coreml": "coremltools",
    "litert": "litert-torch",
    "executorch": "executorch",
    "tensorrt": "torch.onnx",
}
#: Formats without half precision, and why.
WITHOUT_HALF: dict[Format, str] = {
    "litert": "litert-torch lowers no padding in half precision",
    "executorch": "XNNPACK keeps weights in float32",
}
#: Largest and mean difference from PyTorch, in 8-bit steps, that is still rounding.
LIMITS: dict[str, tuple[float, float]] = {"fp32": (1.0, 0.1), "fp16": (16.0, 1.0), "int8": (255.0, 8.0)}
RANDOM_PICTURES, REAL_PICTURES, CALIBRATION_PICTURES = 2, 4, 64


@dataclass(frozen=True)
class Differences:
    """How far two computations of the same *pictures* are apart, in 8-bit steps."""

    pictures: int
    max: float
    mean: float

    @staticmethod
    def between(expected: Run, got: Run, inputs: Pixels) -> Differences:
        """Of *inputs* (n, c, h, w), one by one."""
        each = [np.abs(expected(x[None]) - got(x[None])) * 127.5 for x in inputs]
        worst, mean = max(float(one.max()) for one in each), float(np.mean([one.mean() for one in each]))
        return Differences(len(each), worst, mean)


def export_path(model: Path, to: Format, precision: Precision = "fp32") -> Path:
    """Where the export of *model* goes unless told otherwise: beside it."""
    name = model.stem + ("-tensorrt" if to == "tensorrt" else "") + ("" if precision == "fp32" else f"-{precision}")
    return model.with_name(name + SUFFIX[to])


def export_generator(
    model: Path,
    to: Format,
    out: Path | None = None,
    *,
    precision: Precision = "fp32",
    dynamic: bool = False,
    real: Pixels | None = None,
    calibration: Pixels | None = None,
) -> Path:
    """Write the generator of checkpoint *model* as *to*, and `….json` beside it; returns the file's path.

    *precision* is that of the weights and, but for OpenVINO, of the arithmetic; inputs and pictures are float32
    whatever it is. int8 is for ONNX (OpenVINO runs that file too) and needs *calibration*: inputs that tell how large
    the activations become. *dynamic* leaves height and width open. It is compared on random inputs and on *real* ones
    (n, c, h, w); where it differs by more than LIMITS, GancompError says by how much and nothing is written.
    """
    out = out or export_path(model, to, precision)
    _refuse_options(out, to, precision, dynamic, calibrated=calibration is not None)
    header = read_header(model)
    generator = load_generator(model).float()
    spec = generator.spec
    _refuse_foreign(spec, real)
    _refuse_foreign(spec, calibration)
    program = _converted(out, generator, to, precision, dynamic, calibration)
    inputs = {"random": random_inputs(spec, spec.size, RANDOM_PICTURES)}
    if dynamic:
        inputs["random, another size"] = random_inputs(spec, _other_size(spec), 1)
    if real is not None:
        inputs["real"] = real

    def differences(run: Run) -> dict[str, Differences]:
        return {name: Differences.between(on_pytorch(generator), run, given) for name, given in inputs.items()}

    try:
        found = differences(program.run)
    except Exception as error:  # each runtime raises its own
        raise GancompError(
            f"{out}: not written: the exported program does not run ({first_line(error)})"
            + ("; try a fixed size" if dynamic else "")
        ) from None
    _refuse_mismatch(out, precision, found)
    about = {
        "header": header.model_dump(mode="json"),
        "source_sha256": file_sha256(model),
        "format": to,
        "precision": precision,
        "size": "dynamic" if dynamic else list(spec.size),
        "versions": program.versions,
        "differences_in_8_bit_steps": {name: vars(one) for name, one in found.items()},
    }
    if program.fast:
        fast = differences(program.fast)
        about["differences_in_runtimes_own_precision"] = {name: vars(one) for name, one in fast.items()}
    program.write(out, json.dumps(about, sort_keys=True))
    write_json(out.with_name(out.name + ".json"), about | {"bytes": _bytes_of(out), "sha256": file_sha256(out)})
    return out


def _refuse_options(out: Path, to: Format, precision: Precision, dynamic: bool, *, calibrated: bool) -> None:
    """Raises GancompError for options that *to* does not support, before anything is loaded."""
    if out.suffix != SUFFIX[to]:
        raise GancompError(f"{out}: a file for {to} ends in {SUFFIX[to]}")
    if precision == "int8" and (to != "onnx" or not calibrated or dynamic):
        raise GancompError(f"{out}: int8 is for ONNX of a fixed size, and needs a data set to calibrate on (--data)")
    if dynamic and to in EXPORTERS:
        raise GancompError(f"{out}: {to} is exported with one size: leave out --dynamic")
    if precision == "fp16" and to in WITHOUT_HALF:
        raise GancompError(f"{out}: {to} has no fp16 here: {WITHOUT_HALF[to]}; leave out --precision")


def _converted(
    out: Path, generator: Generator, to: Format, precision: Precision, dynamic: bool, calibration: Pixels | None
) -> Program:
    """*generator* as *to*. Raises GancompError, which names the exporter and its reason, if it cannot be converted."""
    try:
        with quiet():
            if calibration is not None and precision == "int8":
                return to_int8(generator, calibration)
            return PROGRAMS[to](generator, precision, dynamic)
    except GancompError as error:
        raise GancompError(f"{out}: not written: {error}") from None
    except Exception as error:  # each exporter raises its own
        if to not in EXPORTERS:
            raise
        raise GancompError(f"{out}: not written: {EXPORTERS[to]} cannot convert it ({first_line(error)})") from error


def real_inputs(
    root: Path, direction: Literal["AtoB", "BtoA"], split: Split = "val", count: int = REAL_PICTURES
) -> Pixels:
    """*count* inputs of the data set built in *root*, spread over *split*, as a generator reads them."""
    pictures = Pictures(root, (split,), direction)
    count = min(count, len(pictures))
    read: Pixels = pictures.encode(pictures.inputs([at * len(pictures) // count for at in range(count)])).numpy()
    return read


def _refuse_foreign(spec: GeneratorSpec, real: Pixels | None) -> None:
    expected = (spec.in_channels, *spec.size)
    if real is not None and real.shape[1:] != expected:
        raise GancompError(
            f"data: its inputs are {_shape(real.shape[1:])} (channels, height, width), "
            f"but this model reads {_shape(expected)}"
        )


def _shape(sides: Sequence[int]) -> str:
    return "×".join(map(str, sides))


def _refuse_mismatch(out: Path, precision: str, differences: dict[str, Differences]) -> None:
    most, mean = LIMITS[precision]
    for name, found in differences.items():
        # Written so that NaN fails.
        if not (found.max <= most and found.mean <= mean):
            raise GancompError(
                f"{out}: not written: on {name} inputs its pictures differ from PyTorch's by up to {found.max:.3g} "
                f"8-bit steps, {found.mean:.3g} on average ({precision} may differ by {most:g} and {mean:g})"
            )


def _other_size(spec: GeneratorSpec) -> tuple[int, int]:
    height, width = spec.size
    return height + spec.stride, width + 2 * spec.stride


def _bytes_of(out: Path) -> int:
    if out.is_dir():
        return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    weights = out.with_suffix(".bin")
    return out.stat().st_size + (weights.stat().st_size if out.suffix == ".xml" else 0)


PROGRAMS: dict[Format, Callable[[Generator, Precision, bool], Program]] = {
    "onnx": to_onnx,
    "openvino": to_openvino,
    "torch": to_torch,
    "coreml": to_coreml,
    "litert": to_litert,
    "executorch": to_executorch,
    "tensorrt": to_tensorrt,
}
