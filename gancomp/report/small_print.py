"""The notes under an experiment's table: how it was measured and trained."""

from __future__ import annotations

from collections.abc import Sequence

from gancomp.metrics.permutation import LEVEL, SWAPS
from gancomp.report.metrics import BY_KEY, METRICS
from gancomp.report.reading import read
from gancomp.report.records import (
    COPIED,
    PAINTED,
    REAL,
    Benchmark,
    Reference,
    TrainingMetrics,
)
from gancomp.report.rows import Row, known_metrics, one_line, quantity
from gancomp.report.scoreboard import Scoreboard, Subject
from gancomp.report.searched import Selection, SubnetRow


def small_print(
    subject: Subject, rows: Sequence[Row], board: Scoreboard, benchmark: Benchmark, selection: Selection | None
) -> list[str]:
    """Sentences on how the numbers were measured, and why some are missing."""
    reference = board.reference
    real = BY_KEY["fid"].text(reference.rows[REAL].fid)
    rounds = f"{benchmark.runs} run{'s' if benchmark.runs > 1 else ''} after {benchmark.warmup} to warm up"
    keys = {metric.key for metric in known_metrics(rows, METRICS)}
    return [
        f"Scored on {reference.images:,} validation pictures, by which no stage selected anything"
        f"{_chosen_by(selection)}.",
        f"Few pictures bias FID upwards: real pictures against other real ones score {real} here, so read FID "
        "against that row, and KID, which is unbiased, beside it.",
        *(["FID and KID are against all real targets, those of training too."] if subject.all_targets else []),
        _BASELINE[reference.baseline],
        *(_ABOUT[key] for key in _ABOUT if key in keys),
        *([_judged(reference)] if "miou" in keys else []),
        *reference.absent.values(),
        *([_TESTED] if any(evaluation.each for evaluation in board.evaluations.values()) else []),
        *_trained_by(subject),
        "MACs are those of one picture; the paper's convention counts transposed convolutions at output resolution, "
        "and the instance norms.",
        f"Latency at batch 1: the median of {rounds}.",
    ]


_TESTED = (
    f"p is that of a paired permutation test: the share of {SWAPS:,} random swaps of the two generators' pictures "
    "with at least this difference, for FID and KID by each picture's contribution to first order; "
    f"from p {LEVEL:g} on they cannot be told apart. It applies to these two networks, not to other seeds."
)
_BASELINE = {
    COPIED: "*Input copied* returns the input unchanged; *mean colour* returns one flat colour.",
    PAINTED: (
        "*Class colours* paints each class of the label map in its mean colour over the training photos, which is hard "
        "to beat in L1; *mean colour* returns one flat colour."
    ),
}
_ABOUT = {
    "fid_clean": "FID (clean) is FID of pictures resized as in clean-fid, bicubic and antialiased.",
    "l1": "L1 is the mean absolute difference as a share of the 8-bit range.",
    "lpips": "LPIPS is the mean perceptual distance (AlexNet).",
    "dists": "DISTS is the mean distance of structure and texture (VGG16), at most 256 pixels on the shorter side.",
    "fd_dinov2": (
        "FD-DINOv2 is the Fréchet distance of DINOv2's class tokens, of pictures at 224² (bicubic, antialiased)."
    ),
    "cmmd": (
        "CMMD is 1,000 times the squared MMD (Gaussian kernel, σ 10, biased) of CLIP's features of length 1, of the "
        "square in the middle, bicubic and antialiased."
    ),
    "ssim": "SSIM is the mean structural similarity (Gaussian window of 11 × 11, σ 1.5, mean over channels).",
    "psnr": "PSNR is the mean of the pictures' ratios.",
    "precision": (
        "A real picture's ball reaches to its 5th neighbour in the features of FID: precision is the share of "
        "pictures in such a ball, density the mean number of balls around a picture (over 5), coverage the share of "
        "balls that contain a picture; recall is the share of real pictures in the pictures' own balls."
    ),
    "fid_infinity": (
        "FID∞ extrapolates the FIDs of 15 subsets linearly in one over their size to infinite size (Chong and "
        "Forsyth, 2020), against the same real pictures: with a few hundred, most of FID's bias remains."
    ),
    "swd": (
        "SWD is the sliced Wasserstein distance of order 2 of the features of FID, over 512 directions; it is also "
        "biased for few pictures."
    ),
}


def _chosen_by(selection: Selection | None) -> str:
    if selection is None:
        return ""
    metric, best, tied = BY_KEY[selection.metric], selection.best, selection.tied
    by = f"with the {metric.best} {metric.name}" if best is None or best == selection.winner else f"by {metric.name}"
    return (
        f": the search selected its winner, {by}, on {selection.images:,} pictures of "
        f"train-2, among {selection.subnets_scored:,} of {selection.subnets_in_space:,} subnets, under a budget of "
        f"{quantity(selection.budget_macs)} exact MACs" + (f". {_tied(selection, best, tied)}" if best and tied else "")
    )


def _tied(selection: Selection, best: SubnetRow, tied: int) -> str:
    """The number of subnets that do not differ significantly from the best, and which of them won."""
    metric, winner = BY_KEY[selection.metric], selection.winner
    if tied == 1:
        return "All other subnets are worse, by the 95% intervals of the differences over the same pictures"
    told = f"{tied:,} of these subnets, including the best, cannot be told apart from the best, by the 95% intervals "
    told += "of the differences over the same pictures"
    own, of_best = metric.of(winner), metric.of(best)
    if winner == best or own is None or of_best is None:
        return f"{told}, and it is the winner"
    return (
        f"{told}: the winner ({metric.head} {metric.text(own)}, {quantity(winner.macs)}) was preferred to the best "
        f"({metric.text(of_best)}, {quantity(best.macs)}) for its cost"
    )


def _judged(reference: Reference) -> str:
    text = "mIoU is the mean intersection over union of the classes that a segmentation network predicts."
    if reference.judge is None:
        return text
    miou = BY_KEY["miou"]
    return (
        f"{text} On real validation pictures it reaches {miou.text(reference.judge.miou)} %; "
        f"always answering the most frequent class reaches {miou.text(reference.judge.majority)} %."
    )


def _trained_by(subject: Subject) -> list[str]:
    """The perceptual network, and imported generators."""
    sentences = []
    if subject.perceptual:
        sentences.append(f"The perceptual loss of the trainings is that of {subject.perceptual}.")
    for stage in subject.folders.trained:
        if stage not in ("original", "teacher"):
            continue
        metrics = read(subject.folders.file(stage, "metrics.json"), TrainingMetrics, stage)
        if metrics.imported:
            checkpoint, sha256 = one_line(metrics.imported.checkpoint), metrics.imported.sha256
            fresh = stage == "teacher" and metrics.imported.discriminator is None
            cost = ", without its discriminator: distillation started with an untrained one" if fresh else ""
            sentences.append(
                f"The {stage} was not trained here but imported: {checkpoint} (sha256 {sha256[:12]}…){cost}."
            )
    return sentences
