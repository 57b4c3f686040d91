"""The page: self-contained, runs nothing from the text, and contains the table."""

from __future__ import annotations

import base64
import csv
import re
from pathlib import Path

import pytest

from gancomp.errors import GancompError
from gancomp.report.figures import write_figures
from gancomp.report.page import write_page
from gancomp.report.rows import times
from gancomp.report.scoreboard import Subject
from gancomp.report.tables import write_tables

from .made_up_results import EXPERIMENT, edit_json, folders, make_alone, subject


def page(results: Path, title: str = "A title") -> str:
    write_figures(folders(results))
    write_tables(subject(results, title=title, note="undertrained on purpose"))
    write_page(results, EXPERIMENT)
    return (results / EXPERIMENT / "report.html").read_text(encoding="utf-8")


def test_holds_table_note_and_figures_and_asks_for_nothing(results: Path) -> None:
    text = page(results)
    assert "undertrained on purpose" in text
    assert text.index("Pictures</h2>") < text.index("<table>") < text.index("Losses</h2>")
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(sources) == 3
    assert all(source.startswith("data:image/") for source in sources)
    grid = base64.b64decode(sources[0].split(",")[1])
    assert grid == (results / EXPERIMENT / "figures" / "grid.png").read_bytes()


def test_opens_with_what_one_takes_away(results: Path) -> None:
    text = page(results)
    with (results / EXPERIMENT / "tables" / "table.csv").open(newline="") as stream:
        ours = next(row for row in csv.DictReader(stream) if row["row"] == "Ours")
    facts = text[text.index('class="facts"') : text.index("Pictures</h2>")]
    assert times(float(ours["macs_exact_times_fewer"])) in facts
    assert f"{float(ours['fid']):.1f}" in facts
    assert f"gancomp {ours['code_version']}" in text


def test_an_original_that_did_not_learn_leads_to_a_warning_alone(results: Path) -> None:
    edit_json(results / EXPERIMENT / "original" / "evaluation.json", lambda data: data.update(fid=1e4))
    text = page(results)
    opening = text[: text.index("Pictures</h2>")]
    assert "<strong>Warning: the original does not beat <em>input copied</em> on FID" in opening
    assert 'class="facts"' not in text
    assert "Ours against" not in text


def test_a_title_is_text(results: Path) -> None:
    text = page(results, "<script>alert(1)</script>")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_without_a_table_the_stage_is_named(results: Path) -> None:
    write_figures(folders(results))
    with pytest.raises(GancompError, match="'tables'"):
        write_page(results, EXPERIMENT)


def test_an_original_alone_has_no_trade_off(results: Path) -> None:
    own = make_alone(results)
    write_figures(own)
    write_tables(Subject(own, title="A U-Net"))
    write_page(results, EXPERIMENT, compressed=False)
    text = (results / EXPERIMENT / "report.html").read_text(encoding="utf-8")
    assert text.count("<img") == 2
    with pytest.raises(GancompError, match=r"tradeoff\.svg: missing"):
        write_page(results, EXPERIMENT)
