"""The paper's numbers agree with each other, but for what its footnotes own up to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from gancomp.paper.classifiers import costs, count_classifier
from gancomp.paper.numbers import PaperTable, Row, load_numbers, number
from gancomp.paper.places import FIGURES, TABLES, measured_in, scored_in
from gancomp.study import REFERENCE

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
                if not agrees(change, cells["change"]):
                    found.add((name, row.group, row.label, "change"))
    return found


def test_ratios_and_changes_come_out() -> None:
    assert disagreements() == INCONSISTENT.keys()
    for (name, *_), words in INCONSISTENT.items():
        assert any(words in note for note in NUMBERS[name].footnotes)


def test_table_2_repeats_table_1() -> None:
    ours = {row.group.split()[0]: row for row in NUMBERS["table1"].rows if row.label == "Ours"}
    for row in NUMBERS["table2"].rows:
        if row.group in ("CycleGAN", "GauGAN"):
            assert row.cells["macs_ratio"] == ours[row.group].cells["macs_ratio"]


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


@pytest.mark.parametrize(
    ("builder", "size", "macs", "params"),
    [("mobilenet_v2", 224, 300_774_272, 3_504_872), ("resnet50", 224, 4_089_184_256, 25_557_032)],
)
def test_classifiers_cost_what_is_known_of_them(builder: str, size: int, macs: int, params: int) -> None:
    assert count_classifier(builder, size) == (macs, params)


def test_generators_cost_two_orders_more_than_a_small_classifier() -> None:
    """Figure 2's message, of MACs; parameters are of one magnitude."""
    rows = {row["network"]: row for row in costs()}
    assert rows["GauGAN"]["macs"] == 281_276_612_608
    assert rows["CycleGAN, pix2pix (ResNet)"]["macs"] > 100 * rows["MobileNet-v2"]["macs"]
    assert rows["CycleGAN, pix2pix (ResNet)"]["params"] < rows["ResNet-50"]["params"]
