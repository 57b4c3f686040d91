"""Scores of a generator and of the honesty rows on the validation pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import DATASET, EXPERIMENT, SIDE, FakeInception, Workspace
from untrained import Untrained, prepare

from gancomp.data import build as build_module
from gancomp.data.build import build
from gancomp.data.datasets import Pictures, to_float, to_uint8
from gancomp.errors import GancompError
from gancomp.measure import evaluate as module
from gancomp.measure.evaluate import evaluate, evaluate_reference, mean_colour, write_strip
from gancomp.measure.macs import profile
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.segmentation import load_judge, mean_iou
from gancomp.metrics.statistics import write_statistics
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_json, write_json
from gancomp.report.reading import read
from gancomp.report.records import COPIED, MEAN, PAINTED, REAL, Evaluation, Reference
from gancomp.report.scoreboard import Folders, read_scoreboard

VALIDATION = 7


def pictures(workspace: Workspace, *splits: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of whole splits."""
    paired = Pictures(workspace.folder / "data" / DATASET, splits, "AtoB")
    return paired.batch(range(len(paired)))


def strip(path: Path) -> np.ndarray:
    """A strip's pictures (n, h, w, 3)."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image).reshape(-1, SIDE, SIDE, 3)


def test_generator(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(workspace.config(), EXPERIMENT, "finetune", "cpu")
    folder = workspace.stage("finetune")
    record = read(folder / "evaluation.json", Evaluation, "finetune")

    generator = load_generator(folder / "model.safetensors")
    inputs, targets = pictures(workspace, "val")
    with torch.inference_mode():
        made = to_uint8(generator(to_float(inputs)))
    features, real = FakeInception()(made), Statistics.from_features(FakeInception()(targets))
    assert record.fid == pytest.approx(frechet_distance(features, real), rel=1e-6)
    assert record.kid == pytest.approx(kernel_distance(features, real), rel=1e-6)
    assert record.l1 == pytest.approx(np.abs(made.astype(int) - targets).mean() / 255)

    assert set(record.each) >= {"fid", "kid", "l1", "psnr", "ssim"}
    for metric, values in record.each.items():
        assert np.mean(values) == pytest.approx(getattr(record, metric), rel=1e-4), metric

    counted = profile(generator.spec)
    assert (record.params, record.macs, record.macs_paper) == (counted.params, counted.macs, counted.macs_paper)
    assert record.spec == generator.spec
    assert (record.experiment, record.stage, record.images, record.seed) == (EXPERIMENT, "finetune", VALIDATION, 7)
    manifest = read_json(workspace.folder / "data" / DATASET / "manifest.json")
    assert record.data_hash == manifest["data_hash"]
    assert list(record.samples) == manifest["splits"]["val"]
    assert record.provenance["inception"] == FakeInception().key
    assert np.array_equal(strip(folder / "samples.png"), made)
    assert f"{EXPERIMENT} finetune: FID {record.fid:.1f}, KID × 10³ " in capsys.readouterr().out


def test_honesty_rows(workspace: Workspace) -> None:
    evaluate_reference(workspace.config(), EXPERIMENT, "cpu")
    folder = workspace.stage("reference")
    record = read(folder / "evaluation.json", Reference, "reference")
    inputs, targets = pictures(workspace, "val")
    inception = FakeInception()
    real = Statistics.from_features(inception(targets))

    assert record.bands.keys() == {"val", "train-2"}
    assert {"fid", "kid", "swd"} <= record.bands["train-2"].keys()
    low, high = record.bands["val"]["fid"]
    assert low < record.rows[REAL].fid < high

    copied = record.rows[COPIED]
    assert copied.l1 == pytest.approx(np.abs(inputs.astype(int) - targets).mean() / 255)
    assert copied.fid == pytest.approx(frechet_distance(inception(inputs), real), rel=1e-6)
    assert copied.kid == pytest.approx(kernel_distance(inception(inputs), real), rel=1e-6)

    colour = np.rint(pictures(workspace, "train-1", "train-2")[1].reshape(-1, 3).mean(axis=0)).astype(int)
    flat = np.broadcast_to(colour.astype(np.uint8), targets.shape)
    assert record.rows[MEAN].l1 == pytest.approx(np.abs(colour - targets).mean() / 255)
    assert record.rows[MEAN].fid == pytest.approx(frechet_distance(inception(flat), real), rel=1e-6)

    other = pictures(workspace, "train-2")[1][:VALIDATION]
    assert record.rows[REAL].fid == pytest.approx(frechet_distance(inception(other), real), rel=1e-6)
    assert record.rows[REAL].kid == pytest.approx(kernel_distance(inception(other), real), rel=1e-6)
    assert record.rows[REAL].l1 is None
    assert record.rows[REAL].fid < min(copied.fid, record.rows[MEAN].fid)
    assert np.array_equal(strip(folder / "inputs.png"), inputs)
    assert np.array_equal(strip(folder / "targets.png"), targets)


def test_records_make_a_scoreboard(workspace: Workspace) -> None:
    """What the report reads, as it reads it."""
    config = workspace.config()
    evaluate_reference(config, EXPERIMENT, "cpu")
    for stage in ("original", "narrow", "subnet", "finetune"):
        evaluate(config, EXPERIMENT, stage, "cpu")
    board = read_scoreboard(Folders(workspace.folder / "results", EXPERIMENT))
    assert list(board.evaluations) == ["original", "narrow", "subnet", "finetune"]
    assert len({record.fid for record in board.evaluations.values()}) == 4


@pytest.mark.parametrize(("most", "expected"), [(1, [0]), (3, [0, 2, 4]), (7, list(range(7))), (12, list(range(7)))])
def test_samples_are_spread_and_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, most: int, expected: list[int]
) -> None:
    monkeypatch.setattr(module, "SAMPLES", most)
    evaluate_reference(workspace.config(), EXPERIMENT, "cpu")
    record = read(workspace.stage("reference") / "evaluation.json", Reference, "reference")
    names = read_json(workspace.folder / "data" / DATASET / "manifest.json")["splits"]["val"]
    assert list(record.samples) == [names[index] for index in expected]
    inputs, targets = pictures(workspace, "val")
    assert np.array_equal(strip(workspace.stage("reference") / "inputs.png"), inputs[expected])
    assert np.array_equal(strip(workspace.stage("reference") / "targets.png"), targets[expected])


def test_chunks_do_not_matter(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for chunk in (2, 32):
        monkeypatch.setattr(module, "CHUNK", chunk)
        evaluate_reference(workspace.config(), EXPERIMENT, "cpu")
        record = read(workspace.stage("reference") / "evaluation.json", Reference, "reference")
        rows.append([score for scores in record.rows.values() for score in (scores.fid, scores.kid, scores.l1 or 0.0)])
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


def test_direction_swaps_input_and_target(workspace: Workspace) -> None:
    paired = Pictures(workspace.folder / "data" / DATASET, ("train-1", "train-2"), "BtoA")
    outlines = pictures(workspace, "train-1", "train-2")[0]
    assert mean_colour(paired).tolist() == np.rint(outlines.reshape(-1, 3).mean(axis=0)).astype(int).tolist()


def test_strip(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)
    write_strip(tmp_path / "strip.png", made)
    with Image.open(tmp_path / "strip.png") as image:
        assert image.size == (12, 40)
        assert np.array_equal(np.asarray(image), made.reshape(40, 12, 3))


def test_two_evaluations_are_the_same_bytes(workspace: Workspace) -> None:
    files = []
    for _ in range(2):
        evaluate(workspace.config(), EXPERIMENT, "original", "cpu")
        files.append([(workspace.stage("original") / name).read_bytes() for name in ("evaluation.json", "samples.png")])
    assert files[0] == files[1]


def test_missing_model_is_named(workspace: Workspace) -> None:
    (workspace.stage("narrow") / "model.safetensors").unlink()
    with pytest.raises(GancompError, match=r"narrow/model\.safetensors"):
        evaluate(workspace.config(), EXPERIMENT, "narrow", "cpu")
    assert not (workspace.stage("narrow") / "evaluation.json").exists()


def test_missing_statistics_are_named(workspace: Workspace) -> None:
    (workspace.folder / "data" / DATASET / "statistics.safetensors").unlink()
    with pytest.raises(GancompError, match=r"statistics\.safetensors: no such file"):
        evaluate_reference(workspace.config(), EXPERIMENT, "cpu")


# --- other kinds of pictures -------------------------------------------------------------------


def evaluated(made: Untrained, **experiment: object) -> tuple[Evaluation, Reference]:
    """The original and the honesty rows, scored."""
    config = made.config(**experiment)
    evaluate(config, made.experiment, "original", "cpu")
    evaluate_reference(config, made.experiment, "cpu")
    return (
        read(made.stage("original") / "evaluation.json", Evaluation, "original"),
        read(made.stage("reference") / "evaluation.json", Reference, "reference"),
    )


@pytest.mark.parametrize("experiment", ["batch", "cyclegan", "gaugan", "alone"])
def test_every_kind_of_pictures(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(experiment, tmp_path, monkeypatch)
    record, reference = evaluated(made)
    val = made.pictures("val")
    inputs, targets = val.inputs(range(len(val))), val.targets(range(val.target_count))
    with torch.inference_mode():
        out = to_uint8(load_generator(made.stage("original") / "model.safetensors")(val.encode(inputs)))
    inception = FakeInception()
    real = Statistics.from_features(inception(targets))
    assert record.fid == pytest.approx(frechet_distance(inception(out), real), rel=1e-6)
    assert record.kid == pytest.approx(kernel_distance(inception(out), real), rel=1e-6)
    if experiment == "cyclegan":
        assert record.l1 is None
    else:
        assert record.l1 == pytest.approx(np.abs(out.astype(int) - targets).mean() / 255)
    assert (record.miou is None) == (experiment != "gaugan")
    assert record.lpips is None
    assert reference.paired == (experiment != "cyclegan")
    assert [row.l1 is None for row in reference.rows.values()].count(False) == (2 if reference.paired else 0)
    assert reference.baseline == (PAINTED if experiment == "gaugan" else COPIED)
    with Image.open(made.stage("reference") / "inputs.png") as shown:
        assert shown.mode == "RGB"
        assert shown.size == (val.size[1], val.size[0] * len(record.samples))


def test_label_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the judge reads off, and the classes in their mean colours."""
    made = prepare("gaugan", tmp_path, monkeypatch)
    record, reference = evaluated(made)
    val, training = made.pictures("val"), made.pictures("train-1", "train-2")
    everything = range(len(val))
    inputs, targets = val.batch(everything)
    with torch.inference_mode():
        out = to_uint8(load_generator(made.stage("original") / "model.safetensors")(val.encode(inputs)))
    judge = load_judge(made.config().datasets["maps"], made.root)
    truth = val.scored_labels(everything)
    assert (truth == 255).any(), "pixels of no class"
    assert record.miou == pytest.approx(mean_iou(judge.score(out, truth)))
    assert reference.rows[REAL].miou == 0.625, "the judge's own on real pictures"

    seen, photos = training.batch(range(len(training)))
    ids = training.labels(seen)
    painted = np.empty_like(targets)
    for number in range(4):
        painted[val.labels(inputs) == number] = np.rint(photos[ids == number].mean(axis=0))
    assert reference.rows[PAINTED].l1 == pytest.approx(np.abs(painted.astype(int) - targets).mean() / 255, abs=1e-4)
    assert reference.rows[PAINTED].l1 < reference.rows[MEAN].l1
    assert reference.rows[PAINTED].miou == pytest.approx(mean_iou(judge.score(painted, truth)), abs=1e-3)


def test_a_class_that_no_training_picture_has_is_painted_in_the_mean_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare("gaugan", tmp_path, monkeypatch)
    val = made.pictures("val")
    monkeypatch.setattr(val, "labels", lambda inputs: np.zeros(inputs.shape[:3], np.uint8))
    colour = np.array([1, 2, 3], np.uint8)
    colours = module.class_colours(val, colour)
    assert colours[0].tolist() == mean_colour(val).tolist()
    assert colours[1:].tolist() == [[1, 2, 3]] * 3


def test_a_judge_that_reads_badly_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("gaugan", tmp_path, monkeypatch)
    made.write_judge(usable=False)
    record, reference = evaluated(made)
    assert record.miou is None
    assert all(row.miou is None for row in reference.rows.values())
    assert reference.absent["miou"] == (
        "mIoU is withheld: on real validation pictures the judge reaches 25.00 %, less than twice the 18.75 % of "
        "always answering the most frequent class."
    )
    assert "judge" not in record.provenance
    made.write_judge(usable=True)
    assert evaluated(made)[0].provenance["judge"]


@pytest.mark.parametrize("targets", ["split", "all"])
def test_unpaired_pictures_against_the_targets_declared(
    targets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare("cyclegan", tmp_path, monkeypatch)
    config = made.config(dataset={"fid_targets": targets})
    build("domains", config.datasets["domains"], made.root, paths.DOWNLOADS)
    inception = FakeInception()
    write_statistics(made.root, [inception], made.root / "statistics.safetensors")
    _, reference = evaluated(made)
    val, training = made.pictures("val"), made.pictures("train-1", "train-2")
    zebras = {p: inception(p.targets(range(p.target_count))) for p in (val, training)}
    held = zebras[val] if targets == "split" else np.concatenate([zebras[training], zebras[val]])
    copied = inception(val.inputs(range(len(val))))
    assert reference.rows[COPIED].fid == pytest.approx(
        frechet_distance(copied, Statistics.from_features(held)), rel=1e-5
    )
    if targets == "all":
        real = frechet_distance(zebras[val], Statistics.from_features(zebras[training]))
        assert reference.rows[REAL].fid == pytest.approx(real, rel=1e-5), "no picture on both sides"
    told = "L1, PSNR, SSIM, LPIPS and DISTS need the truth of a picture, and these are unpaired."
    assert reference.absent == {"l1": told}
    assert (made.stage("reference") / "targets.png").is_file()


def test_held_out_pairs_measure_unpaired_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("cyclegan", tmp_path, monkeypatch)
    unpaired = build_module._plan

    def with_pairs(*arguments: Any) -> object:
        plan = unpaired(*arguments)
        files = {file: split for file, split in plan.splits.items() if split != "val" or plan.alone[file] == "A"}
        alone = {file: side for file, side in plan.alone.items() if files.get(file, "val") != "val"}

        def draw(file: str) -> tuple[np.ndarray, ...]:
            sides = plan.draw(file)
            return sides if file in alone else (*sides, 255 - sides[0])

        return build_module.Plan(files, draw, plan.attribution, alone=alone)

    monkeypatch.setattr(build_module, "_plan", with_pairs)
    build("domains", made.config().datasets["domains"], made.root, paths.DOWNLOADS)
    write_statistics(made.root, [FakeInception()], made.root / "statistics.safetensors")
    record, reference = evaluated(made)
    assert record.l1 is not None
    assert reference.paired
    drawings = made.pictures("val").inputs(range(len(made.pictures("val"))))
    assert reference.rows[COPIED].l1 == pytest.approx(np.abs(2 * drawings.astype(int) - 255).mean() / 255)


def test_lpips_where_it_is_asked_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over all pictures if its weights are there, and the reason why not otherwise."""

    class FakeLpips:
        def __init__(self, weights: Path, device: object) -> None:
            assert weights == paths.LPIPS

        def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.abs(a.astype(np.float32) - b).mean(axis=(1, 2, 3))

    monkeypatch.setattr(module, "Lpips", FakeLpips)
    config, file = workspace.config(lpips=True), workspace.stage("reference") / "evaluation.json"
    write_json(paths.LPIPS.with_name("status.json"), {"available": False, "reason": "no address\n answered"})
    evaluate_reference(config, EXPERIMENT, "cpu")
    without = read(file, Reference, "reference")
    assert without.absent["lpips"] == "LPIPS is not measured: its backbone is not at hand (no address answered)."
    assert without.rows[COPIED].lpips is None

    paths.LPIPS.write_bytes(b"")
    evaluate_reference(config, EXPERIMENT, "cpu")
    with_ = read(file, Reference, "reference")
    assert with_.absent == {}
    assert with_.rows[COPIED].lpips == pytest.approx(255 * with_.rows[COPIED].l1, rel=1e-5)
    assert with_.rows[REAL].lpips is None
    assert with_.rows[COPIED].fid == without.rows[COPIED].fid


def test_a_judge_that_is_not_there_yet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("gaugan", tmp_path, monkeypatch)
    (made.root / "judge" / "metrics.json").unlink()
    with pytest.raises(GancompError, match=r"judge/metrics\.json: missing; run the stage 'judge' first"):
        evaluate_reference(made.config(), made.experiment, "cpu")


def test_fid_clean_where_it_is_asked_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against statistics of its own: without them the file is named."""

    class Clean(FakeInception):
        """Sees pictures upside down, where resizing is clean-fid's."""

        def __init__(self, weights: Path, resizing: str = "legacy", **options: object) -> None:
            super().__init__(weights, **options)
            self._clean = resizing == "clean"
            self.key += "-clean" if self._clean else ""

        def __call__(self, pictures: np.ndarray) -> np.ndarray:
            return super().__call__(pictures[:, ::-1] if self._clean else pictures)

    monkeypatch.setattr(module, "Inception", Clean)
    monkeypatch.setattr("gancomp.metrics.looks.Inception", Clean)
    config, root = workspace.config(fid_clean=True), workspace.folder / "data" / DATASET
    with pytest.raises(GancompError, match=r"statistics\.safetensors: holds .*, and not .*-clean/val"):
        evaluate_reference(config, EXPERIMENT, "cpu")
    clean = Clean(paths.INCEPTION, "clean")
    write_statistics(root, [Clean(paths.INCEPTION), clean], root / "statistics.safetensors")
    evaluate_reference(config, EXPERIMENT, "cpu")
    record = read(workspace.stage("reference") / "evaluation.json", Reference, "reference")
    inputs, targets = pictures(workspace, "val")
    real = Statistics.from_features(clean(targets))
    assert record.rows[COPIED].fid_clean == pytest.approx(frechet_distance(clean(inputs), real), rel=1e-6)
    assert record.rows[COPIED].fid_clean != record.rows[COPIED].fid
    assert record.rows[REAL].fid_clean is not None
