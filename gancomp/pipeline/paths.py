"""Where files lie. Paths carry the data set, the experiment, the stage and the shard; hyper-parameters never."""

from __future__ import annotations

from pathlib import Path

DATA = Path("data")
RESULTS = Path("results")

#: In a stage's folder: generators on the way, by the pictures seen until then.
SNAPSHOTS = "snapshots"
#: In a training's folder: the same pictures on the way, one strip a moment, by the pictures seen until then.
SAMPLES = "samples"

DOWNLOADS = DATA / "downloads"
INCEPTION = DATA / "inception" / "weights.safetensors"


#: The files of onnxruntime-web, which runs networks in a browser.
WEB_RUNTIME = DATA / "onnxruntime-web"


def perceptual(name: str) -> Path:
    """Weights of a perceptual network: vgg19, vgg16 or efficientnet-lite0."""
    return DATA / "perceptual" / f"{name}.safetensors"


#: Weights of LPIPS: its backbone and linear heads.
LPIPS = DATA / "lpips" / "weights.safetensors"


def judge(name: str) -> Path:
    """Folder of a data set's judge: model.safetensors and metrics.json."""
    return DATA / name / "judge"


def dataset(name: str) -> Path:
    """Folder of a prepared data set: train/, val/, manifest.json, ATTRIBUTION.txt, statistics.safetensors."""
    return DATA / name


def stage(experiment: str, name: str) -> Path:
    """Folder of what one stage of an experiment wrote."""
    return RESULTS / experiment / name


def resume(experiment: str, name: str) -> Path:
    """Resume state and growing log of a stage; undeclared, so that Snakemake never deletes it."""
    return RESULTS / experiment / ".resume" / name
