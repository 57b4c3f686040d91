"""Latency on the runtimes that people deploy: the paper's Table 2, on this machine.

One picture at a time, as in Section 4.3. Each row runs in a process of its own, pinned to its threads' cores, so that
neither threads nor memory of one runtime disturb the next.
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import torch

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.deploy.formats import (
    CALIBRATION_PICTURES,
    Differences,
    Precision,
    export_generator,
    random_inputs,
    real_inputs,
)
from gancomp.deploy.runtimes import Pixels, Run, on_onnxruntime, on_openvino, on_pytorch
from gancomp.elastic.space import Widths, draw_widths
from gancomp.errors import first_line
from gancomp.extras import extra
from gancomp.measure.evaluate import Validation
from gancomp.measure.latency import summary, timed
from gancomp.measure.macs import profile
from gancomp.measure.memory import peak_bytes
from gancomp.nets import build_generator, load_generator, save_generator
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import write_json
from gancomp.pipeline.places import model_of
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.stages import generator_spec
from gancomp.report.records import RuntimeRow, Runtimes, SampledLatency, Scores
from gancomp.report.runtimes import write_report

Network = Literal["original", "compressed"]
RuntimeName = Literal["PyTorch", "torch.compile", "ONNX Runtime", "OpenVINO", "PyTorch CUDA"]


#: Runtimes and the numbers that they compute in; a GPU's come besides, where there is one.
KINDS: tuple[tuple[RuntimeName, str], ...] = (
    ("PyTorch", "fp32"),
    ("torch.compile", "fp32"),
    ("ONNX Runtime", "fp32"),
    ("ONNX Runtime", "int8"),
    ("OpenVINO", "fp32"),
    ("OpenVINO", "its default"),
    ("OpenVINO", "int8"),
)


#: Subnets that show how latency follows MACs.
SAMPLE = 12


@dataclass(frozen=True)
class Job:
    """A row to measure: which network on which runtime, from which *file*, on how many threads of the processor."""

    network: Network
    runtime: RuntimeName
    precision: str
    file: Path
    threads: int
    warmup: int
    runs: int


def measure_runtimes(config: Config, experiment: str) -> None:
    """`latency/latency.json`: original and compressed generator on every runtime that is here.

    A runtime that cannot run a network is a row that says why. Pictures in other numbers than fp32 are compared with
    PyTorch's, and FID and KID are measured of the compressed ones.
    """
    extra("openvino")  # it is among what is compared: told before the others are measured
    settings = config.experiments[experiment]
    validation = Validation(config, experiment, "cpu")
    folder = paths.stage(experiment, "latency")
    sources: dict[Network, Path] = {
        "original": model_of(config, experiment, "original"),
        "compressed": paths.stage(experiment, "export") / "model.safetensors",
    }
    direction = validation.dataset.direction
    real = real_inputs(validation.root, direction)
    calibration = real_inputs(validation.root, direction, "train-1", CALIBRATION_PICTURES)
    jobs: list[Job] = []
    for network, source in sources.items():
        files = _exported(folder, network, source, real, calibration)
        jobs += list(_jobs(network, source, files, settings.benchmark.warmup, settings.benchmark.runs))
    rows = []
    with Progress(f"latency {experiment}", len(jobs), "rows") as progress:
        for job in jobs:
            rows.append(_measured(job, sources[job.network], real))
            progress.advance(1, f"{job.network}, {job.runtime}")
    scored: dict[tuple[str, str], Scores] = {
        (job.runtime, job.precision): validation.score(
            _maker(open_job(job), validation), f"scores of {job.runtime}, {job.precision}"
        )[0].scores()
        for job, row in zip(jobs, rows, strict=True)
        if job.network == "compressed" and job.runtime != "torch.compile" and job.threads == _cores() and not row.failed
    }
    sample = _sampled(config, experiment, folder, settings.benchmark.runs)
    record = Runtimes(
        sample=sample,
        experiment=experiment,
        machine=provenance(),
        warmup=settings.benchmark.warmup,
        runs=settings.benchmark.runs,
        rows=tuple(
            row.model_copy(update={"fid": scores.fid, "kid": scores.kid})
            if row.network == "compressed" and (scores := scored.get((row.runtime, row.precision)))
            else row
            for row in rows
        ),
    )
    write_json(folder / "latency.json", record.model_dump(mode="json"))
    write_report(record, folder)


def _cores() -> int:
    return min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))


def _exported(folder: Path, network: str, source: Path, real: Pixels, calibration: Pixels) -> dict[Precision, Path]:
    precisions: dict[Precision, str] = {"fp32": "", "int8": "-int8"}
    return {
        precision: export_generator(
            source,
            "onnx",
            folder / "models" / f"{network}{suffix}.onnx",
            precision=precision,
            real=real,
            calibration=calibration,
        )
        for precision, suffix in precisions.items()
    }


def _file(source: Path, files: dict[Precision, Path], runtime: RuntimeName, precision: str) -> Path:
    if runtime in ("ONNX Runtime", "OpenVINO"):
        return files["int8" if precision == "int8" else "fp32"]
    return source


def _jobs(network: Network, source: Path, files: dict[Precision, Path], warmup: int, runs: int) -> list[Job]:
    every = [
        Job(network, runtime, precision, _file(source, files, runtime, precision), threads, warmup, runs)
        for runtime, precision in KINDS
        for threads in sorted({1, _cores()})
    ]
    if torch.cuda.is_available():
        every += [Job(network, "PyTorch CUDA", one, source, 0, warmup, runs) for one in ("fp32", "fp16")]
    return every


def open_job(job: Job) -> Run:
    """What *job* runs."""
    if job.runtime == "ONNX Runtime":
        return on_onnxruntime(job.file, job.threads)[0]
    if job.runtime == "OpenVINO":
        return on_openvino(job.file, job.threads, "exact" if job.precision == "fp32" else "fast")[0]
    generator = load_generator(job.file, "cuda" if job.runtime == "PyTorch CUDA" else "cpu")
    if job.runtime == "torch.compile":
        compiled = torch.compile(generator)
        torch.set_num_threads(job.threads)

        @torch.inference_mode()
        def run(x: Pixels) -> Pixels:
            made: Pixels = compiled(torch.from_numpy(x)).numpy()
            return made

        return run
    if job.precision == "fp16":
        run_half = generator.half()

        @torch.inference_mode()
        def half(x: Pixels) -> Pixels:
            made: Pixels = run_half(torch.from_numpy(x).cuda().half()).float().cpu().numpy()
            return made

        return half
    return on_pytorch(generator, job.threads)


def _measured(job: Job, source: Path, real: Pixels) -> RuntimeRow:
    """*job* in a fresh process."""
    counted = profile(read_header(source).spec)
    base = {"network": job.network, "runtime": job.runtime, "precision": job.precision, "threads": job.threads}
    base |= {"macs": counted.macs, "params": counted.params}
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(job, source, real, sending))
    process.start()
    sending.close()
    try:
        found = receiving.recv()
    except EOFError:
        found = {"failed": "its process died"}
    process.join()
    return RuntimeRow.model_validate(base | found)


def _measure(job: Job, source: Path, real: Pixels, sending: Any) -> None:
    try:
        if job.threads:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
            torch.set_num_threads(job.threads)
        run, x = open_job(job), real[:1]
        times = timed(lambda: run(x), max(1, job.warmup), job.runs)
        # Before PyTorch computes what to compare with.
        peak = peak_bytes()
        difference = Differences.between(on_pytorch(load_generator(source)), run, real)
        found: dict[str, Any] = {
            "latency_ms": dataclasses.asdict(summary(times)),
            "peak_rss_bytes": peak,
            "difference": dataclasses.asdict(difference),
        }
    except Exception as error:  # a runtime that is not here, a network that it cannot run: the row says so
        found = {"failed": first_line(error)}
    sending.send(found)
    sending.close()


def _sampled(config: Config, experiment: str, folder: Path, runs: int) -> tuple[SampledLatency, ...]:
    """Subnets of the experiment's space, spread over its MACs, in PyTorch and in OpenVINO; none if it has no space.

    Their weights are random, which changes no latency. They are visited in turns, so that a slow moment hits all alike.
    """
    settings = config.experiments[experiment]
    if settings.supernet is None:
        return ()
    student, space = generator_spec(config, experiment, "distill"), settings.supernet.space
    draw = rng.generator(settings.seed, "latency sample")
    drawn = {draw_widths(space, draw) for _ in range(50 * SAMPLE)}
    every = sorted(
        drawn | {tuple(choices[0] for choices in space), tuple(choices[-1] for choices in space)},
        key=lambda widths: profile(student.with_widths(widths)).macs,
    )
    chosen = list(dict.fromkeys(every[round(at * (len(every) - 1) / (SAMPLE - 1))] for at in range(SAMPLE)))
    torch.set_num_threads(_cores())
    x = random_inputs(student, student.size, 1)
    running: dict[tuple[str, Widths], Run] = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        Progress(f"sample {experiment}", len(chosen), "subnets") as progress,
    ):
        for widths in chosen:
            generator = build_generator(student.with_widths(widths)).eval()
            path = Path(temporary) / "subnet.safetensors"
            save_generator(path, generator, experiment=experiment, stage="sample", signature="")
            running["PyTorch", widths] = on_pytorch(generator, _cores())
            running["OpenVINO", widths] = on_openvino(export_generator(path, "onnx"), _cores())[0]
            progress.advance(1)
    times: dict[tuple[str, Widths], list[float]] = {key: [] for key in running}
    for turn in range(5):
        for key, run in running.items():
            times[key] += timed(functools.partial(run, x), 1 if turn == 0 else 0, max(1, runs // 5))
    return tuple(
        SampledLatency(
            widths=widths,
            macs=profile(student.with_widths(widths)).macs,
            runtime=runtime,
            ms=summary(times[runtime, widths]).median,
        )
        for runtime, widths in running
    )


def _maker(run: Run, validation: Validation) -> Any:
    def make(inputs: np.ndarray) -> np.ndarray:
        x = validation.pictures.encode(inputs).numpy()
        return np.concatenate([validation.pictures.decode(torch.from_numpy(run(one[None]))) for one in x])

    return make
