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
from collections.abc import Callable

import numpy
import onnxruntime

ROUNDS, RUNS = 3, 8


def opened(path: pathlib.Path, threads: int, provider: str) -> Callable[[], float]:
    """A function that runs the program in *path* once on random inputs and returns its milliseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The threads of a session that has run would wait actively beside those of the one that runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    asked = session.get_inputs()[0]
    inputs = {asked.name: numpy.random.default_rng(0).random(asked.shape, dtype=numpy.float32)}

    def run() -> float:
        start = time.perf_counter()
        session.run(None, inputs)
        return (time.perf_counter() - start) * 1e3

    run()  # the first one allocates
    return run


def main() -> None:
    """Time every program in turns with the largest one: ratios of neighbouring runs do not drift as a device does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as onnxruntime likes")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="such as NnapiExecutionProvider")
    asked = parser.parse_args()
    programs = sorted(asked.folder.glob("*.onnx"))
    if not programs:
        sys.exit(f"{asked.folder}: holds no .onnx files")
    largest = max(programs, key=lambda path: path.stat().st_size)
    reference = opened(largest, asked.threads, asked.provider)
    visits: dict[str, list[float]] = {path.stem: [] for path in programs}
    usual = []
    for turn in range(ROUNDS):
        for path in random.sample(programs, len(programs)):
            run = opened(path, asked.threads, asked.provider)
            pairs = [(reference(), run()) for _ in range(RUNS)]
            visits[path.stem].append(statistics.median(own / beside for beside, own in pairs))
            usual += [beside for beside, _ in pairs]
        print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr)
    print("widths,ms")
    for name, ratios in visits.items():
        print(f"{name},{statistics.median(usual) * statistics.median(ratios):.4f}")


if __name__ == "__main__":
    main()
