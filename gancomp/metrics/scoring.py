"""Scores of made pictures against real ones: FID and KID, and where the truth is known L1, LPIPS and mIoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gancomp.data.datasets import Pixels, to_rgb
from gancomp.metrics.bootstrap import Values, Weights, frechet_replicates, kernel_replicates, mean_replicates
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.pictures import l1_each
from gancomp.metrics.segmentation import Judge, mean_iou
from gancomp.metrics.statistics import Extractor
from gancomp.report.records import Scores

if TYPE_CHECKING:
    from gancomp.data.datasets import Pictures
    from gancomp.metrics.lpips import Lpips

Images = Pixels


@dataclass(frozen=True)
class Truth:
    """What is known of some inputs: their real pictures (n, h, w, c), and the classes (n, H, W) that a judge seeks."""

    targets: Images | None
    labels: NDArray[np.uint8] | None


class Scorer:
    """Measures what generators make of the inputs of *pictures*, against the real pictures in *reference*.

    L1 and LPIPS need pairs, and mIoU a *judge*; scores for which something is missing are None.
    """

    def __init__(
        self,
        pictures: Pictures,
        reference: Statistics,
        inception: Extractor,
        judge: Judge | None = None,
        lpips: Lpips | None = None,
    ) -> None:
        self.pictures, self.reference = pictures, reference
        self.inception, self.judge, self.lpips = inception, judge, lpips

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
        self._l1: list[NDArray[np.float64]] = []
        self._lpips = 0.0
        classes = scorer.judge.classes if scorer.judge else 0
        self._confusion = np.zeros((classes, classes), np.int64)

    def add(self, made: Images, truth: Truth) -> None:
        """Count pictures (n, h, w, c) in, made of inputs whose truth this is.

        L1 is that of all channels; the networks that look at pictures see gray repeated, and what is transparent on
        white.
        """
        scorer = self._scorer
        self._features.append(scorer.inception(to_rgb(made)))
        if truth.targets is not None:
            self._l1.append(l1_each(made, truth.targets))
            if scorer.lpips:
                self._lpips += float(scorer.lpips(to_rgb(made), to_rgb(truth.targets)).sum(dtype=np.float64))
        if scorer.judge and truth.labels is not None:
            self._confusion += scorer.judge.score(to_rgb(made), truth.labels)

    def scores(self) -> Scores:
        """The scores of all pictures that were counted in; ValueError for fewer than two."""
        scorer, features = self._scorer, np.concatenate(self._features)
        known = scorer.pictures.paired
        return Scores(
            fid=frechet_distance(features, scorer.reference),
            kid=kernel_distance(features, scorer.reference),
            l1=float(np.concatenate(self._l1).mean()) if known else None,
            lpips=self._lpips / len(features) if known and scorer.lpips else None,
            miou=mean_iou(self._confusion) if scorer.judge else None,
        )

    def replicates(self, weights: Weights) -> dict[str, Values]:
        """FID, KID and, where the truth is known, L1 of each draw of the pictures (`gancomp.metrics.bootstrap`)."""
        reference, features = self._scorer.reference, np.concatenate(self._features)
        found = {
            "fid": frechet_replicates(features, reference, weights),
            "kid": kernel_replicates(features, reference, weights),
        }
        return found | ({"l1": mean_replicates(np.concatenate(self._l1), weights)} if self._l1 else {})
