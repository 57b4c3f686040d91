"""How long Snakemake plans at the paper's scale: every table and figure, several seeds, many search shards."""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("config", "profiles"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "config.yaml", folder)
        study = yaml.safe_load((ROOT / "config/paper.yaml").read_text())["study"]
        more = {"seeds": list(range(given.seeds)), "search": {"shards": given.shards}}
        over = {"experiments": dict.fromkeys(study["experiments"].values(), more)}
        (folder / "more.yaml").write_text(yaml.safe_dump(over))
        for _ in range(given.runs):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--dry-run", "--quiet=all",
                 "paper", "--configfile", "config/paper.yaml", "more.yaml"],
                cwd=folder, capture_output=True, text=True, check=True,
            )  # fmt: skip
            seconds = time.monotonic() - began
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            (jobs,) = set(re.findall(r"^total +(\d+)", done.stdout, re.MULTILINE))
            print(
                f"{int(jobs):,} jobs planned in {seconds:.1f} s ({usage.ru_utime - before:.1f} s of processor time), "
                f"at most {usage.ru_maxrss / 1024:.0f} MB"
            )


if __name__ == "__main__":
    main()
