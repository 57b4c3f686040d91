"""A results folder with plausible, made-up contents: test data, never published as figures."""

from __future__ import annotations

import csv
import itertools
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gancomp.pipeline.files import read_json, write_json
from gancomp.pipeline.stages import COMPARED
from gancomp.report.scoreboard import Folders, Subject
from gancomp.report.searched import SEARCH_COLUMNS

EXPERIMENT = "made-up"
SIZE, SAMPLES = 64, 12
COSTS = {
    "original": {"params": 2_850_000, "macs": 790_000_000, "macs_paper": 905_000_000},
    "narrow": {"params": 247_000, "macs": 81_500_000, "macs_paper": 93_400_000},
    "subnet": {"params": 92_300, "macs": 77_200_000, "macs_paper": 90_100_000},
}
COSTS["finetune"] = COSTS["subnet"]
SCORES = {
    "original": {"fid": 88.31, "kid": 0.01532, "l1": 0.0612},
    "narrow": {"fid": 109.4, "kid": 0.0371, "l1": 0.0785},
    "subnet": {"fid": 104.2, "kid": 0.0294, "l1": 0.0713},
    "finetune": {"fid": 95.77, "kid": 0.02111, "l1": 0.0668},
}
REFERENCE = {
    "real against real": {"fid": 69.8, "kid": -0.00012, "l1": None},
    "input copied": {"fid": 121.5, "kid": 0.0521, "l1": 0.1436},
    "mean colour": {"fid": 318.0, "kid": 0.3102, "l1": 0.1904},
}
LATENCY = {"original": 61.2, "narrow": 14.9, "subnet": 16.3}
BLOCKS = {"original": "dense", "narrow": "dense", "subnet": "separable", "finetune": "separable"}
WIDTHS = {"original": "32", "narrow": "10", "subnet": "16_16_16_12_16_16_8_8", "finetune": "16_16_16_12_16_16_8_8"}
SOURCE = {"images": 290, "seed": 7, "data_hash": "0f" * 32, "code_version": "0.1.0+abcdef0"}
NAMES = [f"picture-{i:02}.png" for i in range(SAMPLES)]


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = read_json(path)
    change(data)
    write_json(path, data)


def write_rows(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def make_subnets() -> list[dict[str, Any]]:
    """72 subnets whose quality falls, noisily, with their size."""
    rng = np.random.default_rng(3)
    rows = []
    for index, choice in enumerate(itertools.product((16, 12, 8), (16, 12), (16, 12, 8), (16, 8), (12, 8))):
        widths = (choice[0], 16, 16, *choice[1:], 8)
        share = sum(widths) / 116
        macs = int(95e6 * share**2 * (1 + 0.05 * rng.standard_normal()))
        fid = 74 + 14 / share + 1.2 * rng.standard_normal()
        rows.append(
            {
                "index": index,
                "widths": "_".join(map(str, widths)),
                "macs": macs,
                "macs_paper": int(1.16 * macs),
                "params": int(1.2e-3 * macs),
                "fid": round(fid, 4),
                "kid": round((fid - 70) / 1000 + 0.0012 * rng.standard_normal(), 6),
                "l1": round(0.03 + fid / 2200, 6),
                "miou": "",
            }
        )
    return rows


def make_selection(rows: list[dict[str, Any]], budget: int) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: (row["macs"], row["fid"]))
    best, front = math.inf, []
    for row in ordered:
        if row["fid"] < best:
            best = row["fid"]
            front.append(row["index"])
    return {
        "winner": min((row for row in rows if row["macs"] <= budget), key=lambda row: row["fid"]),
        "pareto": sorted(front),
        "budget_macs": budget,
        "subnets_in_space": 576,
        "subnets_scored": len(rows),
        "images": 160,
        "fid_precision": "bf16",
    }


def make_log(path: Path, seed: int, losses: Sequence[str], steps: int) -> None:
    rng = np.random.default_rng(seed)
    columns = ("step", "images", "lr", *losses, "images_per_second", "elapsed_seconds")
    rows = []
    for step in range(1, steps + 1):
        fall = math.exp(-3 * step / steps)
        values = {
            "step": step * 10,
            "images": step * 160,
            "lr": 2e-4,
            "d_loss": 1 - 0.3 * fall + 0.15 * rng.standard_normal(),
            "g_gan": 0.5 + 0.4 * (1 - fall) + 0.2 * rng.standard_normal(),
            "g_recon": 0.11 + 0.12 * fall + 0.015 * abs(rng.standard_normal()),
            "g_distill": 0.08 + 0.3 * fall + 0.01 * abs(rng.standard_normal()),
            "images_per_second": "65.00",
            "elapsed_seconds": f"{step * 2.5:.1f}",
        }
        rows.append({name: values.get(name, 0.5 + fall) for name in columns})
    write_rows(path, columns, rows)


def make_strip(path: Path, blur: int) -> None:
    """A disc, a bar and a face a picture; *blur* coarsens them, 0 leaves only outlines."""
    pictures = []
    for index in range(SAMPLES):
        image = Image.new("RGB", (SIZE, SIZE), "white")
        draw = ImageDraw.Draw(image)
        fill = None if blur == 0 else tuple(int(128 + 127 * math.sin(index * 1.7 + phase)) for phase in (0, 2, 4))
        draw.ellipse((8, 8, 56 - index, 56), outline="black", width=2, fill=fill)
        draw.rectangle((20 + index, 24, 26 + index, 48), outline="black", fill=None if blur == 0 else "gold")
        small = SIZE // max(blur, 1)
        pictures.append(np.asarray(image.resize((small, small)).resize((SIZE, SIZE))))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(pictures)).save(path)


def folders(results: Path, compressed: bool = True) -> Folders:
    return Folders(results, EXPERIMENT, compressed=compressed)


def subject(results: Path, **declared: Any) -> Subject:
    """The made-up experiment, as its configuration might declare it."""
    return Subject(folders(results), **declared)


def build_results(results: Path, experiment: str = EXPERIMENT) -> Path:
    """Write all files that tables and figures read; returns the experiment's folder."""
    folder = results / experiment
    for stage, blur in zip(COMPARED, (1, 6, 4, 2), strict=True):
        spec = {"block": BLOCKS[stage], "widths": WIDTHS[stage], "size": f"{SIZE}x{SIZE}"}
        write_json(
            folder / stage / "evaluation.json",
            {"stage": stage, "experiment": experiment, "spec": spec, "samples": NAMES, "provenance": {"cores": 2}}
            | COSTS[stage]
            | SCORES[stage]
            | SOURCE,
        )
        make_strip(folder / stage / "samples.png", blur)
    write_json(folder / "reference" / "evaluation.json", {"rows": REFERENCE, "samples": NAMES} | SOURCE)
    make_strip(folder / "reference" / "inputs.png", 0)
    make_strip(folder / "reference" / "targets.png", 1)
    rows = {
        stage: COSTS[stage]
        | {
            "activation_bytes": 40 * COSTS[stage]["params"],
            "latency_ms": {"mean": ms * 1.05, "median": ms, "std": ms / 20, "p95": ms * 1.2, "min": ms * 0.9},
            "peak_rss_bytes": 400_000_000,
        }
        for stage, ms in LATENCY.items()
    }
    machine = {"processor": "made up", "cores": 2}
    write_json(
        folder / "benchmark" / "benchmark.json",
        {"machine": machine, "threads": 2, "warmup": 100, "runs": 100, "rows": rows},
    )
    subnets = make_subnets()
    write_rows(folder / "scores" / "search.csv", SEARCH_COLUMNS, subnets)
    write_json(folder / "search" / "selection.json", make_selection(subnets, 79_000_000))
    write_json(
        folder / "supernet" / "metrics.json",
        {
            "largest": {"start": {"l1": 0.081, "fid": 110.0}, "end": {"l1": 0.069, "fid": 101.0}},
            "smallest": {"start": {"l1": 0.214}, "end": {"l1": 0.0803}},
            "improved": True,
            "images": 40_000,
        },
    )
    lengths = {"original": 375, "teacher": 375, "distill": 300, "supernet": 400, "finetune": 120, "narrow": 375}
    for seed, (stage, steps) in enumerate(lengths.items()):
        distilled = ["g_distill"] if stage in ("distill", "supernet", "finetune") else []
        make_log(folder / stage / "log.csv", seed, ["d_loss", "g_gan", "g_recon", *distilled], steps)
        if stage != "supernet":
            write_json(folder / stage / "metrics.json", {"seed": 7, "images": steps * 160})
    return folder


def make_alone(results: Path) -> Folders:
    """Reduce the experiment to one that compresses nothing."""
    for stage in set(COMPARED) | {"teacher", "distill", "supernet", "search"}:
        if stage != "original":
            shutil.rmtree(results / EXPERIMENT / stage)
    path = results / EXPERIMENT / "benchmark" / "benchmark.json"
    edit_json(path, lambda data: data.update(rows={"original": data["rows"]["original"]}))
    return folders(results, compressed=False)


def make_judged(results: Path) -> None:
    """Turn it into a GauGAN with metric mIoU: the widest subnets win, and the baseline is painted."""
    folder = results / EXPERIMENT
    values = {"original": 0.41, "narrow": 0.22, "subnet": 0.31, "finetune": 0.385}
    for stage, value in values.items():
        edit_json(folder / stage / "evaluation.json", lambda data, value=value: data.update(miou=value))

    def judged(data: dict[str, Any]) -> None:
        data["rows"]["class colours"] = data["rows"].pop("input copied") | {"miou": 0.29, "l1": 0.05}
        data["rows"]["real against real"]["miou"] = 0.52
        data["rows"]["mean colour"]["miou"] = 0.04
        data |= {"judge": {"miou": 0.52, "majority": 0.06, "usable": True}, "absent": {"lpips": "LPIPS is not there."}}

    edit_json(folder / "reference" / "evaluation.json", judged)
    subnets = [row | {"miou": round(0.6 - row["fid"] / 300, 6)} for row in make_subnets()]
    write_rows(folder / "scores" / "search.csv", SEARCH_COLUMNS, subnets)
    edit_json(folder / "search" / "selection.json", lambda data: data.update(make_selection(subnets, 79_000_000)))
    edit_json(folder / "search" / "selection.json", lambda data: data.update(metric="miou"))


def make_unpaired(results: Path) -> None:
    """Turn it into a CycleGAN without truth, whose original and teacher were imported."""
    folder = results / EXPERIMENT
    for stage in COMPARED:
        edit_json(folder / stage / "evaluation.json", lambda data: data.update(l1=None))

    def unpaired(data: dict[str, Any]) -> None:
        for row in data["rows"].values():
            row["l1"] = None
        data |= {"paired": False, "absent": {"l1": "L1 and LPIPS need the truth."}}

    edit_json(folder / "reference" / "evaluation.json", unpaired)
    rows = [row | {"l1": ""} for row in make_subnets()]
    write_rows(folder / "scores" / "search.csv", SEARCH_COLUMNS, rows)
    edit_json(folder / "search" / "selection.json", lambda data: data["winner"].update(l1=None))
    edit_json(folder / "supernet" / "metrics.json", lambda data: data.update(l1_against="teacher"))
    imported = {"checkpoint": "latest_net_G.pth", "sha256": "ab" * 32, "discriminator": None}
    for stage in ("original", "teacher"):
        edit_json(folder / stage / "metrics.json", lambda data: data.update(imported=imported))
        (folder / stage / "log.csv").write_text("step,images,lr,images_per_second\n")
    cycle = ["d_loss", "g_gan", "g_cycle", "g_identity"]
    make_log(folder / "narrow" / "log.csv", 1, cycle, 40)


def reshape(results: Path, height: int, width: int) -> None:
    """Give the pictures another size."""
    folder = results / EXPERIMENT
    for path in (*folder.glob("*/samples.png"), *folder.glob("reference/*.png")):
        with Image.open(path) as image:
            image.resize((width, SAMPLES * height)).save(path)
    for path in folder.glob("*/evaluation.json"):
        if path.parent.name != "reference":
            edit_json(path, lambda data: data["spec"].update(size=f"{height}x{width}"))
