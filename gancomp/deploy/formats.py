"""A generator in the formats that people deploy: ONNX, OpenVINO IR, a `torch.export` program.

Each is run and held against PyTorch before it gets its name; how far they are apart lies in its metadata.
"""

from __future__ import annotations

import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gancomp.data.datasets import Pictures
from gancomp.data.settings import Split
from gancomp.deploy.runtimes import Pixels, Run, on_onnxruntime, on_openvino, on_pytorch
from gancomp.errors import GancompError
from gancomp.extras import extra
from gancomp.nets import Generator, load_generator
from gancomp.pipeline.checkpoints import HEADER_KEY, read_header
from gancomp.pipeline.files import atomic, file_sha256, write_json
from gancomp.spec import GeneratorSpec

Format = Literal["onnx", "openvino", "torch"]
Precision = Literal["fp32", "fp16", "int8"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
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


@dataclass(frozen=True)
class Program:
    """An exported generator that is not yet written: how it runs, and how it is written with its metadata."""

    run: Run
    write: Callable[[Path, str], None]
    versions: dict[str, str]
    #: In the numbers that the runtime prefers on this processor, where those are others (bf16, say).
    fast: Run | None = None


def export_path(model: Path, to: Format, precision: Precision = "fp32") -> Path:
    """Where the export of *model* goes unless told otherwise: beside it."""
    return model.with_name(model.stem + ("" if precision == "fp32" else f"-{precision}") + SUFFIX[to])


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

    *precision* is that of the weights and, in ONNX and torch, of the arithmetic; inputs and pictures are float32
    whatever it is. int8 is for ONNX (OpenVINO runs that file too) and needs *calibration*: inputs that tell how large
    the activations become. *dynamic* leaves height and width open. It is compared on random inputs and on *real* ones
    (n, c, h, w); where it differs by more than LIMITS, GancompError says by how much and nothing is written.
    """
    out = out or export_path(model, to, precision)
    if out.suffix != SUFFIX[to]:
        raise GancompError(f"{out}: a file for {to} ends in {SUFFIX[to]}")
    if precision == "int8" and (to != "onnx" or calibration is None or dynamic):
        raise GancompError(f"{out}: int8 is for ONNX of a fixed size, and needs a data set to calibrate on (--data)")
    header = read_header(model)
    generator = load_generator(model).float()
    _refuse_foreign(generator.spec, real)
    _refuse_foreign(generator.spec, calibration)
    with _quiet():
        if calibration is not None and precision == "int8":
            program = _to_int8(generator, calibration)
        else:
            program = PROGRAMS[to](generator, precision, dynamic)
    inputs = {"random": random_inputs(generator.spec, generator.spec.size, RANDOM_PICTURES)}
    if dynamic:
        inputs["random, another size"] = random_inputs(generator.spec, _other_size(generator.spec), 1)
    if real is not None:
        inputs["real"] = real

    def differences(run: Run) -> dict[str, Differences]:
        return {name: Differences.between(on_pytorch(generator), run, given) for name, given in inputs.items()}

    try:
        found = differences(program.run)
    except Exception as error:  # each runtime raises its own
        raise GancompError(
            f"{out}: not written: the exported program does not run ({str(error).splitlines()[0][:200]})"
            + ("; try a fixed size" if dynamic else "")
        ) from None
    _refuse_mismatch(out, precision, found)
    about = {
        "header": header.model_dump(mode="json"),
        "source_sha256": file_sha256(model),
        "format": to,
        "precision": precision,
        "size": "dynamic" if dynamic else list(generator.spec.size),
        "versions": program.versions,
        "differences_in_8_bit_steps": {name: vars(one) for name, one in found.items()},
    }
    if program.fast:
        about["differences_in_runtimes_own_precision"] = {
            name: vars(one) for name, one in differences(program.fast).items()
        }
    program.write(out, json.dumps(about, sort_keys=True))
    write_json(out.with_name(out.name + ".json"), about | {"bytes": _bytes_of(out), "sha256": file_sha256(out)})
    return out


def random_inputs(spec: GeneratorSpec, size: tuple[int, int], count: int) -> Pixels:
    """*count* inputs (n, c, height, width) of noise; for a spade generator, label maps of random blocks with edges."""
    draw = np.random.default_rng(0)
    if not spec.reads_labels:
        return draw.uniform(-1, 1, (count, spec.in_channels, *size)).astype(np.float32)
    ids = draw.integers(spec.in_channels - 1, size=(count, -(-size[0] // 8), -(-size[1] // 8)))
    ids = ids.repeat(8, axis=1).repeat(8, axis=2)[:, : size[0], : size[1]]
    planes = np.zeros((count, spec.in_channels, *size), np.float32)
    np.put_along_axis(planes, ids[:, None], 1.0, axis=1)
    planes[:, -1, ::8] = planes[:, -1, :, ::8] = 1.0
    return planes


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
    weights = out.with_suffix(".bin")
    return out.stat().st_size + (weights.stat().st_size if out.suffix == ".xml" else 0)


# --- the formats -------------------------------------------------------------------------------


class _Half(nn.Module):
    """The generator in half precision between a float32 input and a float32 picture."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).half()

    def forward(self, x: Tensor) -> Tensor:
        picture: Tensor = self.generator(x.half()).float()
        return picture


def _module(generator: Generator, precision: Precision) -> nn.Module:
    return _Half(generator) if precision == "fp16" else generator


def _example(generator: Generator) -> Tensor:
    return torch.from_numpy(random_inputs(generator.spec, generator.spec.size, 1))


def _shapes(dynamic: bool) -> tuple[dict[int, Any]] | None:
    return ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},) if dynamic else None


def exported_onnx(generator: Generator) -> Any:
    """*generator* as an `onnx.ModelProto`, in fp32 and of its own size, compared with nothing."""
    import onnx_ir

    with _quiet():
        return onnx_ir.to_proto(_onnx_model(generator, _example(generator), dynamic=False))


def _onnx_model(module: nn.Module, example: Tensor, dynamic: bool) -> Any:
    exported = torch.onnx.export(
        module,
        (example,),
        input_names=["input"],
        output_names=["picture"],
        dynamic_shapes=_shapes(dynamic),
        external_data=False,
        dynamo=True,
        optimize=True,  # folds BatchNorm into the convolution before it, where there is one
        verbose=False,
    )
    if exported is None:
        raise AssertionError("torch.onnx.export with dynamo=True returns a program")
    model = exported.model
    for holder in (model, model.graph, *model.graph):
        holder.metadata_props.clear()  # where the exporting machine keeps its source files
    return model


def _to_onnx(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    import onnx_ir
    import onnxruntime

    model = _onnx_model(_module(generator, precision), _example(generator), dynamic)
    proto = onnx_ir.to_proto(model)
    run, _ = on_onnxruntime(proto.SerializeToString())

    def write(out: Path, about: str) -> None:
        model.metadata_props[HEADER_KEY] = about
        with atomic(out) as temporary:
            temporary.write_bytes(onnx_ir.to_proto(model).SerializeToString(deterministic=True))

    return Program(
        run,
        write,
        {"torch": torch.__version__, "opset": str(model.opset_imports[""]), "onnxruntime": onnxruntime.__version__},
    )


def _to_int8(generator: Generator, calibration: Pixels) -> Program:
    """Static quantisation of the convolutions by ONNX Runtime's own tools: weights by channel, activations by range."""
    import onnx_ir
    from onnxruntime.quantization import QuantType, quantize_static

    class Reader:
        def __init__(self) -> None:
            self._inputs = iter(calibration)

        def get_next(self) -> dict[str, Pixels] | None:
            x = next(self._inputs, None)
            return None if x is None else {"input": x[None]}

    whole = _to_onnx(generator, "fp32", dynamic=False)
    with tempfile.TemporaryDirectory() as folder:
        path, quantised = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        whole.write(path, "{}")
        quantize_static(
            path,
            quantised,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Normalisation stays in floating point: its sums are what 8 bits do not hold.
            op_types_to_quantize=["Conv", "ConvTranspose"],
        )
        model = onnx_ir.load(quantised)
        content = quantised.read_bytes()
    run, _ = on_onnxruntime(content)

    def write(out: Path, about: str) -> None:
        model.metadata_props[HEADER_KEY] = about
        with atomic(out) as temporary:
            temporary.write_bytes(onnx_ir.to_proto(model).SerializeToString(deterministic=True))

    return Program(run, write, whole.versions | {"calibration_pictures": str(len(calibration))})


def _to_openvino(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    openvino = extra("openvino")
    # By way of ONNX, where BatchNorm is folded already.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _to_onnx(generator, "fp32", dynamic).write(path, "{}")
        model = openvino.convert_model(path)
    kept = tempfile.TemporaryDirectory()
    whole = Path(kept.name) / "model.xml"

    def save() -> None:
        openvino.save_model(model, whole, compress_to_fp16=precision == "fp16")

    save()
    run, _ = on_openvino(whole, numbers="exact")
    fast, _ = on_openvino(whole, numbers="fast")

    def write(out: Path, about: str) -> None:
        model.set_rt_info(about, HEADER_KEY)
        save()
        # The weights first: a reader that finds the graph finds them.
        for suffix in (".bin", ".xml"):
            with atomic(out.with_suffix(suffix)) as temporary:
                temporary.write_bytes(whole.with_suffix(suffix).read_bytes())
        kept.cleanup()

    return Program(run, write, {"torch": torch.__version__, "openvino": openvino.__version__}, fast)


def _to_torch(generator: Generator, precision: Precision, dynamic: bool) -> Program:
    program = torch.export.export(
        _module(generator, precision).eval(), (_example(generator),), dynamic_shapes=_shapes(dynamic)
    )
    module = program.module()

    @torch.inference_mode()
    def run(x: Pixels) -> Pixels:
        made: Pixels = module(torch.from_numpy(x)).numpy()
        return made

    def write(out: Path, about: str) -> None:
        with atomic(out) as temporary:
            torch.export.save(program, temporary, extra_files={f"{HEADER_KEY}.json": about})

    return Program(run, write, {"torch": torch.__version__})


PROGRAMS: dict[Format, Callable[[Generator, Precision, bool], Program]] = {
    "onnx": _to_onnx,
    "openvino": _to_openvino,
    "torch": _to_torch,
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' own notes, which tell a user nothing that the comparison does not."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
