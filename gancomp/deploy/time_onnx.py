"""Times ONNX files on this device: python time_onnx.py [FOLDER] [--threads N] [--provider NAME] > times.csv

Needs onnxruntime (and numpy, which comes with it), and nothing else of gancomp: copy the folder with it to the device.
The table that it prints is what `search.latency.runtime` takes.
"""

import argparse
import pathlib
import random
import statistics
import sys
import time

import numpy
import onnxruntime

ROUNDS, WARMUP, RUNS = 5, 2, 10


def fastest_ms(path: pathlib.Path, threads: int, provider: str) -> float:
    """Milliseconds of the fastest of a few runs of the program in *path* on random inputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    asked = session.get_inputs()[0]
    inputs = {asked.name: numpy.random.default_rng(0).random(asked.shape, dtype=numpy.float32)}
    times = []
    for _ in range(WARMUP + RUNS):
        start = time.perf_counter()
        session.run(None, inputs)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times[WARMUP:])


def main() -> None:
    """Visit every file in turns, so that what slows the device for a while slows none alone; print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as onnxruntime likes")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="such as NnapiExecutionProvider")
    asked = parser.parse_args()
    visits: dict[str, list[float]] = {path.stem: [] for path in sorted(asked.folder.glob("*.onnx"))}
    if not visits:
        sys.exit(f"{asked.folder}: holds no .onnx files")
    for turn in range(ROUNDS):
        for name in random.sample(sorted(visits), len(visits)):
            visits[name].append(fastest_ms(asked.folder / f"{name}.onnx", asked.threads, asked.provider))
        print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr)
    print("widths,ms")
    for name, times in visits.items():
        print(f"{name},{statistics.median(times):.4f}")


if __name__ == "__main__":
    main()
