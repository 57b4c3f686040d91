"""Generators on the runtimes that people deploy: PyTorch, ONNX Runtime, OpenVINO, LiteRT, ExecuTorch. All speak float32
arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from gancomp.errors import GancompError, first_line
from gancomp.extras import extra
from gancomp.nets import Generator, load_generator
from gancomp.pipeline.checkpoints import HEADER_KEY, Header
from gancomp.spec import GeneratorSpec, Role, ValueRange

Pixels = NDArray[np.float32]
#: Inputs (n, channels, height, width) → pictures (n, c, height, width), both in [-1, 1].
Run = Callable[[Pixels], Pixels]
#: What a runtime computes in: the file's own numbers, or whatever the runtime likes best on this processor.
Numbers = Literal["exact", "fast"]
#: The runtime that each kind of file is for.
SUFFIXES = {
    ".safetensors": "pytorch",
    ".onnx": "onnxruntime",
    ".xml": "openvino",
    ".tflite": "litert",
    ".pte": "executorch",
}
#: The metadata of LiteRT and ExecuTorch files: a file in the zip at their end.
NOTE = "gancomp.json"
#: Most bytes that it may have: a file of another origin could unfold to any size.
MOST_NOTE = 16_000_000


@dataclass(frozen=True)
class Model:
    """A generator that runs, whatever file it came from. *size* is (height, width) where it can do no other, *ranges*
    are those of numbers that it reads or makes, *runtime* is one of SUFFIXES."""

    spec: GeneratorSpec
    run: Run
    size: tuple[int, int] | None = None
    ranges: Mapping[Role, ValueRange] = field(default_factory=dict)
    runtime: str = "pytorch"


def open_model(path: Path, threads: int = 0, numbers: Numbers = "fast") -> Model:
    """The model in *path*, on its runtime and *threads* threads (0: as many as that runtime likes).

    GancompError if it is missing, damaged, of a kind that no runtime here reads, or was not written by gancomp.
    """
    kind = SUFFIXES.get(path.suffix)
    if path.suffix == ".mlpackage":
        raise GancompError(f"{path}: only Apple's machines run Core ML, from an app (docs/phone.md)")
    if kind is None:
        raise GancompError(f"{path}: is none of {', '.join(SUFFIXES)}, which are what gancomp runs")
    if not path.is_file():
        raise GancompError(f"{path}: no such file")
    if kind == "pytorch":
        generator = load_generator(path)
        return Model(generator.spec, on_pytorch(generator, threads), ranges=generator.ranges)
    try:
        if kind == "litert":
            return _litert(path, threads)
        if kind == "executorch":
            return _executorch(path)
        return _onnx(path, threads) if kind == "onnxruntime" else _openvino(path, threads, numbers)
    except GancompError:
        raise
    # What the runtimes raise on damaged files is as varied as the damage.
    except Exception as error:
        raise GancompError(f"{path}: {kind} cannot read it ({first_line(error)})") from None


def on_pytorch(generator: Generator, threads: int = 0) -> Run:
    """*generator* in PyTorch eager, where its weights lie."""
    where = next(generator.parameters()).device

    @torch.inference_mode()
    def run(x: Pixels) -> Pixels:
        if threads and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        made: Pixels = generator(torch.from_numpy(x).to(where)).float().cpu().numpy()
        return made

    return run


def on_onnxruntime(model: Path | bytes, threads: int = 0) -> tuple[Run, Any]:
    """An ONNX model on ONNX Runtime's CPU provider, and the session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Else the threads of a session that has run wait actively, and take the processor from what runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Pixels) -> Pixels:
        made: Pixels = session.run(None, {name: x})[0]
        return made

    return run, session


def on_openvino(model: Any, threads: int = 0, numbers: Numbers = "fast", device: str = "CPU") -> tuple[Run, Any]:
    """A model that OpenVINO reads (a path, a file's content, or one of its own) on *device*, and the compiled one."""
    openvino = extra("openvino")
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads and device == "CPU":
        options["INFERENCE_NUM_THREADS"] = threads
    if numbers == "exact":
        options["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    own = core.read_model(model) if isinstance(model, (str, Path, bytes)) else model
    compiled = core.compile_model(own, device, options)
    request = compiled.create_infer_request()

    def run(x: Pixels) -> Pixels:
        made: Pixels = np.array(request.infer([x])[0], dtype=np.float32)
        return made

    return run, compiled


def on_litert(model: bytes, threads: int = 0) -> tuple[Run, Any]:
    """A LiteRT model of one fixed size on the CPU (XNNPACK), and its interpreter."""
    extra("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads or None)
    interpreter.allocate_tensors()
    reads, makes = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: Pixels) -> Pixels:
        interpreter.set_tensor(reads["index"], x)
        interpreter.invoke()
        made: Pixels = interpreter.get_tensor(makes["index"])
        return made

    return run, interpreter


def on_executorch(model: bytes) -> tuple[Run, Any]:
    """An ExecuTorch program on the CPU (XNNPACK), on as many threads as it likes, and the program."""
    extra("executorch")
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(model)
    if program.load_method("forward") is None:
        raise GancompError("the program has no method `forward`")

    def run(x: Pixels) -> Pixels:
        # By way of the program, which keeps the bytes that its methods read: without it they are freed.
        picture = program.load_method("forward").execute([torch.from_numpy(x)])[0]
        made: Pixels = picture.numpy().copy()  # the next picture takes its place
        return made

    return run, program


def _litert(path: Path, threads: int) -> Model:
    header = _header(path, _note(path))
    run, interpreter = on_litert(path.read_bytes(), threads)
    shape = interpreter.get_input_details()[0]["shape"].tolist()
    return Model(header.spec, _one_by_one(run), _fixed(shape), header.ranges, "litert")


def _executorch(path: Path) -> Model:
    header = _header(path, _note(path))
    run, program = on_executorch(path.read_bytes())
    shape = program.metadata("forward").input_tensor_meta(0).sizes()
    return Model(header.spec, _one_by_one(run), _fixed(shape), header.ranges, "executorch")


def _note(path: Path) -> str | None:
    """What `write_with_note` wrote behind a program; None if there is nothing, or more than a header can be."""
    try:
        with ZipFile(path) as archive, archive.open(NOTE) as member:
            note = member.read(MOST_NOTE + 1)
        return note.decode() if len(note) <= MOST_NOTE else None
    except (BadZipFile, KeyError, UnicodeDecodeError):
        return None


def _onnx(path: Path, threads: int) -> Model:
    run, session = on_onnxruntime(path, threads)
    header = _header(path, session.get_modelmeta().custom_metadata_map.get(HEADER_KEY))
    return Model(header.spec, _one_by_one(run), _fixed(session.get_inputs()[0].shape), header.ranges, "onnxruntime")


def _openvino(path: Path, threads: int, numbers: Numbers) -> Model:
    openvino = extra("openvino")
    if not path.with_suffix(".bin").is_file():
        raise GancompError(f"{path.with_suffix('.bin')}: missing; the weights of {path.name} are kept there")
    model = openvino.Core().read_model(path)
    text = model.get_rt_info(HEADER_KEY).astype(str) if model.has_rt_info(HEADER_KEY) else None
    run, _ = on_openvino(model, threads, numbers)
    shape = model.input(0).partial_shape
    header, size = _header(path, text), _fixed([None if side.is_dynamic else side.get_length() for side in shape])
    return Model(header.spec, _one_by_one(run), size, header.ranges, "openvino")


def _one_by_one(run: Run) -> Run:
    """*run*, which reads one picture at a time, for any number."""
    return lambda x: np.concatenate([run(x[at : at + 1]) for at in range(len(x))])


def _fixed(shape: Any) -> tuple[int, int] | None:
    height, width = shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _header(path: Path, text: str | None) -> Header:
    try:
        return Header.model_validate(json.loads(text or "")["header"])
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        raise GancompError(f"{path}: was not exported by gancomp: it does not say what it reads") from None
