"""The page: the paper's numbers are distinct from this run's, missing parts are listed, and no script runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from gancomp.config.loading import merge, parse
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.paper.page import CAPTIONS, write_page
from gancomp.paper.places import FIGURES, TABLES
from gancomp.paper.tables import study_folder, write_table
from tests.config.test_settings import PLAIN
from tests.paper.test_tables import VARIANTS, evaluated

TITLE = "A <script>alert(1)</script> study"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study whose tables are written and whose figures are plain pictures; one variant was run."""
    monkeypatch.chdir(tmp_path)
    study = {"name": "small", "title": TITLE, "experiments": {"edges2shoes": "mine"}}
    own = {"title": "Pairs of <b>things</b>", "variants": VARIANTS}
    config = parse(merge(PLAIN, {"study": study, "experiments": {"mine": own}}))
    evaluated(config, "mine.scratch", "distill", 12.0, seed=4)
    for name in TABLES:
        write_table(config, name)
    for name in FIGURES:
        Image.new("RGB", (660, 300), "gray").save(study_folder(config) / f"{name}.png", dpi=(200, 200))
    return config


def page(config: Config) -> str:
    write_page(config)
    return (study_folder(config) / "paper.html").read_text(encoding="utf-8")


def test_every_figure_and_table_is_there_once_with_a_link(config: Config) -> None:
    text = page(config)
    for name in (*FIGURES, *TABLES):
        assert text.count(f'id="{name}"') == 1
        assert text.count(f'href="#{name}"') == 1
    assert set(CAPTIONS) == set(FIGURES)
    sources = re.findall(r'src="([^"]{22})', text)
    assert set(sources) == {"data:image/png;base64,"}


def test_figures_of_which_nothing_was_run_say_so_in_words(config: Config) -> None:
    text = page(config)
    figures = {name: text.split(f'<section id="{name}">')[1].split("</section>")[0] for name in FIGURES}
    shown = {name for name, figure in figures.items() if "<img" in figure}
    assert shown == {"figure2", "figure3", "figure6", "figure8"}, "scratch is a point of two curves"
    assert all("not run" in figures[name] for name in set(FIGURES) - shown)
    assert 'width="396"' in figures["figure6"], "3.3 inches"


def test_the_papers_columns_are_marked_and_no_others(config: Config) -> None:
    table = page(config).split('<article id="table3">')[1].split("</article>")[0]
    marked = re.findall(r'<th[^>]*class="paper"[^>]*>([^<]*)</th>', table)
    assert marked == ["FID ↓ (paper)", "mAP ↑ (paper)"]
    (row,) = (row for row in table.split("<tr>") if "narrow (ngf 48) from scratch" in row)
    cells = re.findall(r"<td([^>]*)>([^<]*)</td>", row)
    assert ["paper" in attributes for attributes, _ in cells] == [False, True, True] + [False] * (len(cells) - 3)
    (own,) = (attributes for attributes, value in cells if value == "12.0")
    assert "paper" not in own


def test_text_of_the_configuration_is_text(config: Config) -> None:
    text = page(config)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<b>things</b>" not in text


def test_what_is_missing_is_counted_and_what_is_there_traced(config: Config) -> None:
    text = page(config)
    absent = text.split("<h2>What was not run</h2>")[1].split("<h2>")[0]
    assert "<li>Table 3: 15 of 16 scores; the study names no experiment for 13</li>" in absent
    assert "Figure 2" not in absent
    sources = text.split("<h2>Where the numbers come from</h2>")[1]
    assert "<td>mine.scratch</td><td>distill</td><td>4</td><td>dddddddd</td><td>v1</td>" in sources
    assert sources.count("<tr>") == 2


@pytest.mark.parametrize("name", ["figure5.png", "table3.md"])
def test_a_missing_file_is_named(config: Config, name: str) -> None:
    (study_folder(config) / name).unlink()
    with pytest.raises(GancompError, match=rf"{name}: missing"):
        write_page(config)
