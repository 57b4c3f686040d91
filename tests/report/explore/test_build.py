"""The page's parts: points, subnets with pictures, and escaped text."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import DATASET, EXPERIMENT, Workspace

import gancomp
from gancomp.data.datasets import Pictures, to_float, to_rgb, to_uint8
from gancomp.deploy.chosen import export_widths
from gancomp.errors import GancompError
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import write_json
from gancomp.report.explore import build
from gancomp.report.explore.build import DRAWN, bands, drawn_ahead, page, strip, write_explore
from gancomp.report.metrics import BY_KEY
from gancomp.report.reading import read
from gancomp.report.searched import Selection, read_search
from gancomp.search.select import pareto_front
from gancomp.search.widths import widths_in_space

from .made_up import data, subnets


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def pixels(address: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(image.convert("RGB"))


@pytest.fixture
def without_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "vega", lambda downloads: ("vega", "licence"))


@pytest.mark.usefixtures("without_vega")
def test_a_search_becomes_a_page(workspace: Workspace) -> None:
    config = workspace.config()
    rows = read_search(workspace.stage("scores") / "search.csv")
    path = write_explore(config, EXPERIMENT, options=["--configfile", "my settings.yaml"], device="cpu")
    made = data_of(path.read_text(encoding="utf-8"))
    table = [dict(zip(made["columns"], row, strict=True)) for row in made["subnets"]]
    assert [(row["index"], tuple(row["widths"]), row["macs"], row["fid"], row["l1"]) for row in table] == [
        (row.index, row.widths, row.macs, row.fid, row.l1) for row in rows
    ]
    assert [metric["key"] for metric in made["metrics"]] == (
        ["fid", "kid", "l1", "psnr", "precision", "recall", "density", "coverage", "swd"]
    )
    assert {row["latency"] for row in table} == {None}
    selection = read(workspace.stage("search") / "selection.json", Selection, "search")
    assert made["winner"] == selection.winner.index
    assert sum(row["tied"] for row in table) == selection.tied
    assert made["commands"]["export"] == "gancomp export tiny --configfile 'my settings.yaml'"


@pytest.mark.usefixtures("without_vega")
def test_the_pictures_are_those_of_the_exported_subnet(workspace: Workspace) -> None:
    config = workspace.config()
    rows = read_search(workspace.stage("scores") / "search.csv")
    made = data_of(write_explore(config, EXPERIMENT, device="cpu").read_text(encoding="utf-8"))["pictures"]
    val = Pictures(workspace.folder / "data" / DATASET, ("val",), "AtoB")
    inputs, targets = val.batch(range(len(val)))
    assert np.array_equal(pixels(made["input"]), to_rgb(inputs).reshape(-1, *inputs.shape[2:]))
    assert np.array_equal(pixels(made["target"]), to_rgb(targets).reshape(-1, *targets.shape[2:]))
    drawn = [row for row in rows if str(row.index) in made["of"]]
    assert len(drawn) == min(DRAWN, len(rows))
    for row in (drawn[0], drawn[-1]):
        file = export_widths(config, EXPERIMENT, ",".join(map(str, row.widths)))
        with torch.inference_mode():
            own = to_uint8(gancomp.load_generator(file)(to_float(inputs)))
        difference = np.abs(pixels(made["of"][str(row.index)]).astype(int) - own.reshape(-1, *own.shape[2:]))
        assert difference.max() <= 1


def test_a_chosen_subnet_is_exported_as_it_was_scored(workspace: Workspace) -> None:
    """The winner's file equals that of the stage `subnet`."""
    config = workspace.config()
    winner = read(workspace.stage("search") / "selection.json", Selection, "search").winner.widths
    out = export_widths(config, EXPERIMENT, ",".join(map(str, winner)), Path("mine.safetensors"))
    subnet = workspace.stage("subnet") / "model.safetensors"
    assert read_header(out).spec == read_header(subnet).spec
    own, cut = (gancomp.load_generator(path).state_dict() for path in (out, subnet))
    assert own.keys() == cut.keys()
    assert all(torch.equal(own[name], cut[name]) for name in own)


def test_widths_that_the_space_has_not_are_refused(workspace: Workspace) -> None:
    config = workspace.config()
    assert widths_in_space(config, EXPERIMENT, "4, 3,2,3,4,1,2,3") == (4, 3, 2, 3, 4, 1, 2, 3)
    assert widths_in_space(config, EXPERIMENT, "4_3_2_3_4_1_2_3") == (4, 3, 2, 3, 4, 1, 2, 3)
    with pytest.raises(GancompError, match=r"width 2 is 5, but experiments.tiny.supernet.space has 3, 4"):
        widths_in_space(config, EXPERIMENT, "4,5,2,3,4,1,2,3")
    with pytest.raises(GancompError, match="tiny has 8 widths, not 3"):
        widths_in_space(config, EXPERIMENT, "4,3,2")
    with pytest.raises(GancompError, match="expected integers"):
        widths_in_space(config, EXPERIMENT, "4,x")


@pytest.mark.usefixtures("without_vega")
def test_a_subnet_that_was_not_scored_cannot_be_drawn(workspace: Workspace) -> None:
    """It is in the space, above the budget: the page would have no point for it."""
    largest = widths_in_space(workspace.config(), EXPERIMENT, "4,4,4,3,4,4,4,3")
    with pytest.raises(GancompError, match=r"--draw 4,4,4,3,4,4,4,3: .*search\.csv has no such subnet"):
        write_explore(workspace.config(), EXPERIMENT, [largest], device="cpu")


@pytest.mark.usefixtures("without_vega")
def test_the_band_real_against_real_comes_along(workspace: Workspace) -> None:
    path = workspace.stage("reference") / "evaluation.json"
    path.unlink(missing_ok=True)
    assert bands(EXPERIMENT) == {}
    scores = {"fid": 1.0, "kid": 0.5}
    rows = dict.fromkeys(("real against real", "input copied", "mean colour"), scores)
    about = {"images": 7, "seed": 0, "data_hash": "0", "code_version": "0", "samples": ["a"]}
    write_json(path, {"rows": rows, "bands": {"val": {"fid": [3, 4]}, "train-2": {"fid": [1, 2]}}, **about})
    made = data_of(write_explore(workspace.config(), EXPERIMENT, device="cpu").read_text(encoding="utf-8"))
    assert made["bands"] == {"fid": [1, 2]}


def selection_of(rows: list[Any]) -> Selection:
    best = min(rows, key=lambda row: row.fid)
    return Selection(
        winner=rows[40],
        best=best,
        pareto=(),
        budget_macs=10**9,
        subnets_in_space=len(rows),
        subnets_scored=len(rows),
        images=256,
        fid_precision="32",
    )


def test_a_bounded_number_is_drawn_ahead() -> None:
    rows = subnets()
    shown = [BY_KEY[key] for key in ("fid", "kid", "l1")]
    drawn = dict(drawn_ahead(rows, selection_of(rows), shown))
    assert len(drawn) == DRAWN
    assert list(drawn) == sorted(drawn)
    assert all(rows[index].widths == widths for index, widths in drawn.items())
    assert {40, min(rows, key=lambda row: row.fid).index} <= drawn.keys()
    front = pareto_front(rows, "fid")
    assert {row.index for row in front[: DRAWN - 2]} <= drawn.keys()
    asked = rows[4001].widths
    assert 4001 not in drawn
    assert dict(drawn_ahead(rows, selection_of(rows), shown, [asked])) == drawn | {4001: asked}
    few = rows[:50]
    sample = dict(drawn_ahead(few, selection_of(few), shown))
    assert len(sample) == DRAWN
    by_macs = sorted(few, key=lambda row: row.macs)
    assert any(row.index in sample for row in by_macs[:5])
    assert any(row.index in sample for row in by_macs[-5:])
    assert len(drawn_ahead(rows[35:45], selection_of(rows), shown)) == 11, "ten, and the best of all"


def test_text_does_not_break_out_of_the_page() -> None:
    title = "</script><script>alert(1)</script> & @VEGA@"
    text = page(data(title), "let s = '</script>'", "licence */ alert(2)")
    assert text.count("</script>") == 3
    assert data_of(text)["title"] == title
    assert "<title>&lt;/script&gt;" in text
    assert "licence  alert(2) */" in text


def test_high_pictures_are_reduced() -> None:
    picture = np.zeros((3, 256, 512, 3), np.uint8)
    picture[1] = 200
    small = pixels(strip(picture))
    assert small.shape == (3 * 128, 256, 3)
    assert (small[128:256] == 200).all()
    assert (small[:128] == 0).all()
