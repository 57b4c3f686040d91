"""Scores of made pictures against real ones, and where the truth is known against that."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gancomp.data.datasets import Pixels, to_rgb
from gancomp.metrics.bootstrap import (
    Values,
    Weights,
    frechet_replicates,
    frechet_shares,
    gaussian_replicates,
    gaussian_shares,
    kernel_replicates,
    kernel_shares,
    mean_replicates,
)
from gancomp.metrics.frechet import Features, Statistics, frechet_distance
from gancomp.metrics.gaussian import gaussian_distance
from gancomp.metrics.infinity import LEAST, frechet_infinity, infinity_shares
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.neighbours import NEIGHBOURS, neighbourhood
from gancomp.metrics.pictures import has_ssim, l1_each, psnr_each, ssim_each
from gancomp.metrics.segmentation import Judge, mean_iou
from gancomp.metrics.sliced import sliced_distance, sliced_shares
from gancomp.metrics.statistics import Extractor
from gancomp.report.records import Scores

if TYPE_CHECKING:
    from gancomp.data.datasets import Pictures

Images = Pixels
#: From RGB pictures (n, h, w, 3) and their truth to distances (n,).
Compare = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]

#: What may cost more than all else, and can be left out.
COSTLY: frozenset[str] = frozenset({"ssim", "fid_infinity"})
#: Pictures without which there is no such score; all others need 2.
LEAST_PICTURES: dict[str, int] = {
    "fid_infinity": LEAST,
    **dict.fromkeys(("precision", "recall", "density", "coverage"), NEIGHBOURS + 1),
}


def feature_scores(features: Features, reference: Statistics, costly: Container[str] = COSTLY) -> dict[str, float]:
    """What pictures of *features* (n, d), n at least 2, score against *reference*, by those metrics that see nothing
    else of them; *costly* says which of `COSTLY`."""
    near = neighbourhood(features, reference.balls)
    infinity = frechet_infinity(features, reference) if "fid_infinity" in costly else None
    return {
        "fid": frechet_distance(features, reference),
        "kid": kernel_distance(features, reference),
        "swd": sliced_distance(features, reference),
        **(near.scores if near else {}),
        **({} if infinity is None else {"fid_infinity": infinity}),
    }


def feature_shares(features: Features, reference: Statistics, costly: Container[str] = COSTLY) -> dict[str, Values]:
    """What each picture adds (n,) to the `feature_scores` that are means over pictures, or to first order are."""
    near = neighbourhood(features, reference.balls)
    infinity = "fid_infinity" in costly and len(features) >= LEAST
    return {
        "fid": frechet_shares(features, reference),
        "kid": kernel_shares(features, reference),
        "swd": sliced_shares(features, reference),
        **({"precision": near.precise, "density": near.dense} if near else {}),
        **({"fid_infinity": infinity_shares(features, reference)} if infinity else {}),
    }


def feature_replicates(
    features: Features, reference: Statistics, weights: Weights, costly: Container[str] = COSTLY
) -> dict[str, Values]:
    """The `feature_scores` in each draw of the pictures (`gancomp.metrics.bootstrap`), but for recall, whose balls
    draws with repetitions would shrink."""
    near = neighbourhood(features, reference.balls)
    infinity = "fid_infinity" in costly and len(features) >= LEAST
    return {
        "fid": frechet_replicates(features, reference, weights),
        "kid": kernel_replicates(features, reference, weights),
        "swd": mean_replicates(sliced_shares(features, reference), weights),
        **({"precision": mean_replicates(near.precise, weights)} if near else {}),
        **({"density": mean_replicates(near.dense, weights)} if near else {}),
        **({"coverage": near.coverages(weights)} if near else {}),
        **({"fid_infinity": mean_replicates(infinity_shares(features, reference), weights)} if infinity else {}),
    }


@dataclass(frozen=True)
class Truth:
    """What is known of some inputs: their real pictures (n, h, w, c), and the classes (n, H, W) that a judge seeks."""

    targets: Images | None
    labels: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Distance:
    """A distance of features (n, d) to those of real pictures, what each picture adds to it, and its draws."""

    of: Callable[[Features, Statistics], float]
    shares: Callable[[Features, Statistics], Values]
    replicates: Callable[[Features, Statistics, Weights], Values]


FRECHET = Distance(frechet_distance, frechet_shares, frechet_replicates)
GAUSSIAN = Distance(gaussian_distance, gaussian_shares, gaussian_replicates)


@dataclass(frozen=True)
class Look:
    """Another way to see pictures: what makes features of them, those of the real ones, and how they are compared."""

    extractor: Extractor
    reference: Statistics
    distance: Distance = FRECHET


class Scorer:
    """Measures what generators make of the inputs of *pictures*, against the real pictures in *reference*.

    L1, PSNR, SSIM and *compared* need pairs, and mIoU a *judge*; scores for which something is missing are None.
    *compared* has by metric what compares a picture with its truth, *looks* what distances of other features need.
    *costly* says which of `COSTLY` are measured.
    """

    def __init__(
        self,
        pictures: Pictures,
        reference: Statistics,
        inception: Extractor,
        judge: Judge | None = None,
        compared: Mapping[str, Compare] | None = None,
        costly: Container[str] = COSTLY,
        looks: Mapping[str, Look] | None = None,
    ) -> None:
        self.looks, self.compared = dict(looks or {}), dict(compared or {})
        self.pictures, self.reference = pictures, reference
        self.inception, self.judge = inception, judge
        self.costly, self.ssim = costly, "ssim" in costly and has_ssim(*pictures.size)

    def truth(self, indices: Sequence[int]) -> Truth:
        """The truth of the inputs at *indices*."""
        return Truth(
            self.pictures.targets(indices) if self.pictures.paired else None,
            self.pictures.scored_labels(indices) if self.judge else None,
        )

    def tally(self) -> Tally:
        """An empty tally, for the pictures of one generator."""
        return Tally(self)


class Tally:
    """The pictures of one generator, measured part by part; the scores do not depend on the parts."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._features: list[NDArray[np.float32]] = []
        self._looked: dict[str, list[NDArray[np.float32]]] = {metric: [] for metric in scorer.looks}
        #: By metric, of each picture in the order in which they came.
        self._each: dict[str, list[NDArray[np.float64]]] = {}
        classes = scorer.judge.classes if scorer.judge else 0
        self._confusion = np.zeros((classes, classes), np.int64)

    def add(self, made: Images, truth: Truth) -> None:
        """Count pictures (n, h, w, c) in, made of inputs whose truth this is.

        Distances are of all channels; the networks that look at pictures see gray repeated, and what is transparent on
        white.
        """
        scorer = self._scorer
        self._features.append(scorer.inception(to_rgb(made)))
        for metric, look in scorer.looks.items():
            self._looked[metric].append(look.extractor(to_rgb(made)))
        if truth.targets is not None:
            self._append("l1", l1_each(made, truth.targets))
            self._append("psnr", psnr_each(made, truth.targets))
            if scorer.ssim:
                self._append("ssim", ssim_each(made, truth.targets))
            for metric, compare in scorer.compared.items():
                self._append(metric, compare(to_rgb(made), to_rgb(truth.targets)).astype(np.float64))
        if scorer.judge and truth.labels is not None:
            self._confusion += scorer.judge.score(to_rgb(made), truth.labels)

    def _append(self, metric: str, values: NDArray[np.float64]) -> None:
        self._each.setdefault(metric, []).append(values)

    @property
    def features(self) -> NDArray[np.float32]:
        """Of all pictures, (n, d)."""
        return np.concatenate(self._features)

    @property
    def looked(self) -> dict[str, tuple[Look, NDArray[np.float32]]]:
        """By metric another way to see pictures, and its features of all of them, (n, d)."""
        return {metric: (self._scorer.looks[metric], np.concatenate(parts)) for metric, parts in self._looked.items()}

    @property
    def each(self) -> dict[str, NDArray[np.float64]]:
        """What each picture scores (n,), by those metrics that are means over pictures."""
        return {metric: np.concatenate(parts) for metric, parts in self._each.items()}

    def scores(self) -> Scores:
        """The scores of all pictures that were counted in; ValueError for fewer than two."""
        scorer = self._scorer
        return Scores(
            **feature_scores(self.features, scorer.reference, scorer.costly),
            **{metric: look.distance.of(seen, look.reference) for metric, (look, seen) in self.looked.items()},
            miou=mean_iou(self._confusion) if scorer.judge else None,
            **{metric: float(values.mean()) for metric, values in self.each.items()},
        )

    def shares(self) -> dict[str, Values]:
        """What each picture adds (n,) to the scores that are means over pictures, or to first order are."""
        scorer = self._scorer
        looked = {metric: look.distance.shares(seen, look.reference) for metric, (look, seen) in self.looked.items()}
        return feature_shares(self.features, scorer.reference, scorer.costly) | looked | self.each

    def replicates(self, weights: Weights) -> dict[str, Values]:
        """The scores in each draw of the pictures (`gancomp.metrics.bootstrap`), but for mIoU and recall."""
        scorer = self._scorer
        of_pairs = {metric: mean_replicates(values, weights) for metric, values in self.each.items()}
        looked = {
            metric: look.distance.replicates(seen, look.reference, weights)
            for metric, (look, seen) in self.looked.items()
        }
        return feature_replicates(self.features, scorer.reference, weights, scorer.costly) | looked | of_pairs
