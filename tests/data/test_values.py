"""Pictures of numbers: read by a range, kept in 16 bits, told of where their range is not theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from gancomp.data.build import build, load_manifest
from gancomp.data.datasets import Pictures, as_channels, to_float, to_rgb
from gancomp.data.images import read_numbers
from gancomp.data.settings import AlignedDataset, FoldersDataset
from gancomp.data.values import pack, restored, scaled, unpack
from gancomp.errors import GancompError
from gancomp.spec import NumberType, Role, ValueRange

SIZE = (6, 8)


def save(path: Path, numbers: NDArray[Any]) -> Path:
    """In the type of *numbers*; signed 16 bits are a TIFF's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if numbers.dtype == np.int16:
        Image.fromarray(numbers.view(np.uint16)).save(path, tiffinfo={339: 2})
    else:
        Image.fromarray(numbers).save(path)
    return path


def numbers(seed: int, low: float, high: float, kind: type, width: int = 16) -> NDArray[Any]:
    drawn = np.random.default_rng(seed).uniform(low, high, (SIZE[0], width))
    drawn.flat[:2] = low, high
    return drawn.astype(kind)


def aligned(folder: Path, kind: type, low: float, high: float, ending: str, **options: Any) -> Pictures:
    for split, count in (("train", 20), ("val", 3)):
        for index in range(count):
            save(folder / "mine" / split / f"{index}{ending}", numbers(index, low, high, kind))
    own = {"channels": 1, "target_channels": 1, "size": SIZE} | options
    dataset = AlignedDataset(source="aligned", path=str(folder / "mine"), **own)
    build("mine", dataset, folder / "data", folder)
    return Pictures(folder / "data", ("val",), dataset.direction)


@pytest.mark.parametrize(
    ("kind", "ending", "low", "high"),
    [
        (np.uint16, ".png", 0, 4095),
        (np.uint16, ".tif", 100, 60_000),
        (np.int16, ".tif", -1024, 3072),
        (np.int32, ".tif", -100_000, 100_000),
        (np.float32, ".tif", -0.5, 2.25),
        (np.uint8, ".png", 3, 40),
    ],
)
@pytest.mark.parametrize("declared", ["auto", "range"])
def test_values_of_a_range_are_kept_in_sixteen_bits(
    kind: type, ending: str, low: float, high: float, declared: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = aligned(tmp_path, kind, low, high, ending, range="auto" if declared == "auto" else (low, high))
    ranges = load_manifest(tmp_path / "data").ranges
    assert set(ranges) == {"input", "target"}
    assert ranges["input"].type == np.dtype(kind).name
    out, err = capsys.readouterr()
    assert f"input values {ranges['input'].low:g} to" in out
    assert "quarter" not in err
    inputs, targets = pictures.batch([0, 1, 2])
    for index, (one, other) in enumerate(zip(inputs, targets, strict=True)):
        whole = numbers(index, low, high, kind)
        sides: list[tuple[NDArray[Any], NDArray[Any], Role]] = [
            (one, whole[:, :8], "input"),
            (other, whole[:, 8:], "target"),
        ]
        for side, part, role in sides:
            own = ranges[role]
            assert side.dtype == np.uint16
            if declared == "range" or role == "input":  # where the least and the largest value lie
                assert (own.low, own.high) == (pytest.approx(low), pytest.approx(high))
            step = (own.high - own.low) / 65_535
            back = restored(side[..., 0] / 65_535, own)
            assert back.dtype == kind
            inside = part.astype(float).clip(own.low, own.high)
            assert np.abs(back.astype(float) - inside).max() <= step / 2 + (0.5 if kind != np.float32 else 1e-3 * step)
    x = to_float(inputs)
    assert x.min() == -1
    assert x.max() == 1
    assert np.array_equal(pictures.decode(x), inputs)
    assert pictures.encode(inputs).shape == (3, 1, *SIZE)
    assert np.array_equal(pictures.as_targets(inputs), inputs)
    assert np.array_equal(to_rgb(inputs)[..., 0], np.rint(inputs[..., 0] / 257))


@given(st.integers(0, 2**32 - 1))
def test_packing_is_undone(seed: int) -> None:
    deep = np.random.default_rng(seed).integers(0, 65_536, (2, 3, 4), dtype=np.uint16)
    assert np.array_equal(unpack(pack(deep))[..., 0], deep)
    looked_at = pack(deep)[..., 0].astype(int)
    assert np.array_equal(looked_at, deep >> 8)


@given(st.floats(-1e5, 1e5), st.floats(0.1, 1e5), st.sampled_from(get_args(NumberType)), st.integers(0, 9))
def test_numbers_survive_there_and_back(low: float, width: float, kind: NumberType, seed: int) -> None:
    values = ValueRange(low=low, high=low + width, type=kind)
    drawn = np.random.default_rng(seed).uniform(low - 1, low + width + 1, (3, 4))
    back = restored(scaled(drawn, values), values)
    assert back.dtype == kind
    inside = drawn.clip(low, low + width)
    if kind != "float32":
        inside = inside.clip(np.iinfo(kind).min, np.iinfo(kind).max)
    assert np.abs(back - inside).max() <= (0.51 if kind != "float32" else 0) + 1e-6 * (width + abs(low))


def test_a_photo_s_target_may_be_depth(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for index in range(20):
        save(tmp_path / "photos" / f"{index}.png", draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        save(tmp_path / "depth" / f"{index}.png", draw.integers(0, 10_000, SIZE, dtype=np.uint16))
    a, b = str(tmp_path / "photos"), str(tmp_path / "depth")
    declared: dict[str, Any] = {"target_channels": 1, "target_range": (0, 10_000), "size": SIZE}
    dataset = FoldersDataset(source="folders", a=a, b=b, paired=True, **declared)
    build("mine", dataset, tmp_path / "data", tmp_path)
    assert set(load_manifest(tmp_path / "data").ranges) == {"target"}
    pictures = Pictures(tmp_path / "data", ("val",), "AtoB")
    inputs, targets = pictures.batch([0])
    name = Path(pictures.names[0]).name
    assert (inputs.dtype, inputs.shape, targets.dtype) == (np.uint8, (1, *SIZE, 3), np.uint16)
    assert np.array_equal(np.rint(targets[0, ..., 0] / 6.5535), np.asarray(Image.open(tmp_path / "depth" / name)))
    assert np.array_equal(pictures.as_targets(inputs), as_channels(inputs, 1).astype(int) * 257)


def test_twelve_bits_in_sixteen_are_warned_of_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a range they come out nearly black."""
    pictures = aligned(tmp_path, np.uint16, 0, 4095, ".png")
    assert pictures.inputs([0]).max() == 16
    told = capsys.readouterr().err
    assert "23 of 23 pictures use less than a quarter of the range" in told
    assert "datasets.mine.range: [LOW, HIGH]" in told
    assert "train/0.png (A: 0 to 16 of 255, B: 0 to 16 of 255)" in told
    assert told.count("(A: ") == 5
    assert "and 18 more" in told
    aligned(tmp_path, np.uint16, 0, 4095, ".png", range=(0, 65_535))
    assert "(A: 0 to 4095 of 65535" in capsys.readouterr().err, "a range that is far too wide is no better"


def test_numbers_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    hole = numbers(0, 0, 1, np.float32)
    hole[1, 1] = np.nan
    with pytest.raises(GancompError, match=r"hole\.tif: has values that are not numbers \(NaN\)"):
        read_numbers(save(tmp_path / "hole.tif", hole))
    with pytest.raises(GancompError, match=r"its values are 7 to 7; give their range"):
        aligned(tmp_path, np.uint16, 7, 7, ".png", range="auto")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range": (0, 1)}, "range: is for pictures of one channel, so channels must be 1, not 3"),
        ({"target_range": "auto"}, "target_range: is for pictures of one channel, so target_channels must be 1"),
        ({"range": (5, 5), "channels": 1}, "range: needs a lower and a higher value"),
        ({"range": (0, float("inf")), "channels": 1}, "range: needs a lower and a higher value"),
        ({"range": "all", "channels": 1}, "auto"),
    ],
)
def test_ranges_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlignedDataset(source="aligned", path="x", **options)
