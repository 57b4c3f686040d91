"""Costs of image classifiers and conditional GANs, Figure 2."""

from __future__ import annotations

import pytest
import torchvision

from gancomp.paper.classifiers import CLASSIFIERS, costs, count_classifier


@pytest.mark.parametrize(
    ("builder", "size", "macs", "params"),
    [("mobilenet_v2", 224, 300_774_272, 3_504_872), ("resnet50", 224, 4_089_184_256, 25_557_032)],
)
def test_classifiers_cost_what_is_known_of_them(builder: str, size: int, macs: int, params: int) -> None:
    assert count_classifier(builder, size) == (macs, params)


@pytest.mark.parametrize(("builder", "size"), CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifiers_cost_what_torchvision_publishes(builder: str, size: int) -> None:
    """It counts multiply-accumulates under `_ops`, in 10⁹ with three decimals."""
    published = torchvision.models.get_model_weights(builder).DEFAULT.meta
    macs, params = count_classifier(builder, size)
    assert params == published["num_params"]
    assert macs / 1e9 == pytest.approx(published["_ops"], abs=5.1e-4)


def test_generators_cost_two_orders_more_than_a_small_classifier() -> None:
    """Figure 2's message, of MACs; parameters are of one magnitude."""
    rows = {row["network"]: row for row in costs()}
    assert rows["GauGAN"]["macs"] == 281_276_612_608
    assert rows["CycleGAN, pix2pix (ResNet)"]["macs"] > 100 * rows["MobileNet-v2"]["macs"]
    assert rows["CycleGAN, pix2pix (ResNet)"]["params"] < rows["ResNet-50"]["params"]
