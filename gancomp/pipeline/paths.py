"""Paths of files. They contain data set, experiment, stage and shard, but no hyper-parameters."""

from __future__ import annotations

from pathlib import Path

DATA = Path("data")
RESULTS = Path("results")

#: In a stage's folder: generators during training, by the number of pictures seen.
SNAPSHOTS = "snapshots"
#: In a training's folder: strips of outputs for the same pictures during training, by the number of pictures seen.
SAMPLES = "samples"

DOWNLOADS = DATA / "downloads"
INCEPTION = DATA / "inception" / "weights.safetensors"


#: Folder of onnxruntime-web, which runs networks in a browser.
WEB_RUNTIME = DATA / "onnxruntime-web"


def perceptual(name: str) -> Path:
    """Weights of a perceptual network: vgg19, vgg16 or efficientnet-lite0."""
    return DATA / "perceptual" / f"{name}.safetensors"


#: Weights of LPIPS: its backbone and linear heads.
LPIPS = DATA / "lpips" / "weights.safetensors"


def judge(name: str) -> Path:
    """Folder of a data set's segmentation network: model.safetensors and metrics.json."""
    return DATA / name / "judge"


def dataset(name: str) -> Path:
    """Folder of a prepared data set: train/, val/, manifest.json, ATTRIBUTION.txt, statistics.safetensors."""
    return DATA / name


def stage(experiment: str, name: str) -> Path:
    """Folder of one stage of an experiment."""
    return RESULTS / experiment / name


def resume(experiment: str, name: str) -> Path:
    """Folder of a stage's resume state and growing log; not declared as output, so that Snakemake never deletes it."""
    return RESULTS / experiment / ".resume" / name
