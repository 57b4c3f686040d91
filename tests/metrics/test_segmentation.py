"""Mean IoU on maps whose score is known, the protocol's resizing, and the judges on disk."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import nn

from gancomp.data.classes import IGNORED
from gancomp.data.settings import DatasetBase, DrnJudge, SmallJudge
from gancomp.errors import GancompError
from gancomp.metrics import drn, segmentation
from gancomp.metrics.segmentation import (
    Judge,
    SmallSegmenter,
    class_ious,
    confusion,
    load_judge,
    majority_baseline,
    mean_iou,
    save_judge,
)

CLASSES = 4
maps = arrays(np.uint8, (2, 3, 5), elements=st.integers(0, CLASSES - 1))
truths = arrays(np.uint8, (2, 3, 5), elements=st.sampled_from([0, 1, 2, 3, IGNORED]))


@given(truth=truths, predicted=maps)
def test_confusion_counts_every_pixel_that_has_a_class(truth: np.ndarray, predicted: np.ndarray) -> None:
    counted = confusion(truth, predicted, CLASSES)
    for true, seen in itertools.product(range(CLASSES), repeat=2):
        assert counted[true, seen] == ((truth == true) & (predicted == seen)).sum()
    parts = [confusion(truth[i], predicted[i], CLASSES) for i in range(2)]
    assert (parts[0] + parts[1] == counted).all()


@given(truth=truths, predicted=maps)
def test_iou_is_intersection_over_union(truth: np.ndarray, predicted: np.ndarray) -> None:
    ious = class_ious(confusion(truth, predicted, CLASSES))
    counted = truth != IGNORED
    for number in range(CLASSES):
        a, b = (truth == number) & counted, (predicted == number) & counted
        union = (a | b).sum()
        assert math.isnan(ious[number]) if union == 0 else ious[number] == (a & b).sum() / union


def test_mean_iou_of_known_maps() -> None:
    truth = np.array([[0, 0, 1, 1, IGNORED]], np.uint8)
    predicted = np.array([[0, 1, 1, 1, 3]], np.uint8)
    # Class 0: 1 of 2; class 1: 2 of 3; classes 2 and 3 are in neither (an ignored pixel predicts nothing).
    assert mean_iou(confusion(truth, predicted, CLASSES)) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert mean_iou(confusion(truth, truth % 255, CLASSES)) == 1


def test_a_class_that_is_predicted_but_not_there_counts_nothing() -> None:
    truth, predicted = np.zeros((1, 4), np.uint8), np.array([[0, 0, 0, 2]], np.uint8)
    assert mean_iou(confusion(truth, predicted, CLASSES)) == pytest.approx((3 / 4 + 0) / 2)


def test_majority_baseline_is_the_commonest_class_everywhere() -> None:
    truth = np.array([[2, 2, 2, 0, IGNORED]], np.uint8)
    counted = confusion(truth, np.array([[0, 1, 2, 3, 3]], np.uint8), CLASSES)
    assert majority_baseline(counted) == mean_iou(confusion(truth, np.full_like(truth, 2), CLASSES))
    assert majority_baseline(counted) == pytest.approx((3 / 4 + 0) / 2)


def test_what_cannot_be_scored_is_refused() -> None:
    nothing = np.full((1, 4), IGNORED, np.uint8)
    with pytest.raises(ValueError, match="no pixel has a class"):
        mean_iou(confusion(nothing, np.zeros_like(nothing), CLASSES))
    with pytest.raises(ValueError, match="class 4 is none of 4"):
        confusion(np.zeros((1, 2), np.uint8), np.array([[0, 4]], np.uint8), CLASSES)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(nothing, nothing[:, :2], CLASSES)


# --- the protocol ------------------------------------------------------------------------------


class Colours(nn.Module):
    """Three classes: the red, the green and the blue of what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log_softmax(dim=1)


def test_scores_are_enlarged_before_the_best_is_taken() -> None:
    """As the protocol, which enlarges the log-probabilities with Pillow's bilinear filter."""
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    size = (24, 32)
    mean, std = np.array([0.2901, 0.3281, 0.2869]), np.array([0.1829, 0.1863, 0.1841])
    expected = []
    for image in images:
        scores = torch.from_numpy((image / 255 - mean) / std).float().log_softmax(dim=2).numpy()
        enlarged = [Image.fromarray(scores[:, :, c]).resize(size[::-1], Image.Resampling.BILINEAR) for c in range(3)]
        expected.append(np.argmax(np.stack(enlarged), axis=0))
    judge = Judge(Colours(), 3, drn.MEAN, drn.STD)
    read = judge.read(images, size)
    assert read.shape == (2, *size)
    assert (read != np.stack(expected)).mean() < 0.002  # ties within the last digit
    assert (judge.read(images) != judge.read(images, size)[:, ::4, ::4]).any()


def test_score_is_taken_at_the_size_of_the_truth() -> None:
    truth = np.zeros((1, 8, 8), np.uint8)
    truth[:, :, 4:], truth[:, 6:] = 2, IGNORED
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[:, :, :2, 0], image[:, :, 2:, 2] = 255, 255
    counted = Judge(Colours(), 3).score(image, truth)
    assert counted.tolist() == [[24, 0, 0], [0, 0, 0], [0, 0, 24]]


def test_reading_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 17, 3), dtype=np.uint8)
    judge = Judge(untrained(), 4)
    whole = judge.read(images)
    monkeypatch.setattr(segmentation, "CHUNK_PIXELS", 2 * 20 * 17)
    assert (judge.read(images) == whole).all()
    assert len(np.unique(whole)) > 1


def untrained() -> SmallSegmenter:
    """A network of four classes, of which each is read somewhere in noise."""
    torch.manual_seed(0)
    network = SmallSegmenter(4, 4)
    with torch.no_grad():
        network.head.weight.mul_(100)
        network.head.bias.zero_()
        network.train()(torch.rand(16, 3, 16, 16) * 2 - 1)
    return network.eval()


@pytest.mark.parametrize("size", [(64, 64), (16, 48), (33, 50), (7, 9)])
def test_the_small_network_takes_any_size(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert SmallSegmenter(5, 3).eval()(torch.zeros(2, 3, *size)).shape == (2, 5, *size)


# --- on disk -----------------------------------------------------------------------------------

SMALL, CITYSCAPES = DatasetBase(), DatasetBase()
object.__setattr__(SMALL, "judge", SmallJudge())
object.__setattr__(CITYSCAPES, "judge", DrnJudge(network="drn-d-105"))


def test_a_saved_judge_reads_the_same(tmp_path: Path) -> None:
    network = untrained()
    save_judge(tmp_path / "judge" / "model.safetensors", "small", network.state_dict(), classes=4, width=4)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert (load_judge(SMALL, tmp_path).read(images) == Judge(network, 4).read(images)).all()


def test_another_judge_than_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"model\.safetensors: no such file"):
        load_judge(SMALL, tmp_path)
    path = tmp_path / "judge" / "model.safetensors"
    save_judge(path, "small", SmallSegmenter(4, 4).state_dict(), classes=4, width=4)
    with pytest.raises(GancompError, match="not the judge that the data set declares; run `gancomp judge"):
        load_judge(CITYSCAPES, tmp_path)
    save_judge(path, "small", SmallSegmenter(4, 4).state_dict(), classes=4, width=5)
    with pytest.raises(GancompError, match="damaged judge"):
        load_judge(SMALL, tmp_path)
    save_judge(path, "drn-d-105", {"seg.weight": torch.zeros(1)})
    with pytest.raises(GancompError, match="damaged judge"):
        load_judge(CITYSCAPES, tmp_path)
