"""A compressed ResNet at 256x256 on each runtime, as it is exported and before `deploy.formats.folded`, against the
original in PyTorch. Run it alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def programs_of(widths: tuple[int, ...]) -> dict[str, Any]:
    """The separable ResNet-9 of *widths* at 256x256 as torch.onnx writes it, and folded as it is exported."""
    from gancomp.deploy.formats import exported_onnx
    from gancomp.deploy.formats.folded import folded
    from gancomp.deploy.subnets import random_generator
    from gancomp.spec import GeneratorSpec

    plain = exported_onnx(random_generator(GeneratorSpec(widths=widths, block="separable")))
    return {"plain": plain, "as exported": folded(plain)}


def runs_of(programs: dict[str, Any], threads: int) -> dict[tuple[str, str], Callable[[NDArray[Any]], Any]]:
    """By runtime and program what runs it; first CycleGAN's original in PyTorch."""
    from gancomp.deploy.runtimes import on_onnxruntime, on_openvino, on_pytorch
    from gancomp.deploy.subnets import random_generator
    from gancomp.spec import GeneratorSpec

    original = random_generator(GeneratorSpec(widths=(64,)))
    runs: dict[tuple[str, str], Callable[[NDArray[Any]], Any]] = {
        ("PyTorch", "original, ngf 64"): on_pytorch(original, threads)
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
    parser.add_argument("--widths", default="32_32_40_32_32_40_24_16", help="of the compressed ResNet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    runs = runs_of(programs_of(tuple(int(width) for width in asked.widths.split("_"))), asked.threads)
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
