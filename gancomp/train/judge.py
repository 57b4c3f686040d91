"""The segmentation network (judge) of a data set with label maps, for mIoU; validated on real pictures first."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.config.training import Training
from gancomp.data.classes import CITYSCAPES, IGNORED, LabelClass
from gancomp.data.datasets import Pictures, to_rgb
from gancomp.data.settings import DatasetBase, SmallJudge
from gancomp.errors import GancompError
from gancomp.metrics.drn import fetch_drn
from gancomp.metrics.segmentation import (
    USABLE_OVER_MAJORITY,
    Judge,
    SmallSegmenter,
    class_ious,
    load_judge,
    majority_baseline,
    mean_iou,
    save_judge,
)
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.signatures import STAGE_VERSION
from gancomp.train.device import Device, make_fabric
from gancomp.train.loop import fit
from gancomp.train.state import forget_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SEED = 0
WEIGHT_DECAY = 0.05
#: Validation pictures in memory at once; a full-size label map of Cityscapes takes 2 MB.
CHUNK = 32


def train_judge(config: Config, name: str, device: Device = "auto") -> None:
    """Train or load the segmentation network of data set *name*, and measure it on the real validation pictures.

    Writes `data/{name}/judge/model.safetensors` and, last, `metrics.json` with its mean IoU there (`miou`), that of
    the most frequent class everywhere (`majority`), and whether the first is at least twice the second (`usable`).
    Raises GancompError if the data set declares no judge or has no label maps, or the weights cannot be fetched.
    """
    dataset = config.datasets[name]
    if dataset.judge is None:
        raise GancompError(f"datasets.{name}: declares no judge")
    root, folder = paths.dataset(name), paths.judge(name)
    fabric = make_fabric("auto", device)
    pictures = Pictures(root, ("val",), dataset.direction)
    if isinstance(dataset.judge, SmallJudge):
        about = _train_small(dataset, dataset.judge, root, folder, fabric)
        classes = pictures.classes
    else:
        tensors, source, sha256 = fetch_drn(paths.DOWNLOADS, dataset.judge.weights)
        save_judge(folder / "model.safetensors", dataset.judge.network, tensors)
        about = {"source": source, "sha256": sha256}
        classes = CITYSCAPES
    measured = measure(load_judge(dataset, root, fabric.device), pictures, classes)
    print(f"judge of {name}: mIoU {measured['miou']:.3f} on real pictures, {measured['majority']:.3f} by the majority")
    settings = {"judge": dataset.judge.model_dump(mode="json"), "data_hash": pictures.data_hash}
    write_json(folder / "metrics.json", {"dataset": name, **settings, **measured, **about, **provenance()})


def measure(judge: Judge, pictures: Pictures, classes: tuple[LabelClass, ...]) -> dict[str, Any]:
    """Scores of *judge* on real *pictures*. Raises GancompError if none of their pixels has a class to score."""
    total = np.zeros((judge.classes, judge.classes), np.int64)
    with Progress("judge, on real pictures", len(pictures), "images") as progress:
        for start in range(0, len(pictures), CHUNK):
            indices = range(start, min(start + CHUNK, len(pictures)))
            total += judge.score(to_rgb(pictures.targets(indices)), pictures.scored_labels(indices))
            progress.advance(len(indices))
    try:
        miou, majority = mean_iou(total), majority_baseline(total)
    except ValueError as error:
        raise GancompError(f"judge: in the validation pictures {error}; their label maps are unusable") from None
    ious = class_ious(total)
    return {
        "miou": miou,
        "majority": majority,
        "usable": miou >= USABLE_OVER_MAJORITY * majority,
        "iou": {
            one.name: None if math.isnan(ious[one.scored_as]) else float(ious[one.scored_as])
            for one in classes
            if one.scored_as != IGNORED
        },
        "images": len(pictures),
    }


# --- training the small network ----------------------------------------------------------------


class Segmentation:
    """Cross-entropy of a small network's predictions for real photos against their label maps.

    *scored_as* and *weights* are per class of the label maps: its index in metrics, and the weight of its pixels.
    """

    loss_names = ("cross_entropy",)

    def __init__(self, fabric: Fabric, network: SmallSegmenter, scored_as: Tensor, weights: Tensor, lr: float) -> None:
        self.networks = {"judge": network}
        self.optimizers = {"judge": torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)}
        self._scored_as, self._weights = scored_as.to(fabric.device), weights.to(fabric.device)
        self._fabric = fabric
        self._network, self._optimizer = fabric.setup(network, self.optimizers["judge"])

    def step(self, inputs: Tensor, targets: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        """One update by real photos (n, 3, h, w) in [-1, 1] and their encoded label maps (n, classes + 1, h, w)."""
        labels = inputs[:, :-1].argmax(dim=1)
        scores = self._network(targets).float()
        losses = F.cross_entropy(scores, self._scored_as[labels], ignore_index=IGNORED, reduction="none")
        weights = self._weights[labels]
        # A batch may hold no pixel that counts: its mean would be 0 / 0.
        loss = (losses * weights).sum() / weights.sum().clamp(min=1.0)
        self._optimizer.zero_grad()
        self._fabric.backward(loss)
        self._optimizer.step()
        return {"cross_entropy": loss.detach()}


def class_weights(pictures: Pictures) -> Tensor:
    """The weight of a pixel of each class of the label maps: one over the root of the class's share, 1 on average.

    Rare classes count as much as others in a mean IoU. Classes that metrics ignore or that do not occur have 0.
    """
    pixels = np.zeros(len(pictures.classes))
    for start in range(0, len(pictures), CHUNK):
        labels = pictures.labels(pictures.inputs(range(start, min(start + CHUNK, len(pictures)))))
        pixels += np.bincount(labels.ravel(), minlength=len(pixels))
    pixels *= [one.scored_as != IGNORED for one in pictures.classes]
    weights = np.divide(1.0, np.sqrt(pixels), out=np.zeros_like(pixels), where=pixels > 0)
    return torch.from_numpy(weights * pixels.sum() / max((weights * pixels).sum(), 1.0)).float()


def _train_small(
    dataset: DatasetBase, settings: SmallJudge, root: Path, folder: Path, fabric: Fabric
) -> dict[str, Any]:
    """Train on all real training photos and write the network; returns its record."""
    pictures = Pictures(root, ("train-1", "train-2"), dataset.direction)
    scored = [one.scored_as for one in pictures.classes if one.scored_as != IGNORED]
    if not scored:
        raise GancompError(f"{root}: holds no label maps that a small judge could learn; set judge.network: drn-d-105")
    network = _fresh(max(scored) + 1, settings.width)
    scored_as = torch.tensor([one.scored_as for one in pictures.classes])
    training = Training(
        epochs_const=settings.epochs / 2, epochs_decay=settings.epochs / 2, batch=settings.batch, lr=settings.lr
    )
    progressed = fit(
        Segmentation(fabric, network, scored_as, class_weights(pictures), settings.lr),
        pictures,
        dataset,
        training,
        seed=SEED,
        stage="judge",
        signature=_signature(dataset, pictures.data_hash),
        folder=folder / ".resume",
        device=fabric.device,
    )
    about = {"classes": network.classes, "width": settings.width}
    save_judge(folder / "model.safetensors", settings.network, network.state_dict(), **about)
    forget_state(folder / ".resume")
    return {
        **about,
        "training_images": len(pictures),
        "steps": progressed.step,
        "seconds": round(progressed.elapsed, 1),
    }


def _fresh(classes: int, width: int) -> SmallSegmenter:
    rng.seed_torch(SEED, "judge")
    return SmallSegmenter(classes, width)


def _signature(dataset: DatasetBase, data_hash: str) -> str:
    """The signature of everything that the small network depends on, which a resume state must match."""
    settings = {"version": STAGE_VERSION["judge"], "dataset": dataset.model_dump(mode="json"), "data": data_hash}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
