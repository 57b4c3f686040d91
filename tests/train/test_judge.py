"""The judge's stage: that it learns, resumes to the same bytes, and says whether it is to be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import one_thread
from torch.nn import functional as F

from gancomp.config.loading import parse
from gancomp.config.settings import Config
from gancomp.data.build import build
from gancomp.data.datasets import Pictures
from gancomp.errors import GancompError
from gancomp.metrics import segmentation
from gancomp.metrics.segmentation import Judge, SmallSegmenter, load_judge
from gancomp.pipeline import paths
from gancomp.train import judge as module
from gancomp.train import loop
from gancomp.train.device import make_fabric
from gancomp.train.judge import Segmentation, class_weights, train_judge

NAME, SIDE = "blocks", 16
MODEL, METRICS = "model.safetensors", "metrics.json"
COLOURS = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200)])


def settings(**judge: Any) -> Config:
    declared = {"network": "small", "epochs": 12, "batch": 4, "width": 4, "lr": 1e-2} | judge
    dataset = {"source": "labels", "images": "photos", "labels": "maps", "names": ["red", "green", "blue"]}
    own = dataset | {"size": SIDE, "load_size": SIDE + 2, "val_fraction": 0.25, "judge": declared}
    return parse({"datasets": {NAME: own, "unjudged": own | {"judge": None}}}, "the test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a data set of noisy photos, halves in colours that tell their class; some unlabelled."""
    folder = tmp_path_factory.mktemp("judge")
    rng = np.random.default_rng(0)
    for kind in ("photos", "maps"):
        (folder / kind).mkdir()
    for index in range(32):
        labels = np.empty((SIDE, SIDE), np.uint8)
        labels[: SIDE // 2], labels[SIDE // 2 :] = rng.choice(3, 2, replace=False)
        photo = np.clip(COLOURS[labels] + rng.normal(0, 20, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        labels[:, -2:] = 255
        Image.fromarray(photo).save(folder / "photos" / f"{index}.png")
        Image.fromarray(labels).save(folder / "maps" / f"{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in (NAME, "unjudged"):
            build(name, settings().datasets[name], paths.dataset(name), paths.DOWNLOADS)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder as the current one, on one thread, in full precision, without an earlier judge."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(module, "make_fabric", lambda precision, device: make_fabric("32", "cpu"))
    for path in sorted(paths.judge(NAME).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with one_thread():
        yield


def metrics() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.judge(NAME) / METRICS).read_text(encoding="utf-8"))
    return found


def test_it_learns_to_read_real_pictures() -> None:
    config = settings()
    train_judge(config, NAME, "cpu")
    found = metrics()
    assert found["miou"] > 0.8
    assert found["majority"] < 0.3
    assert found["usable"] is True
    assert found["iou"].keys() == {"red", "green", "blue"}
    assert found["miou"] == pytest.approx(np.mean(list(found["iou"].values())))
    assert not (paths.judge(NAME) / ".resume").exists()

    pictures = Pictures(paths.dataset(NAME), ("val",), "AtoB")
    judge = load_judge(config.datasets[NAME], paths.dataset(NAME))
    everything = range(len(pictures))
    counted = judge.score(pictures.targets(everything), pictures.scored_labels(everything))
    assert segmentation.mean_iou(counted) == pytest.approx(found["miou"], abs=1e-3)


def test_a_judge_that_has_not_learned_is_not_to_be_believed() -> None:
    train_judge(settings(epochs=1, lr=1e-8), NAME, "cpu")
    found = metrics()
    assert found["miou"] < 2 * found["majority"]
    assert found["usable"] is False


def test_an_interrupted_training_ends_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(epochs=2)
    train_judge(config, NAME, "cpu")
    whole = (paths.judge(NAME) / MODEL).read_bytes()
    (paths.judge(NAME) / MODEL).unlink()

    step, steps = Segmentation.step, []

    def cut(self: Segmentation, *batch: Any) -> dict[str, torch.Tensor]:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return step(self, *batch)

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(Segmentation, "step", cut)
    with pytest.raises(KeyboardInterrupt):
        train_judge(config, NAME, "cpu")
    assert not (paths.judge(NAME) / MODEL).exists()
    with pytest.raises(GancompError, match="another configuration"):
        train_judge(settings(epochs=3), NAME, "cpu")
    monkeypatch.setattr(Segmentation, "step", step)
    train_judge(config, NAME, "cpu")
    assert (paths.judge(NAME) / MODEL).read_bytes() == whole


def test_the_loss_is_weighted_cross_entropy_of_what_is_scored() -> None:
    torch.manual_seed(0)
    network = SmallSegmenter(2, 2)
    # Of three classes in the label maps, the first is scored second, the second not at all, the third first.
    scored_as, weights = torch.tensor([1, 255, 0]), torch.tensor([0.5, 0.0, 2.0])
    recipe = Segmentation(make_fabric("32", "cpu"), network, scored_as, weights, lr=0.0)
    labels = torch.randint(3, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    inputs = torch.cat([F.one_hot(labels, 3).permute(0, 3, 1, 2), torch.ones(2, 1, 8, 8)], dim=1).float()
    photos = torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        log_p = network(photos).log_softmax(dim=1)
    expected, total = 0.0, 0.0
    for n, row, column in np.ndindex(2, 8, 8):
        label = int(labels[n, row, column])
        if label != 1:
            expected -= float(weights[label] * log_p[n, scored_as[label], row, column])
            total += float(weights[label])
    losses = recipe.step(inputs, photos, np.random.default_rng(0))
    assert float(losses["cross_entropy"]) == pytest.approx(expected / total, rel=1e-5)
    nothing = torch.zeros_like(inputs)
    nothing[:, 1] = 1
    assert float(recipe.step(nothing, photos, np.random.default_rng(0))["cross_entropy"]) == 0


def test_rare_classes_weigh_more() -> None:
    pictures = Pictures(paths.dataset(NAME), ("train-1", "train-2"), "AtoB")
    labels = pictures.labels(pictures.inputs(range(len(pictures))))
    pixels = np.bincount(labels.ravel(), minlength=4)
    weights = class_weights(pictures).numpy()
    assert weights[3] == 0  # unlabelled
    np.testing.assert_allclose(weights[:3] / weights[0], np.sqrt(pixels[0] / pixels[:3]), rtol=1e-5)
    assert (weights * pixels).sum() / pixels[:3].sum() == pytest.approx(1)


def test_a_data_set_without_a_judge_is_refused() -> None:
    with pytest.raises(GancompError, match=r"datasets\.unjudged: declares no judge"):
        train_judge(settings(), "unjudged", "cpu")


def test_the_published_network_is_only_fetched_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its published weights stood in for by a network that knows this data set's colours."""

    def fetch(downloads: Path, weights: str | None) -> tuple[dict[str, torch.Tensor], str, str]:
        assert (downloads, weights) == (paths.DOWNLOADS, "own.pth")
        return {"a": torch.ones(1)}, "own.pth", "0" * 64

    strongest_colour = torch.nn.ConstantPad3d((0, 0, 0, 0, 0, 16), -9.0)  # scores of 16 classes more, all low
    monkeypatch.setattr(module, "fetch_drn", fetch)
    monkeypatch.setattr(module, "load_judge", lambda *_: Judge(strongest_colour, 19))
    config = settings()
    object.__setattr__(config.datasets[NAME], "judge", parse(CITYSCAPES, "the test").datasets["city"].judge)
    train_judge(config, NAME, "cpu")
    found = metrics()
    assert (found["source"], found["sha256"]) == ("own.pth", "0" * 64)
    known = [found["iou"].pop(name) for name in ("road", "sidewalk", "building")]
    assert min(known) > 0.9
    assert found["miou"] == pytest.approx(np.mean(known))
    assert set(found["iou"].values()) == {None}
    assert len(found["iou"]) == 16


CITYSCAPES = {
    "datasets": {
        "city": {"source": "cityscapes", "path": "city", "judge": {"network": "drn-d-105", "weights": "own.pth"}}
    }
}


def test_an_unreadable_truth_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Pictures(paths.dataset(NAME), ("val",), "AtoB")
    monkeypatch.setattr(pictures, "scored_labels", lambda indices: np.full((len(indices), SIDE, SIDE), 255, np.uint8))
    with pytest.raises(GancompError, match="validation pictures no pixel has a class to score"):
        module.measure(Judge(torch.nn.Identity(), 3), pictures, pictures.classes)
