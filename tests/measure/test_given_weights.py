"""Evaluation and search by networks whose weights the configuration gives: end to end, with small random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import yaml
from given import WRITE
from tiny_run import DATASET, EXPERIMENT, FakeInception, Workspace
from untrained import prepare

from gancomp.cli.app import Device
from gancomp.cli.data import statistics
from gancomp.data.datasets import Pictures
from gancomp.errors import GancompError
from gancomp.measure.evaluate import evaluate, evaluate_reference
from gancomp.metrics.dists import Dists
from gancomp.metrics.embedding import Embedding
from gancomp.metrics.given import find_given
from gancomp.pipeline.files import file_sha256
from gancomp.pipeline.signatures import signature
from gancomp.report.reading import read
from gancomp.report.records import COPIED, REAL, Evaluation, Reference
from gancomp.report.searched import Selection, read_search
from gancomp.search.scores import score_shard
from gancomp.search.select import merge, select

FOLDERS = {metric: f"weights/{metric}" for metric in WRITE}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each metric."""
    root = tmp_path_factory.mktemp("weights")
    for metric, write in WRITE.items():
        write(root / metric)
    return root


@pytest.fixture
def made(workspace: Workspace, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The tiny experiment with given weights, and the features of its real pictures by the command that makes them."""
    Path("weights").symlink_to(weights)
    monkeypatch.setattr("gancomp.metrics.inception.Inception", FakeInception)
    Path("given.yaml").write_text(yaml.safe_dump(workspace.settings(metric_weights=FOLDERS)))
    statistics(DATASET, [Path("given.yaml")], "{}", Device.cpu)
    return workspace


def seen(metric: str, pictures: np.ndarray) -> np.ndarray:
    return Embedding(find_given(EXPERIMENT, metric, FOLDERS[metric]))(pictures).astype(np.float64)


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """By the matrix root of the covariances' product."""
    shared = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * shared))


def cmmd(x: np.ndarray, y: np.ndarray) -> float:
    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.square(a[:, None] - b[None]).sum(-1) / 200).mean())

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def validation() -> tuple[np.ndarray, np.ndarray]:
    pictures = Pictures(Path("data") / DATASET, ("val",), "AtoB")
    return pictures.batch(range(len(pictures)))


def test_honest_rows(made: Workspace) -> None:
    evaluate_reference(made.config(metric_weights=FOLDERS), EXPERIMENT, "cpu")
    record = read(made.stage("reference") / "evaluation.json", Reference, "reference")
    inputs, targets = validation()
    copied, real = record.rows[COPIED], record.rows[REAL]
    assert copied.fd_dinov2 == pytest.approx(frechet(seen("fd_dinov2", inputs), seen("fd_dinov2", targets)), rel=1e-3)
    assert copied.cmmd == pytest.approx(cmmd(seen("cmmd", inputs), seen("cmmd", targets)), rel=1e-4)
    dists = Dists(find_given(EXPERIMENT, "dists", FOLDERS["dists"]))
    assert copied.dists == pytest.approx(dists(inputs, targets).mean(), rel=1e-4)
    assert copied.dists > 0
    assert real.dists is None
    assert real.cmmd is not None
    assert real.fd_dinov2 is not None
    assert real.cmmd < copied.cmmd


def test_a_generator_by_weights_whose_hashes_are_kept(made: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(made.config(metric_weights=FOLDERS, metric="cmmd"), EXPERIMENT, "original", "cpu")
    record = read(made.stage("original") / "evaluation.json", Evaluation, "original")
    assert "original: CMMD " in capsys.readouterr().out
    assert record.provenance["weights"] == {
        metric: {file.name: file_sha256(file) for file in sorted(Path(folder).iterdir())}
        for metric, folder in FOLDERS.items()
    }
    for metric in FOLDERS:
        assert np.mean(record.each[metric]) == pytest.approx(getattr(record, metric), rel=1e-3), metric
    evaluate(made.config(), EXPERIMENT, "original", "cpu")
    without = read(made.stage("original") / "evaluation.json", Evaluation, "original")
    assert (without.dists, without.fd_dinov2, without.cmmd) == (None, None, None)
    assert "weights" not in without.provenance
    assert without.fid == record.fid


@pytest.mark.parametrize("metric", FOLDERS)
def test_any_of_them_chooses(made: Workspace, metric: str) -> None:
    """And the others, which cost as much, are left out of the search."""
    settings: dict[str, Any] = {"metric_weights": FOLDERS, "search": {"budget": "6.3x", "images": 7, "chunk": 3}}
    config = made.config(metric=metric, **settings)
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    merge(config, EXPERIMENT, 1)
    rows = read_search(made.stage("scores") / "search.csv")
    select(config, EXPERIMENT)
    selection = read(made.stage("search") / "selection.json", Selection, "search")
    assert selection.best
    assert getattr(selection.best, metric) == min(getattr(row, metric) for row in rows)
    assert selection.tied
    assert all(getattr(row, f"{metric}_low") < getattr(row, metric) < getattr(row, f"{metric}_high") for row in rows)
    assert all(getattr(row, other) is None for row in rows for other in FOLDERS if other != metric)


def test_without_features_of_the_real_pictures_the_file_is_named(workspace: Workspace, weights: Path) -> None:
    Path("weights").symlink_to(weights)
    with pytest.raises(GancompError, match=r"statistics\.safetensors: holds .*, and not fd_dinov2-.*/val"):
        evaluate_reference(workspace.config(metric_weights=FOLDERS), EXPERIMENT, "cpu")


@pytest.mark.parametrize("metric", FOLDERS)
def test_a_missing_folder_is_told_before_anything_is_read(workspace: Workspace, metric: str) -> None:
    config = workspace.config(metric_weights={metric: "nowhere"}, metric=metric)
    (workspace.stage("original") / "model.safetensors").unlink()
    with pytest.raises(GancompError, match=rf"experiments\.{EXPERIMENT}\.metric_weights\.{metric}: nowhere: no file"):
        evaluate(config, EXPERIMENT, "original", "cpu")


def test_scores_of_other_weights_are_others(workspace: Workspace) -> None:
    """Only of those that choose: what else is measured changes no search."""
    plain = workspace.config()
    beside = workspace.config(metric_weights=FOLDERS)
    chosen = [workspace.config(metric="cmmd", metric_weights={"cmmd": folder}) for folder in ("one", "other")]
    signatures = [signature(config, EXPERIMENT, "scores") for config in (plain, beside, *chosen)]
    assert signatures[0] == signatures[1]
    assert len({*signatures}) == 3


def test_unpaired_pictures_have_no_dists(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained = prepare("cyclegan", tmp_path, monkeypatch)
    config = untrained.config(metric_weights={"dists": str(weights / "dists")})
    evaluate_reference(config, untrained.experiment, "cpu")
    record = read(untrained.stage("reference") / "evaluation.json", Reference, "reference")
    assert {row.dists for row in record.rows.values()} == {None}
    assert "DISTS need the truth" in record.absent["l1"]
