"""The page in a real browser: 5,184 subnets, by pointer, keyboard and on a phone, without network requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import open_page
from needed import missing
from playwright.sync_api import Page

from gancomp.errors import GancompError
from gancomp.report.explore.build import page, vega

from .made_up import DRAWN, data

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        library = vega(ROOT / "data" / "downloads")
    except GancompError as error:
        missing("browser", str(error))
    path = tmp_path_factory.mktemp("explore") / "index.html"
    path.write_text(page(data(), *library), encoding="utf-8")
    return path


@contextmanager
def shown(file: Path, width: int = 1300, height: int = 900, named: str = "") -> Iterator[Page]:
    with open_page() as opened:
        opened.set_viewport_size({"width": width, "height": height})
        opened.goto(file.as_uri() + named)
        opened.wait_for_selector("html[data-ready=true]", state="attached", timeout=60_000)
        yield opened


def chosen(opened: Page) -> tuple[int, ...]:
    return tuple(map(int, opened.locator("#chosen-title").inner_text().split(", ")))


def row_of(widths: tuple[int, ...]) -> dict[str, Any]:
    made = data()
    rows = (dict(zip(made["columns"], row, strict=True)) for row in made["subnets"])
    return next(row for row in rows if row["widths"] == widths)


def test_a_point_that_is_pressed_is_described_and_exported(file: Path) -> None:
    with shown(file) as opened:
        assert opened.locator("#passing").inner_text() == "5,184 subnets"
        before = chosen(opened)
        left, top = opened.evaluate("placeOf(byIndex.get(2600))")
        opened.locator("#plot").click(position={"x": left, "y": top})
        row = row_of(chosen(opened))
        assert row["widths"] != before
        # Points lie close together: it is the one pressed, or one that covers it.
        place = opened.evaluate(f"placeOf(byIndex.get({row['index']}))")
        assert abs(place[0] - left) + abs(place[1] - top) < 3
        cells = opened.locator("#scores").inner_text()
        assert f"{row['fid']:.1f}" in cells
        assert f"{row['fid_low']:.1f} to {row['fid_high']:.1f}" in cells
        assert f"{1e9 / row['macs']:.3g}×" in cells
        joined = ",".join(map(str, row["widths"]))
        assert opened.locator("#export").input_value() == f"gancomp export mine --widths {joined}"


def test_pictures_are_its_own_or_those_of_the_nearest_and_it_says_so(file: Path) -> None:
    with shown(file) as opened:
        for index in (0, 5183):
            opened.evaluate(f"choose(byIndex.get({index}))")
            assert opened.locator("#nearest").is_hidden()
            assert opened.locator("#pictures").get_attribute("data-of") == "_".join(map(str, chosen(opened)))
        first = opened.evaluate("data.pictures.of[0]")
        opened.evaluate("choose(byIndex.get(2))")
        told = opened.locator("#nearest").inner_text()
        own, nearest = ", ".join(map(str, chosen(opened))), opened.evaluate("byIndex.get(1).widths.join(', ')")
        assert f"nearest that has some, {nearest} (1 of 8 widths differ)" in told
        assert told.endswith(f"gancomp explore mine --draw {own.replace(' ', '')}")
        used = opened.locator("#pictures").evaluate("element => element.style.getPropertyValue('--this')")
        assert first not in used
        assert opened.evaluate("data.pictures.of[1]") in used
        # All tiles of a set show the same place of their strips, and each set another.
        places = opened.locator(".set").evaluate_all(
            "sets => sets.map(set => [...set.querySelectorAll('.tile')].map(tile => tile.style.backgroundPosition))"
        )
        assert len(places) == len({one[0] for one in places}) == 12
        assert all(len(set(one)) == 1 and len(one) == 5 for one in places)


def test_the_keyboard_goes_along_the_front(file: Path) -> None:
    with shown(file) as opened:
        front = [tuple(widths) for widths in opened.evaluate("front.map(subnet => subnet.widths)")]
        made = data()
        rows = [dict(zip(made["columns"], row, strict=True)) for row in made["subnets"]]
        best: list[dict[str, Any]] = []
        for row in sorted(rows, key=lambda row: (row["macs"], row["fid"], row["index"])):
            if not best or row["fid"] < best[-1]["fid"]:
                best.append(row)
        assert front == [row["widths"] for row in best]
        before = chosen(opened)
        opened.locator("#plot").focus()
        opened.keyboard.press("Home")
        for _ in range(2):
            opened.keyboard.press("ArrowRight")
        assert opened.locator("#ring").is_visible()
        assert chosen(opened) == before, "arrows look, Enter chooses"
        opened.keyboard.press("Enter")
        assert chosen(opened) == front[2]
        opened.keyboard.press("End")
        opened.keyboard.press("ArrowRight")
        opened.keyboard.press("Enter")
        assert chosen(opened) == front[-1]
        opened.locator("#cheaper").click()
        assert chosen(opened) == front[-2]


def test_bars_filter_and_the_front_follows(file: Path) -> None:
    with shown(file) as opened:
        bars = opened.locator("fieldset").nth(6).locator("button")
        bars.first.scroll_into_view_if_needed()
        boxes = [box for bar in bars.all() if (box := bar.bounding_box())]
        opened.mouse.move(boxes[0]["x"] + 5, boxes[0]["y"] + 60)
        opened.mouse.down()
        opened.mouse.move(boxes[1]["x"] + 5, boxes[1]["y"] + 60, steps=4)
        opened.mouse.up()
        assert opened.locator("#passing").inner_text() == "2,592 of 5,184 subnets"
        assert [bar.get_attribute("aria-pressed") for bar in bars.all()] == ["true", "true", "false", "false"]
        # The other widths are counted among those that pass; the own bars among all.
        assert opened.locator("fieldset").nth(0).locator("button").first.get_attribute("title") == "12: 1,296 subnets"
        assert bars.nth(3).get_attribute("title") == "24: 1,296 subnets"
        assert opened.evaluate("front.every(subnet => subnet.widths[6] <= 14)")
        bars.nth(3).focus()
        opened.keyboard.press("Space")
        assert opened.locator("#passing").inner_text() == "3,888 of 5,184 subnets"
        opened.locator("fieldset").nth(0).locator("button").first.click()
        assert opened.locator("#passing").inner_text() == "1,944 of 5,184 subnets"
        opened.locator("fieldset").nth(0).locator("button").first.click()
        assert opened.locator("#passing").inner_text() == "3,888 of 5,184 subnets"
        opened.locator("#all").click()
        assert opened.locator("#passing").inner_text() == "5,184 subnets"


def test_any_metric_is_an_axis(file: Path) -> None:
    with shown(file) as opened:
        fid = opened.evaluate("front.length")
        opened.locator("#y").select_option("l1")
        # L1 rises with MACs here: the cheapest subnet beats all.
        assert opened.evaluate("front.length") == 1 < fid
        assert opened.evaluate("view.signal('yTitle')") == "L1 ↓ on train-2 (lower is better)"
        opened.locator("#x").select_option("params")
        assert opened.evaluate("view.signal('xTitle')") == "Parameters (M)"
        assert opened.locator("#x option").count() == 3, "no latency was measured"


def test_real_against_real_is_a_band_or_told(file: Path) -> None:
    with shown(file) as opened:
        assert opened.locator("#real").inner_text().endswith("FID 60.0 to 70.0 (95%), the band.")
        low, high = opened.evaluate("view.data('real').map(({ low, high }) => [low, high])[0]")
        bottom = opened.evaluate("view.signal('yDomain')[0]")
        assert (low, high) == (max(60, bottom), 70), "as far as the plot goes"
        opened.locator("#y").select_option("kid")
        assert opened.locator("#real").inner_text().endswith("KID × 10³ −2.00 to −1.00 (95%), below all points.")
        assert opened.evaluate("view.data('real').length") == 0
        opened.locator("#y").select_option("l1")
        assert opened.locator("#real").is_hidden()


def test_thousands_of_points_stay_fluid(file: Path) -> None:
    with shown(file) as opened:
        times = opened.evaluate(
            """() => [0, 1, 2, 3, 4].map((turn) => {
                const start = performance.now();
                setFilter(6, data.space[6].slice(0, 1 + turn % 3));
                view.run();
                return performance.now() - start;
            })"""
        )
        assert sorted(times)[2] < 250, times
        hover = opened.evaluate(
            """() => {
                const start = performance.now();
                for (let turn = 0; turn < 20; turn++) showTip(nearestTo(300 + turn, 200, 18));
                return (performance.now() - start) / 20;
            }"""
        )
        assert hover < 50


def test_it_fits_a_phone(file: Path) -> None:
    with shown(file, 360, 740) as opened:
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
        assert opened.evaluate("$('scores').scrollWidth <= $('scores').parentElement.clientWidth")
        plot = opened.locator("#plot").bounding_box()
        assert plot
        assert plot["width"] > 300
        canvas = opened.locator("#view canvas").bounding_box()
        assert canvas
        assert canvas["width"] <= plot["width"] + 1
        left, top = opened.evaluate("placeOf(front[0])")
        opened.locator("#plot").click(position={"x": left, "y": top})
        assert chosen(opened) == tuple(opened.evaluate("front[0].widths"))


def test_a_link_names_the_chosen_one(file: Path) -> None:
    widths = row_of(data()["subnets"][DRAWN[2]][1])["widths"]
    with shown(file, named=f"#{'_'.join(map(str, widths))}") as opened:
        assert chosen(opened) == widths
