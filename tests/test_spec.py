"""Widths and sizes as people write them, and what no generator can be."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gancomp.spec import GeneratorSpec, format_widths, parse_size, parse_widths
from tests.strategies import elastic_specs, specs, widths


@pytest.mark.parametrize("written", [16, "16", [16], (16,), [16] * 8, "16_16_16_16_16_16_16_16"])
def test_one_width_means_all_eight(written: Any) -> None:
    assert GeneratorSpec(widths=written).widths == (16,) * 8


@given(widths((4096,) * 8))
def test_any_positive_integer_is_a_width(drawn: tuple[int, ...]) -> None:
    written: Any = format_widths(drawn)
    assert parse_widths(written) == drawn
    assert GeneratorSpec(widths=written).widths == drawn


@pytest.mark.parametrize(
    "written",
    [
        *("", "a", "16_", "_16", "16__16", "16 16", "16,16", "1.5", "-4", "0", "16_16", "4097", "9" * 5000),
        *(0, -4, 1.5, 10**30, True, None, {"a": 1}, [], [0] * 8, [16] * 7, [16] * 9, [[16]] * 8),
    ],
    ids=lambda written: repr(written)[:20],
)
def test_what_is_no_width(written: Any) -> None:
    with pytest.raises(ValidationError, match="width"):
        GeneratorSpec(widths=written)


def test_widths_that_yaml_takes_for_a_number_are_to_be_quoted() -> None:
    with pytest.raises(ValidationError, match="quote it"):
        GeneratorSpec(widths=yaml.safe_load("8_3_3_3_8_3_3_4"))


@pytest.mark.parametrize(
    ("written", "size"),
    [(256, (256, 256)), ("256", (256, 256)), ("256x512", (256, 512)), ("256X512", (256, 512)), ([8, 12], (8, 12))],
)
def test_a_size_is_height_by_width(written: Any, size: tuple[int, int]) -> None:
    assert GeneratorSpec(widths=4, size=written).size == size


@pytest.mark.parametrize(
    "written",
    ["", "x", "256x", "x256", "8x8x8", "8*8", "-8", 0, "0x8", True, None, 1.5, [], [8], [8, 8, 8], "99999999", "8.0"],
)
def test_what_is_no_size(written: Any) -> None:
    with pytest.raises(ValidationError, match="size"):
        GeneratorSpec(widths=4, size=written)


@pytest.mark.parametrize(
    ("family", "size", "stride", "least"),
    [
        *(({"family": "resnet"}, size, 4, 8) for size in ("255", "256x254", 4, "4x256")),
        ({"family": "resnet", "block": "inception"}, 8, 4, 12),
        *(({"family": "unet"}, size, 256, 256) for size in (128, "256x384")),
        ({"family": "unet", "downs": 5}, 48, 32, 32),
        *(({"family": "spade"}, size, 64, 128) for size in (64, "128x160", "64x128")),
        *(({"family": "spade", "upsampling": "normal"}, size, 32, 64) for size in (32, "64x80")),
    ],
)
def test_sizes_that_the_family_cannot_halve(family: dict[str, Any], size: Any, stride: int, least: int) -> None:
    message = rf"size \d+x\d+: both sides must be multiples of {stride}, and at least {least}, for this"
    with pytest.raises(ValidationError, match=message):
        GeneratorSpec.model_validate({"widths": 4, "size": size} | family)


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ({"family": "resnet"}, "8x12"),
        ({"family": "resnet", "block": "inception"}, "12x16"),
        ({"family": "unet"}, "256x512"),
        ({"family": "unet", "downs": 3}, "8x24"),
        ({"family": "spade"}, "128x192"),
        ({"family": "spade", "upsampling": "normal"}, "64x96"),
    ],
)
def test_the_smallest_sizes(family: dict[str, Any], size: str) -> None:
    assert GeneratorSpec.model_validate({"widths": 4, "size": size} | family).size == parse_size(size)


def test_the_norm_is_the_familys_where_none_is_named() -> None:
    norms = {
        family: GeneratorSpec.model_validate({"family": family, "widths": 4, "norm": None}).norm
        for family in ("resnet", "unet", "spade")
    }
    assert norms == {"resnet": "instance", "unet": "batch", "spade": "batch"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"family": "unet", "block": "separable"}, "block must be dense"),
        ({"family": "spade", "block": "separable-up"}, "a spade generator has no block separable-up"),
        ({"family": "spade", "block": "inception"}, "a spade generator has no block inception"),
        ({"family": "spade", "norm": "none"}, "norm must be batch"),
        ({"family": "spade", "norm": "affine"}, "norm must be batch"),
        ({"family": "unet", "widths": [4] * 7}, "a unet generator has 8 widths, not 7"),
        ({"family": "spade", "widths": [4] * 7}, "a spade generator has 8 widths, not 7"),
    ],
)
def test_what_a_family_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        GeneratorSpec.model_validate({"widths": 4} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "vgg"},
        {"family": ["resnet"]},
        {"block": "mobile"},
        {"blocks": 2},
        {"blocks": 0},
        {"norm": "layer"},
        {"downs": 2},
        {"upsampling": "most"},
        {"in_channels": 0},
        {"out_channels": 65},
        {"width": 4},
    ],
)
def test_what_no_generator_is(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    with pytest.raises(ValidationError, match=key):
        GeneratorSpec.model_validate({"widths": 4} | wrong)


@given(specs())
def test_a_spec_survives_json(spec: GeneratorSpec) -> None:
    assert GeneratorSpec.model_validate_json(spec.model_dump_json()) == spec


@given(elastic_specs(), widths())
def test_other_widths_and_nothing_else(spec: GeneratorSpec, other: tuple[int, ...]) -> None:
    changed = spec.with_widths(other)
    assert changed.widths == other
    assert changed.model_dump(exclude={"widths"}) == spec.model_dump(exclude={"widths"})


def test_a_spec_cannot_change() -> None:
    spec = GeneratorSpec(widths=4)
    with pytest.raises(ValidationError, match="frozen"):
        spec.widths = (5,) * 8
    with pytest.raises(ValidationError, match="8 widths, not 2"):
        spec.with_widths((4, 4))


@given(st.one_of(st.text(), st.integers(), st.none(), st.lists(st.integers())))
def test_nothing_but_a_value_error_comes_of_odd_values(value: Any) -> None:
    for parse in (parse_widths, parse_size):
        try:
            parse(value)
        except ValueError as error:
            assert repr(value) in str(error)  # noqa: PT017 (most values are fine)
