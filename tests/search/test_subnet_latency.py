"""Latency in the search: the model of subnets' latencies, its error, and selection by it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import EXPERIMENT, Workspace

from gancomp.config.searching import Search
from gancomp.elastic.space import Widths, enumerate_widths
from gancomp.errors import GancompError
from gancomp.pipeline.signatures import signature
from gancomp.report.reading import read
from gancomp.report.searched import Selection, read_search
from gancomp.search import subnet_latency
from gancomp.search.select import select
from gancomp.search.subnet_latency import features, measure_subnets, modelled, read_latency, sampled, write_kit
from gancomp.spec import GeneratorSpec, format_widths

SPACE = [[8, 6], [8, 4], [8, 6, 4], [8], [8, 4], [8, 4], [8, 6], [8, 4]]
STUDENT = GeneratorSpec(widths=(8,) * 8, size=(16, 16), blocks=3)


def made_up_ms(widths: Widths) -> float:
    """A runtime that processes blocks of four channels, with a constant overhead of 2 ms."""
    blocks = [-(-width // 4) for width in widths]
    return 2 + 0.1 * sum(blocks) + 0.05 * sum(one * other for one, other in itertools.pairwise(widths[:3]))


def test_what_layers_cost_is_found_from_whole_subnets() -> None:
    every = list(enumerate_widths(SPACE))
    np.random.default_rng(0).shuffle(every)
    times = {widths: made_up_ms(widths) for widths in every[:80]}
    found = modelled(times, STUDENT, SPACE, experiment="x", signature="s", runtime="y", device="cpu", threads=1)
    assert (len(found.fitted), len(found.checked)) == (48, 32)
    assert found.mean_error < 1e-3
    assert found.kendall is not None
    assert found.kendall > 0.95  # 1 but for subnets of the same time
    for widths in every[80:]:
        assert found.of(widths) == pytest.approx(made_up_ms(widths), rel=5e-3)


def test_layers_are_read_from_the_macs() -> None:
    pairs = {one.places for one in features(STUDENT, SPACE) if one.widths is None}
    # stem → down1 → trunk → each group of blocks; trunk → up1 → output. The third width of one choice is no variable.
    assert pairs == {(0, 1), (1, 2), (2, 4), (2, 5), (2, 6), (6, 7)}
    unet = GeneratorSpec(family="unet", widths=(8,) * 8, size=(256, 256))
    assert (1, 7) in {one.places for one in features(unet, [[8, 4]] * 8)}  # through the skip connection


PYTORCH = {"latency": {"runtime": "pytorch"}}


@pytest.fixture
def timed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With subnets timed in PyTorch, which needs no export."""
    monkeypatch.setattr(subnet_latency, "ROUNDS", 1)
    measure_subnets(workspace.config(search=PYTORCH), EXPERIMENT)
    return workspace


def test_every_scored_subnet_has_a_time_and_the_error_is_told(timed: Workspace) -> None:
    found = read_latency(timed.config(search=PYTORCH), EXPERIMENT)
    assert found.runtime == "pytorch"
    for row in read_search(timed.stage("scores") / "search.csv"):
        assert found.of(row.widths) > 0
    errors = [abs(one.predicted_ms / one.measured_ms - 1) for one in found.checked]
    assert found.mean_error == pytest.approx(sum(errors) / len(errors))
    assert all(one.predicted_ms == pytest.approx(found.of(one.widths)) for one in found.checked)
    assert not {one.widths for one in found.checked} & {one.widths for one in found.fitted}


def test_times_of_other_subnets_are_refused(timed: Workspace) -> None:
    """What choices a width has now, and which runtime counts, have nothing to do with them."""
    message = r"subnets\.json: was measured for another .* gancomp subnet-latency"
    with pytest.raises(GancompError, match=message):
        select(timed.config(search={"latency": {"runtime": "onnxruntime", "limit_ms": 5}}), EXPERIMENT)
    with pytest.raises(GancompError, match=message):
        read_latency(timed.config(search=PYTORCH, supernet={"space": [[4, 3]] * 8}), EXPERIMENT)


def test_the_search_keeps_to_a_limit_of_latency(timed: Workspace) -> None:
    found = read_latency(timed.config(search=PYTORCH), EXPERIMENT)
    rows = read_search(timed.stage("scores") / "search.csv")
    times = sorted(found.of(row.widths) for row in rows)
    limit = (times[0] + times[1]) / 2
    select(timed.config(search={"latency": {"runtime": "pytorch", "limit_ms": limit}}), EXPERIMENT)
    chosen = read(timed.stage("search") / "selection.json", Selection, "search")
    assert found.of(chosen.winner.widths) == times[0] == chosen.latency_ms
    assert chosen.latency_error == found.mean_error
    assert chosen.subnets_scored == 1
    message = r"limit_ms: none of the \d+ subnets takes at most 1e-06 ms on pytorch"
    with pytest.raises(GancompError, match=message):
        select(timed.config(search={"latency": {"runtime": "pytorch", "limit_ms": 1e-6}}), EXPERIMENT)


def test_of_tied_subnets_the_fastest(timed: Workspace) -> None:
    fastest = timed.config(search={"ties": "fastest", **PYTORCH})
    found = read_latency(fastest, EXPERIMENT)
    select(fastest, EXPERIMENT)
    chosen = read(timed.stage("search") / "selection.json", Selection, "search")
    assert chosen.latency_ms == found.of(chosen.winner.widths)
    select(timed.config(), EXPERIMENT)
    plain = read(timed.stage("search") / "selection.json", Selection, "search")
    assert plain.latency_ms is None
    assert chosen.tied == plain.tied
    assert found.of(chosen.winner.widths) <= found.of(plain.winner.widths)


def test_a_table_of_another_device(workspace: Workspace) -> None:
    plain = workspace.config()
    table = Path("phone.csv")
    lines = [f"{format_widths(widths)},{made_up_ms(widths)}" for widths in reversed(sampled(plain, EXPERIMENT))]
    table.write_text("\n".join(["widths,ms", *lines]))
    asked = workspace.config(search={"latency": {"runtime": "phone.csv", "device": "a phone"}})
    measure_subnets(asked, EXPERIMENT)
    found = read_latency(asked, EXPERIMENT)
    assert (found.device, found.threads) == ("a phone", None)
    assert found.mean_error < 0.1
    assert [one.widths for one in (*found.fitted, *found.checked)] == sampled(plain, EXPERIMENT)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("widths,seconds\n4_4,1\n", "has the columns widths, seconds; expected widths and ms"),
        ("widths,ms\n4_4,fast\n", "line 2: could not convert"),
        ("widths,ms\n4_4,-1\n", "line 2: ms is -1: expected a time greater than 0"),
        ("widths,ms\n4_4,1\n", r"line 2: widths 4_4 are not in the once-for-all network's space; time subnets"),
        ("widths,ms\n", "contains no times"),
    ],
)
def test_a_table_that_does_not_fit_says_why(workspace: Workspace, content: str, fault: str) -> None:
    Path("phone.csv").write_text(content)
    with pytest.raises(GancompError, match=fault):
        measure_subnets(workspace.config(search={"latency": {"runtime": "phone.csv"}}), EXPERIMENT)


@pytest.mark.slow
def test_the_kit_is_timed_on_its_own_and_its_table_is_read(workspace: Workspace) -> None:
    write_kit(workspace.config(), EXPERIMENT, Path("kit"))
    command = [sys.executable, "kit/time_onnx.py", "--threads", "1"]
    made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    Path("phone.csv").write_text(made.stdout)
    asked = workspace.config(search={"latency": {"runtime": "phone.csv"}})
    measure_subnets(asked, EXPERIMENT)
    found = read_latency(asked, EXPERIMENT)
    assert {one.widths for one in (*found.fitted, *found.checked)} == set(sampled(workspace.config(), EXPERIMENT))


def test_without_measurements_it_says_which_stage(workspace: Workspace) -> None:
    with pytest.raises(GancompError, match="run the stage 'subnet-latency' first"):
        select(workspace.config(search={"latency": {"limit_ms": 5.0}}), EXPERIMENT)


def test_a_limit_changes_the_choice_and_what_follows_alone(workspace: Workspace) -> None:
    plain, limited = workspace.config(), workspace.config(search={"latency": {"limit_ms": 5.0}})
    assert signature(plain, EXPERIMENT, "scores") == signature(limited, EXPERIMENT, "scores")
    assert signature(plain, EXPERIMENT, "search") != signature(limited, EXPERIMENT, "search")


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        ({"latency_ms": 8}, r"write latency: \{runtime: pytorch, limit_ms: 8\}"),
        ({"latency": {"runtime": "tensorrt"}}, "runtime 'tensorrt': expected one of openvino, onnxruntime, pytorch"),
        (
            {"latency": {"runtime": "onnxruntime", "device": "gpu"}},
            "device 'gpu': onnxruntime is measured on one of cpu",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(search: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Search.model_validate(search)
