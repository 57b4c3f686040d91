"""The paper's numbers are consistent with each other, except as its footnotes say."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from gancomp.config.study import REFERENCE
from gancomp.paper.numbers import PaperTable, Row, load_numbers, number
from gancomp.paper.places import FIGURES, TABLES, measured_in, scored_in

NUMBERS = load_numbers()

#: What does not come out, and the words of the footnote that says so.
INCONSISTENT = {
    **{
        ("table1", "Pix2pix map→aerial photo", label, "macs_ratio"): "not the printed 11.4"
        for label in ("Ours", "Ours (w/o fine-tuning)")
    },
    **{
        ("table7", "cityscapes", label, "macs_ratio"): "not the printed 9.5"
        for label in (
            *("From-scratch training", "Aguinaldo et al. (output)"),
            *("Yim et al. (FSP)", "Intermediate distillation"),
        )
    },
    **{("table8", "Pix2pix cityscapes", label, "change"): "0.0435 must be 0.435" for label in ("Ours", "0.31 Pix2pix")},
}
#: Cells that two tables print differently of one network, and the footnote that says so.
PRINTED_TWICE = {
    ("horse2zebra:original", "params"): ("table1", "Table 4 prints 11.38M"),
    ("horse2zebra:original", "fid"): ("table4", "61.75 is 61.53 in Table 1"),
}


@pytest.mark.parametrize(("printed", "meant"), [("56.8G", 56.8e9), ("0.70M", 0.7e6), ("72.4%", 72.4), ("61.53", 61.53)])
def test_what_a_cell_says(printed: str, meant: float) -> None:
    assert number(printed) == pytest.approx(meant)


def groups(table: PaperTable) -> Iterator[tuple[Row, Row]]:
    """Every row with the first of its group, the original."""
    first: dict[str, Row] = {}
    for row in table.rows:
        original = first.setdefault(row.group, row)
        if original is not row:
            yield original, row


def places(printed: str) -> int:
    return len(printed.partition(".")[2])


def agrees(value: float, printed: str) -> bool:
    """Whether *value*, rounded or cut off, is what is printed."""
    scaled = value * 10 ** places(printed)
    return any(math.isclose(option / 10 ** places(printed), float(printed)) for option in (round(scaled), int(scaled)))


def may_be_ratio(ratio: str, whole: str, own: str) -> bool:
    """Whether *ratio* can be that of two printed figures, of which the smaller one was rounded itself."""
    unit = number(f"1{own[-1]}")
    half, slack = 0.5 * unit / 10 ** places(own[:-1]), 10.0 ** -places(ratio)
    least, most = (number(whole) / (number(own) + way * half) for way in (1, -1))
    return least - slack <= float(ratio) <= most + slack


def disagreements() -> set[tuple[str, str, str, str]]:
    found = set()
    for name, table in NUMBERS.items():
        for original, row in groups(table):
            cells, whole = row.cells, original.cells
            for key in ("params", "macs"):
                if {key, f"{key}_ratio"} <= cells.keys() and not may_be_ratio(
                    cells[f"{key}_ratio"], whole[key], cells[key]
                ):
                    found.add((name, row.group, row.label, f"{key}_ratio"))
            quality = next((key for key in ("fid", "miou", "lpips") if key in cells and key in whole), None)
            if quality and "change" in cells:
                change = round(abs(number(cells[quality]) - number(whole[quality])), 6)
                if not agrees(change, cells["change"].lstrip("-")):  # Table 8 prints a loss as negative
                    found.add((name, row.group, row.label, "change"))
    return found


def test_ratios_and_changes_come_out() -> None:
    assert disagreements() == INCONSISTENT.keys()
    for (name, *_), words in INCONSISTENT.items():
        assert any(words in note for note in NUMBERS[name].footnotes)


def test_tables_repeat_each_other() -> None:
    printed = defaultdict(set)
    for table in NUMBERS.values():
        for row in table.rows:
            for key, value in row.cells.items():
                # A change is that of the table's own metric; an arrow joins two cells of Table 1.
                if row.run and key != "change" and "→" not in value:
                    printed[row.run.replace("cityscapes|edges2shoes", "cityscapes"), key].add(value)
    assert {place for place, values in printed.items() if len(values) > 1} == PRINTED_TWICE.keys()
    for name, words in PRINTED_TWICE.values():
        assert any(words in note for note in NUMBERS[name].footnotes)


def test_table_2_rounds_table_1() -> None:
    """But its CycleGAN is the one without fine-tuning."""
    cells = {row.run: row.cells for row in NUMBERS["table1"].rows}
    for row in NUMBERS["table2"].rows:
        (key,) = row.cells.keys() & {"fid", "miou"}
        original, own = (row.run or "").replace("finetune", "original"), row.run
        if row.group == "CycleGAN":
            own = "horse2zebra:subnet"
        assert row.cells[key] == "→".join(f"{float(cells[run][key]):.1f}" for run in (original, own))


def test_cyclegan_and_pix2pix_have_one_original_latency() -> None:
    """Their generators are the same network: latency × speed-up agrees within what was rounded away."""
    cyclegan, pix2pix, _ = NUMBERS["table2"].rows

    def original(row: Row, device: str) -> tuple[float, float]:
        parts = [row.cells[device], row.cells[f"{device}_ratio"]]
        halves = [0.5 / 10 ** places(part) for part in parts]
        low, high = (math.prod(float(p) + way * h for p, h in zip(parts, halves, strict=True)) for way in (-1, 1))
        return low, high

    for device in ("xavier_cpu", "xavier_gpu", "nano_cpu", "nano_gpu", "gtx1080ti", "xeon"):
        (low, high), (least, most) = original(cyclegan, device), original(pix2pix, device)
        assert max(low, least) <= min(high, most), device


def test_students_of_table_3_have_the_widths_of_table_5_but_for_cityscapes() -> None:
    ngf = {row.label: (row.cells["teacher"], row.cells["student"]) for row in NUMBERS["table5"].rows[:2]}
    ablated = defaultdict(list)
    for row in NUMBERS["table3"].rows:
        ablated[row.group] += re.findall(r"ngf (\d+)", row.label)
    assert tuple(ablated["edges→shoes"]) == ngf["edges→shoes"]
    assert (tuple(ablated["cityscapes"]), ngf["cityscapes"]) == (("96", "64"), ("96", "48"))
    assert any("ngf 64 here and 48 in its Table 5" in note for note in NUMBERS["table3"].footnotes)


def test_columns_of_a_table_are_told_apart_by_their_heads() -> None:
    for table in NUMBERS.values():
        assert len(set(table.columns.values())) == len(table.columns)


def test_preferences_are_shares_of_a_whole() -> None:
    shares = [number(row.cells["preference"]) for row in NUMBERS["table8"].rows if "preference" in row.cells]
    assert sum(shares) == pytest.approx(100)


def test_every_place_is_one_that_a_study_can_fill() -> None:
    assert set(NUMBERS) == set(TABLES)
    for name in (*TABLES, *FIGURES):
        for place in (*scored_in(name), *measured_in(name)):
            assert REFERENCE.fullmatch(place), (name, place)


def test_a_cell_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="no column fdi"):
        PaperTable.model_validate(
            {"title": "t", "columns": {"fid": "FID"}, "rows": [{"group": "g", "label": "l", "fdi": "1"}]}
        )
