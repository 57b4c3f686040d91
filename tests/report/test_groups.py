"""The list of width groups, as a table and as a drawing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancomp.elastic.listing import Listed, list_groups
from gancomp.measure.macs import profile
from gancomp.nets import build_generator
from gancomp.report.groups import draw_groups, groups_table
from gancomp.spec import GeneratorSpec

RESNET = GeneratorSpec(widths=8, size=(32, 32), blocks=3)


def listed(spec: GeneratorSpec) -> list[Listed]:
    torch.manual_seed(0)
    return list_groups(spec, build_generator(spec).state_dict())


def test_each_width_of_a_resnet_has_its_groups() -> None:
    groups = listed(RESNET)
    assert [group.width for group in groups] == list(RESNET.width_names)
    assert [group.channels for group in groups] == [8, 16, 32, 32, 32, 32, 16, 8]
    assert all(0.5 <= group.energy <= 0.6 for group in groups if group.energy)


@pytest.mark.parametrize(
    "spec",
    [
        RESNET,
        GeneratorSpec(family="unet", widths=4, size=(32, 32), downs=5),
        GeneratorSpec(family="spade", widths=2, size=(64, 64), upsampling="normal", in_channels=5),
    ],
)
def test_the_share_of_macs_is_what_goes_with_the_group(spec: GeneratorSpec) -> None:
    """Halving a width halves only its own share, except where its layers have it squared."""
    groups = listed(spec)
    assert {group.width for group in groups if not group.reason} == {
        name for at, name in enumerate(spec.width_names) if at not in spec.unused
    }
    at = spec.width_names.index(groups[0].width)
    narrow = spec.with_widths((*spec.widths[:at], spec.widths[at] // 2, *spec.widths[at + 1 :]))
    gone = 1 - profile(narrow).macs / profile(spec).macs
    share = sum(group.macs for group in groups if group.width == groups[0].width)
    assert share / 2 - 1e-9 <= gone <= share * 0.75 + 1e-9


def test_the_table_has_a_line_for_each_group_and_says_why_one_is_fixed() -> None:
    groups = [
        Listed("stem.1", 8, "stem", 2, 0.125, 0.625, ""),
        Listed("named", 12, "", 3, 0.5, None, "view in named has channel numbers in its code"),
    ]
    lines = groups_table(groups).splitlines()
    assert lines[1].split() == ["stem.1", "8", "stem", "2", "12.5%", "62.5%"]
    assert lines[2].split(maxsplit=6) == ["named", "12", "fixed", "3", "50.0%", "–", groups[1].reason]


def test_the_drawing_names_every_group(tmp_path: Path) -> None:
    draw_groups(listed(RESNET), tmp_path / "groups", "A ResNet")
    assert (tmp_path / "groups.png").stat().st_size > 5_000
    before = (tmp_path / "groups.svg").read_bytes()
    draw_groups(listed(RESNET), tmp_path / "groups", "A ResNet")
    assert (tmp_path / "groups.svg").read_bytes() == before
