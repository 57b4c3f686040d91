"""Scores: those of every subnet alone, and the same file for any number of shards."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import DATASET, EXPERIMENT, FakeInception, Workspace
from untrained import prepare

from gancomp import rng
from gancomp.data.datasets import Pictures, to_float, to_uint8
from gancomp.elastic.slicing import extract
from gancomp.errors import GancompError
from gancomp.metrics.frechet import frechet_distance
from gancomp.metrics.kernel import kernel_distance
from gancomp.metrics.pictures import l1
from gancomp.metrics.scoring import Scorer, Tally
from gancomp.metrics.segmentation import load_judge, mean_iou
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator, save_generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.report.reading import read
from gancomp.report.searched import Selection, read_search, read_shard
from gancomp.search import candidates as candidates_module
from gancomp.search import scores as scores_module
from gancomp.search.candidates import candidates, shard_path
from gancomp.search.scores import score, score_shard
from gancomp.search.select import merge, read_replicates, select

#: A budget under which few subnets are left.
TIGHT = {"search": {"budget": "6.3x", "images": 5, "chunk": 3}}


def small_groups(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in (candidates_module, scores_module):
        monkeypatch.setattr(module, "GROUP", size)


@torch.inference_mode()
def test_scores_are_those_of_each_subnet_alone(workspace: Workspace) -> None:
    config = workspace.config(**TIGHT)
    whole = load_generator(workspace.stage("supernet") / "model.safetensors")
    subnets = candidates(config, EXPERIMENT)
    rows = list(score(whole, subnets, config, EXPERIMENT, "cpu"))
    assert [(row.index, row.widths) for row in rows] == [(subnet.index, subnet.widths) for subnet in subnets]
    assert len(rows) >= 10

    pictures = Pictures(workspace.folder / "data" / DATASET, ("train-2",), "AtoB")
    inputs, targets = pictures.batch(sorted(rng.sample(7, "pictures of the search", len(pictures), 5)))
    inception = FakeInception()
    reference = load_statistics(
        workspace.folder / "data" / DATASET / "statistics.safetensors", "train-2", inception.key
    )
    for row, subnet in zip(rows, subnets, strict=True):
        alone = extract(whole, subnet.widths)
        made = np.concatenate([to_uint8(alone(to_float(part))) for part in (inputs[:3], inputs[3:])])
        features = inception(made)
        assert row.fid == pytest.approx(frechet_distance(features, reference), rel=1e-6)
        assert row.kid == pytest.approx(kernel_distance(features, reference), rel=1e-6)
        assert row.l1 == pytest.approx(l1(made, targets), rel=1e-9)
        counted = subnet.profile
        assert (row.macs, row.macs_paper, row.params) == (counted.macs, counted.macs_paper, counted.params)
    assert len({row.fid for row in rows}) > len(rows) // 2, "subnets differ"


def test_search_csv_does_not_depend_on_the_shards(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    config = workspace.config(**TIGHT)
    path = workspace.stage("scores") / "search.csv"
    written = set()
    for count, group in ((1, 32), (2, 3), (3, 3), (7, 3)):
        small_groups(monkeypatch, group)
        path.unlink()
        for index in reversed(range(count)):
            score_shard(config, EXPERIMENT, index, count, "cpu")
        sizes = [len(read_shard(shard_path(EXPERIMENT, index, count))) for index in range(count)]
        assert sum(sizes) == len(candidates(config, EXPERIMENT))
        assert (0 in sizes) == (count == 7), "seven shards are more than there are groups"
        merge(config, EXPERIMENT, count)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_a_search_repeats_itself(finished: Workspace, workspace: Workspace) -> None:
    score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")
    name = "shards/0-of-1.csv"
    assert (workspace.stage("scores") / name).read_bytes() == (finished.stage("scores") / name).read_bytes()


def test_search_csv_of_the_experiment(finished: Workspace) -> None:
    rows = read_search(finished.stage("scores") / "search.csv")
    config = finished.config()
    assert [row.widths for row in rows] == [subnet.widths for subnet in candidates(config, EXPERIMENT)]
    assert (finished.stage("scores") / "search.csv").read_text().splitlines()[0] == (
        "index,widths,macs,macs_paper,params,fid,kid,l1,miou,fid_low,fid_high,kid_low,kid_high,l1_low,l1_high,"
        "psnr,ssim,lpips,precision,recall,density,coverage,psnr_low,psnr_high,ssim_low,ssim_high,lpips_low,lpips_high,"
        "precision_low,precision_high,density_low,density_high,coverage_low,coverage_high,"
        "fid_infinity,swd,fid_infinity_low,fid_infinity_high,swd_low,swd_high,"
        "fid_clean,fid_clean_low,fid_clean_high,"
        "dists,fd_dinov2,cmmd,dists_low,dists_high,fd_dinov2_low,fd_dinov2_high,cmmd_low,cmmd_high,crc32"
    )
    dear = {(row.ssim, row.lpips, row.miou, row.fid_infinity, row.fid_clean, row.cmmd) for row in rows}
    assert dear == {(None,) * 6}, "they cost more than all else"
    assert all(row.psnr and row.swd and row.precision is not None and row.coverage is not None for row in rows)


@pytest.mark.parametrize("metric", ["ssim", "recall"])
def test_any_metric_chooses(workspace: Workspace, metric: str) -> None:
    """SSIM is measured if the metric needs it, with draws for ties; recall has no draws."""
    config = workspace.config(metric=metric, **TIGHT | {"search": TIGHT["search"] | {"images": 7}})
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    merge(config, EXPERIMENT, 1)
    rows = read_search(workspace.stage("scores") / "search.csv")
    select(config, EXPERIMENT)
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert selection.best
    assert getattr(selection.best, metric) == max(getattr(row, metric) for row in rows)
    assert (selection.tied is None) == (metric == "recall")


def test_intervals_hold_their_score(finished: Workspace) -> None:
    for row in read_search(finished.stage("scores") / "search.csv"):
        for metric in ("fid", "kid", "l1", "psnr", "swd"):
            low, high = getattr(row, f"{metric}_low"), getattr(row, f"{metric}_high")
            assert low < getattr(row, metric) < high


def test_a_search_that_was_killed_goes_on(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scored groups are not scored again, and the file is the same."""
    small_groups(monkeypatch, 3)
    config, scored = workspace.config(), []
    tally = Scorer.tally

    def dying(own: Scorer) -> Tally:
        scored.append(1)
        if len(scored) == 7:
            raise KeyboardInterrupt
        return tally(own)

    monkeypatch.setattr(Scorer, "tally", dying)
    path = workspace.stage("scores") / "search.csv"
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        score_shard(config, EXPERIMENT, 0, 1, "cpu")
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    assert len(scored) == len(candidates(config, EXPERIMENT)) + 1
    merge(config, EXPERIMENT, 1)
    assert path.read_bytes() == (finished.stage("scores") / "search.csv").read_bytes()
    assert not workspace.resume("scores").exists()


def test_a_search_of_limited_time_says_the_best_so_far(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One group fits into an attempt; several attempts produce the same file."""
    small_groups(monkeypatch, 3)
    config, path = workspace.config(), workspace.stage("scores") / "search.csv"
    path.unlink()
    total = len(candidates(config, EXPERIMENT))
    best = []
    for attempt in range(1, -(-total // 3)):
        with pytest.raises(SystemExit, match="143"):
            score_shard(config, EXPERIMENT, 0, 1, "cpu", time.monotonic())
        said = capsys.readouterr().out
        found = re.search(r"stopped, (\d+) subnets scored; the best so far has fid (\S+)", said)
        assert found
        assert 3 * attempt - 2 <= int(found[1]) <= 3 * attempt
        best.append(float(found[2]))
    assert best == sorted(best, reverse=True)
    score_shard(config, EXPERIMENT, 0, 1, "cpu", time.monotonic())  # the last group is no longer stopped after
    merge(config, EXPERIMENT, 1)
    assert path.read_bytes() == (finished.stage("scores") / "search.csv").read_bytes()
    # Not in the order of the space: what is known early is a sample of it.
    order = rng.generator(config.experiments[EXPERIMENT].seed, "order of the search").permutation(-(-total // 3))
    assert list(order) != sorted(order)


def damage(path: Path, draw: random.Random) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def test_kept_scores_that_are_damaged_or_foreign_are_scored_again(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_groups(monkeypatch, 6)
    config, shard = workspace.config(), workspace.stage("scores") / "shards" / "0-of-1.csv"
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    expected = shard.read_bytes()
    kept = sorted(workspace.resume("scores").rglob("*.csv"))
    rows, spoilt = kept[0].read_bytes(), {*kept[:5]}
    kept[0].write_bytes(rows[: rows.rindex(b"\n", 0, -1) + 1])  # cut off after a whole row
    kept[1].write_bytes(rows)
    kept[2].write_bytes(b"")
    damage(kept[3], random.Random(0))
    kept[4].write_bytes(b"\xff\x00" * 50)
    scored, tally = [], Scorer.tally
    monkeypatch.setattr(Scorer, "tally", lambda own: (scored.append(1), tally(own))[1])
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    assert shard.read_bytes() == expected
    assert len(scored) == sum(len(read_shard(path)) for path in spoilt) < len(candidates(config, EXPERIMENT))


def test_scores_of_another_network_are_not_kept(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The once-for-all network was trained again, by the same settings, while a search had stopped half-way."""
    config, path = workspace.config(), workspace.stage("supernet") / "model.safetensors"
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    header, network = read_header(path), load_generator(path)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    save_generator(path, network, experiment=header.experiment, stage=header.stage, signature=header.signature)
    scored, tally = [], Scorer.tally
    monkeypatch.setattr(Scorer, "tally", lambda own: (scored.append(1), tally(own))[1])
    score_shard(config, EXPERIMENT, 0, 1, "cpu")
    assert len(scored) == len(candidates(config, EXPERIMENT))


def replicates(path: Path) -> dict[int, list[float]]:
    return {index: list(values) for index, values in read_replicates(path).items()}


OF_SCORES = pytest.mark.parametrize(
    ("name", "read"),
    [("shards/0-of-1.csv", read_shard), ("search.csv", read_search), ("replicates.csv", replicates)],
    ids=["shard", "search", "replicates"],
)


@OF_SCORES
def test_a_flipped_bit_of_scores_is_refused_or_harmless(
    workspace: Workspace, name: str, read: Callable[[Path], object]
) -> None:
    path = workspace.stage("scores") / name
    whole, rows, draw = path.read_bytes(), read(path), random.Random(0)
    refused = 0
    for _ in range(300):
        damage(path, draw)
        try:
            assert read(path) == rows
        except GancompError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017 (a quoted cell reads the same)
        path.write_bytes(whole)
    assert refused > 290


@OF_SCORES
def test_scores_from_before_there_was_a_checksum_are_read(
    workspace: Workspace, name: str, read: Callable[[Path], object]
) -> None:
    path = workspace.stage("scores") / name
    rows, lines = read(path), path.read_text().splitlines()
    path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    assert read(path) == rows


def test_statistics_of_other_pictures_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    init = Pictures.__init__

    def renamed(self: Pictures, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        self.data_hash = "f" * 64

    monkeypatch.setattr(Pictures, "__init__", renamed)
    with pytest.raises(GancompError, match=r"statistics\.safetensors: belongs to other pictures"):
        score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")


def test_missing_supernet_is_named(workspace: Workspace) -> None:
    (workspace.stage("supernet") / "model.safetensors").unlink()
    with pytest.raises(GancompError, match=r"supernet/model\.safetensors"):
        score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")


@pytest.mark.parametrize("stage", ["teacher", "original", "subnet"])
def test_another_network_than_the_supernet_is_not_scored(workspace: Workspace, stage: str) -> None:
    path = workspace.stage("supernet") / "model.safetensors"
    other = load_generator(workspace.stage(stage) / path.name)
    save_generator(path, other, experiment=EXPERIMENT, stage="supernet", signature="")
    with pytest.raises(
        GancompError, match=r"supernet/model\.safetensors: has widths .* run the stage 'supernet' again"
    ):
        score_shard(workspace.config(), EXPERIMENT, 0, 1, "cpu")


def test_supernet_file_is_only_read(finished: Workspace, workspace: Workspace) -> None:
    score_shard(workspace.config(**TIGHT), EXPERIMENT, 0, 1, "cpu")
    name = "supernet/model.safetensors"
    mine, theirs = ((own.stage("supernet") / "model.safetensors").read_bytes() for own in (workspace, finished))
    assert mine == theirs
    assert read_header(workspace.folder / "results" / EXPERIMENT / name).stage == "supernet"


# --- other kinds of pictures -------------------------------------------------------------------


def test_pictures_are_drawn_by_lot_and_kept_from_round_to_round(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer than train-2 has: not the first by name, different for another seed, and each half a subset of the next
    larger one."""
    asked: list[int] = []
    inputs = Pictures.inputs
    monkeypatch.setattr(Pictures, "inputs", lambda self, some: (asked.extend(some), inputs(self, some))[1])

    def scored(seed: int, stride: int = 1) -> list[int]:
        config = workspace.config(search={"images": 4, "bootstrap": 0}, seed=seed)
        asked.clear()
        generator = load_generator(workspace.stage("supernet") / "model.safetensors")
        list(score(generator, candidates(config, EXPERIMENT)[:1], config, EXPERIMENT, "cpu", stride))
        return [int(index) for index in asked]

    every = {seed: scored(seed) for seed in range(4)}
    assert all(len(set(some)) == 4 for some in every.values())
    assert len({tuple(some) for some in every.values()}) > 2
    assert max(index for some in every.values() for index in some) == 6, "not the first by name"
    assert all(set(scored(seed, 2)) < set(some) and len(scored(seed, 2)) == 2 for seed, some in every.items())


@pytest.mark.parametrize(("experiment", "metric"), [("batch", "l1"), ("cyclegan", "kid"), ("gaugan", "miou")])
@torch.inference_mode()
def test_every_kind_of_pictures_is_scored_as_each_subnet_alone(
    experiment: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BatchNorm's statistics are each subnet's own, whatever group or shard it was scored in."""
    made = prepare(experiment, tmp_path, monkeypatch)
    config = made.config(metric=metric)
    written = set()
    for count, group in ((1, 32), (3, 2)):
        small_groups(monkeypatch, group)
        for index in range(count):
            score_shard(config, experiment, index, count, "cpu")
        merge(config, experiment, count)
        written.add((made.stage("scores") / "search.csv").read_bytes())
    assert len(written) == 1
    rows = read_search(made.stage("scores") / "search.csv")
    assert len({row.fid for row in rows}) == len(rows) >= 4

    whole = load_generator(made.stage("supernet") / "model.safetensors")
    pictures, inception = made.pictures("train-2"), FakeInception()
    searched = config.experiments[experiment]
    indices = sorted(rng.sample(searched.seed, "pictures of the search", len(pictures), searched.search.images))
    reference = load_statistics(made.root / "statistics.safetensors", "train-2", inception.key)
    x = pictures.encode(pictures.inputs(indices))
    for row in (rows[0], rows[-1]):
        out = to_uint8(made.subnet(whole, row.widths)(x))
        assert row.fid == pytest.approx(frechet_distance(inception(out), reference), rel=1e-3)
        assert row.kid == pytest.approx(kernel_distance(inception(out), reference), rel=1e-3, abs=1e-5)
        if experiment == "cyclegan":
            assert row.l1 is None
        else:
            assert row.l1 == pytest.approx(l1(out, pictures.targets(indices)), rel=1e-4)
        if metric == "miou":
            judge = load_judge(config.datasets["maps"], made.root)
            assert row.miou == pytest.approx(mean_iou(judge.score(out, pictures.scored_labels(indices))), abs=1e-3)
        else:
            assert row.miou is None

    select(made.config(metric=metric, search={"ties": "best"}), experiment)
    selection = read(made.stage("search") / "selection.json", Selection, "search")
    best = max if metric == "miou" else min
    values = [getattr(row, metric) for row in rows]
    assert selection.metric == metric
    assert getattr(selection.winner, metric) == best(values)


def test_a_judge_that_reads_badly_chooses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("gaugan", tmp_path, monkeypatch)
    made.write_judge(usable=False)
    with pytest.raises(
        GancompError, match=r"judge/metrics\.json: the judge reaches a mIoU of 0\.250 .* another metric"
    ):
        score_shard(made.config(metric="miou"), "gaugan", 0, 1, "cpu")
    score_shard(made.config(), "gaugan", 0, 1, "cpu")
    assert {row.miou for row in read_shard(shard_path("gaugan", 0, 1))} == {None}


def test_without_a_search_there_is_nothing_to_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare("alone", tmp_path, monkeypatch)
    with pytest.raises(GancompError, match="alone: has no key supernet"):
        candidates(made.config(), "alone")
