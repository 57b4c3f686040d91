"""A compressed generator at 256x256 on each runtime, as it is exported and before `deploy.formats.folded`, against the
original in PyTorch. Run it alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def specs_of(family: str, widths: tuple[int, ...]) -> tuple[Any, Any]:
    """The original of *family*, as published, and the compressed one of *widths*."""
    from gancomp.spec import GeneratorSpec

    if family == "unet":
        return tuple(GeneratorSpec(family="unet", widths=one, downs=8, norm="batch") for one in (64, widths))
    return GeneratorSpec(widths=64), GeneratorSpec(widths=widths, block="separable")


def runs_of(original: Any, compressed: Any, threads: int) -> dict[tuple[str, str], Callable[[NDArray[Any]], Any]]:
    """By runtime and program what runs it; first *original* in PyTorch."""
    from gancomp.deploy.formats import exported_onnx
    from gancomp.deploy.formats.folded import folded
    from gancomp.deploy.runtimes import on_onnxruntime, on_openvino, on_pytorch
    from gancomp.deploy.subnets import random_generator

    plain = exported_onnx(random_generator(compressed))
    programs = {"as torch writes it": plain, "as exported": folded(plain)}
    runs: dict[tuple[str, str], Callable[[NDArray[Any]], Any]] = {
        ("PyTorch", "original, ngf 64"): on_pytorch(random_generator(original), threads)
    }
    for name, program in programs.items():
        content = program.SerializeToString()
        runs["ONNX Runtime", name] = on_onnxruntime(content, threads)[0]
        runs["OpenVINO, fp32", name] = on_openvino(content, threads, "exact")[0]
        runs["OpenVINO, its default", name] = on_openvino(content, threads)[0]
    return runs


def main() -> None:
    """Print the fastest run of each by the clock and by processor time, taken in turns, and factors of the latter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["resnet", "unet"], default="resnet")
    parser.add_argument("--widths", default="16_16_16_16_16_16_16_16", help="of the compressed generator")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    widths = tuple(int(width) for width in asked.widths.split("_"))
    runs = runs_of(*specs_of(asked.family, widths), asked.threads)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in runs}
    for turn in range(asked.rounds + 1):
        for key, run in runs.items():
            wall, busy = time.perf_counter(), time.process_time()
            run(x)
            if turn:
                times[key].append((time.perf_counter() - wall, time.process_time() - busy))
    base = min(busy for _, busy in times["PyTorch", "original, ngf 64"])
    print(
        "| Runtime | Program | ms, clock | ms, processor | x faster than the original |",
        "| :-- | :-- | --: | --: | --: |",
        sep="\n",
    )
    for (runtime, name), taken in times.items():
        wall, busy = (min(one[at] for one in taken) for at in (0, 1))
        print(f"| {runtime} | {name} | {wall * 1e3:.1f} | {busy * 1e3:.1f} | {base / busy:.1f} |")


if __name__ == "__main__":
    main()
