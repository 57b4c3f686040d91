"""Scores of a generator and of the honesty rows on the validation pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import DATASET, EXPERIMENT, SIDE, FakeInception, Workspace

from gancomp import evaluate as module
from gancomp.artifacts import read_json
from gancomp.data.datasets import PairedPictures, to_float, to_uint8
from gancomp.errors import GancompError
from gancomp.evaluate import evaluate, evaluate_reference, mean_colour, write_strip
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.kernel import kernel_distance
from gancomp.nets import load_generator
from gancomp.profile.macs import profile
from gancomp.report.records import COPIED, MEAN, REAL, Evaluation, Folders, Reference, read, read_scoreboard

VALIDATION = 7


def pictures(workspace: Workspace, *splits: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of whole splits."""
    paired = PairedPictures(workspace.folder / "data" / DATASET, splits, "AtoB")
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

    counted = profile(generator.spec)
    assert (record.params, record.macs, record.macs_paper) == (counted.params, counted.macs, counted.macs_paper)
    assert record.spec == generator.spec
    assert (record.experiment, record.stage, record.images, record.seed) == (EXPERIMENT, "finetune", VALIDATION, 7)
    manifest = read_json(workspace.folder / "data" / DATASET / "manifest.json")
    assert record.data_hash == manifest["data_hash"]
    assert list(record.samples) == manifest["splits"]["val"]
    assert record.provenance["inception"] == FakeInception().key
    assert np.array_equal(strip(folder / "samples.png"), made)
    assert f"{EXPERIMENT} finetune: FID {record.fid:.2f}" in capsys.readouterr().out


def test_honesty_rows(workspace: Workspace) -> None:
    evaluate_reference(workspace.config(), EXPERIMENT, "cpu")
    folder = workspace.stage("reference")
    record = read(folder / "evaluation.json", Reference, "reference")
    inputs, targets = pictures(workspace, "val")
    inception = FakeInception()
    real = Statistics.from_features(inception(targets))

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
    paired = PairedPictures(workspace.folder / "data" / DATASET, ("train-1", "train-2"), "BtoA")
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
