"""Pictures through a generator by the folder, and from Python."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import lively, specs
from tiny_run import DATASET, Workspace

import gancomp
from gancomp.data.datasets import STORED, Pictures, to_float, to_uint8
from gancomp.data.images import encode_numbers, read_input, read_numbers, read_values, suffix_of
from gancomp.data.palette import borders
from gancomp.deploy.apply import apply_folder
from gancomp.deploy.formats import export_generator
from gancomp.deploy.runtimes import Model, on_pytorch
from gancomp.errors import GancompError
from gancomp.nets import build_generator, load_generator, save_generator
from gancomp.pipeline import paths
from gancomp.spec import GeneratorSpec, NumberType, ValueRange


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    generator = build_generator(GeneratorSpec(widths=2, block="separable", size=16))
    save_generator(path, generator, experiment="mine", stage="export", signature="s")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, size in (("a.png", (16, 16)), ("b.jpg", (35, 22))):
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_folder_is_translated_and_continued(model: Path, folder: Path) -> None:
    out = apply_folder(model, folder)
    assert out == folder.with_name("photos-small")
    assert [pixels(out / name).shape for name in ("a.png", "b.png")] == [(16, 16, 3), (35, 22, 3)]
    again = pixels(out / "b.png")
    (out / "b.png").unlink()
    untouched = (out / "a.png").stat().st_mtime_ns
    apply_folder(model, folder)
    assert (out / "a.png").stat().st_mtime_ns == untouched
    assert np.array_equal(pixels(out / "b.png"), again)


def test_an_export_gives_the_same_pictures(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of any size those of PyTorch; one of a single size resizes to that and back, and says so."""
    expected = apply_folder(model, folder, folder.with_name("torch"))
    small = apply_folder(model, folder, folder.with_name("small"), training_size=True)
    assert pixels(small / "b.png").shape == (16, 16, 3)
    capsys.readouterr()
    any_size = apply_folder(export_generator(model, "onnx", dynamic=True), folder, folder.with_name("any"))
    assert "resized" not in capsys.readouterr().err
    for name in ("a.png", "b.png"):
        assert np.abs(pixels(any_size / name).astype(int) - pixels(expected / name)).max() <= 1

    fixed = export_generator(model, "onnx", folder.with_name("fixed.onnx"))
    out = apply_folder(fixed, folder)
    assert "16 × 16 only: 1 of 2 pictures are resized to that" in capsys.readouterr().err
    resized = np.asarray(Image.fromarray(pixels(small / "b.png")).resize((22, 35), Image.Resampling.BICUBIC))
    assert np.abs(pixels(out / "b.png").astype(int) - resized).max() <= 2
    assert np.abs(pixels(out / "a.png").astype(int) - pixels(expected / "a.png")).max() <= 1
    assert pixels(apply_folder(fixed, folder, folder.with_name("f"), training_size=True) / "b.png").shape == (16, 16, 3)
    assert "resized" not in capsys.readouterr().err


def mirrored(side: int, to: int) -> np.ndarray:
    """Which of *side* rows each of *to* rows is: up, down and up again, the outermost once."""
    there = np.arange(to) % max(2 * side - 2, 1)
    return np.where(there < side, there, 2 * side - 2 - there)


@settings(max_examples=12, deadline=None)
@given(spec=specs(largest=3), height=st.integers(1, 75), width=st.integers(1, 75), seed=st.integers(0, 99))
def test_every_picture_keeps_its_size(
    tmp_path_factory: pytest.TempPathFactory, spec: GeneratorSpec, height: int, width: int, seed: int
) -> None:
    """The network reads the picture reflected to a multiple of its stride (itself where it is one), and what it makes
    is cut: bit for bit."""
    passes: list[tuple[np.ndarray, np.ndarray]] = []

    def run(x: np.ndarray) -> np.ndarray:
        passes.append((x, on_pytorch(lively(spec))(x)))
        return passes[-1][1]

    draw = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("sizes") / "one.png"
    for own in ((height, width), spec.size):
        rows, columns = (
            mirrored(side, max(-(-side // spec.stride), 1 if spec.family == "unet" else 2) * spec.stride)
            for side in own
        )
        if spec.family == "spade":
            Image.fromarray(draw.integers(0, spec.in_channels - 1, own, dtype=np.uint8)).save(path)
            ids = read_values(path)[rows[:, None], columns]
            one_hot = np.arange(spec.in_channels - 1)[:, None, None] == ids
            read = np.concatenate([one_hot, borders(ids)[None]]).astype(np.float32)[None]
        else:
            Image.fromarray(draw.integers(0, 256, (*own, 4), dtype=np.uint8)).save(path)
            picture = read_input(path, spec.in_channels)[rows[:, None], columns]
            read = to_float(picture[None][..., STORED[spec.in_channels]]).numpy()
        with warnings.catch_warnings(action="ignore"):
            found = np.asarray(gancomp.translate(Model(spec, run), path))
        x, made = passes.pop()
        assert np.array_equal(x, read)
        assert own != spec.size or x.shape[2:] == own
        expected = to_uint8(torch.from_numpy(made))[0, : own[0], : own[1]]
        assert np.array_equal(found, expected[..., 0] if spec.out_channels == 1 else expected)


def test_numbers_keep_their_size_too(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 5000, (13, 18), dtype=np.uint16)
    (tmp_path / "ct.png").write_bytes(encode_numbers(numbers))
    values = ValueRange(low=0, high=5000, type="uint16")
    spec = GeneratorSpec(widths=2, size=16, in_channels=1, out_channels=1)
    itself = Model(spec, lambda x: x, ranges={"input": values, "target": values})
    assert np.abs(np.asarray(gancomp.translate(itself, tmp_path / "ct.png")).astype(int) - numbers).max() <= 1
    assert np.asarray(gancomp.translate(itself, tmp_path / "ct.png", training_size=True)).shape == (16, 16)


def test_sizes_far_from_training_are_warned_of_once(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply_folder(model, folder)
    assert "far from" not in capsys.readouterr().err
    for index, side in enumerate((32, 80, 8)):
        Image.new("RGB", (2 * side, side // 2)).save(folder / f"{index}.png")
    apply_folder(model, folder, folder.with_name("out"))
    error = capsys.readouterr().err
    assert error.count("far from") == 1
    assert "3 of 5 pictures are far from 16 × 16, the size of training (the furthest has 5 times its sides)" in error
    apply_folder(model, folder, folder.with_name("small"), training_size=True)
    assert "far from" not in capsys.readouterr().err
    generator = gancomp.load_generator(model)
    with pytest.warns(UserWarning, match=r"the furthest has 0\.5 times its sides"):
        gancomp.translate(generator, folder / "2.png")
    with warnings.catch_warnings(action="error"):
        gancomp.translate(generator, folder / "b.jpg")
        gancomp.translate(generator, folder / "2.png", training_size=True)


def test_what_is_no_picture_is_refused_before_any_is_made(model: Path, folder: Path) -> None:
    (folder / "z.png").write_text("no picture")
    with pytest.raises(GancompError, match=r"z\.png: not a picture"):
        apply_folder(model, folder, folder.with_name("out"))
    assert not folder.with_name("out").exists()


def test_pictures_are_not_mixed_up_or_overwritten(model: Path, folder: Path) -> None:
    with pytest.raises(GancompError, match="holds the inputs"):
        apply_folder(model, folder, folder)
    other = folder.with_name("other")
    other.mkdir()
    (other / "a.png").write_text("mine")
    with pytest.raises(GancompError, match="did not make"):
        apply_folder(model, folder, other)
    assert (other / "a.png").read_text() == "mine"
    out = apply_folder(model, folder)
    with pytest.raises(GancompError, match="another model, size or tile"):
        apply_folder(model, folder, out, training_size=True)
    for name in ("a.jpg", "a.png.jpg"):
        Image.new("RGB", (16, 16)).save(folder / name)
    with pytest.raises(GancompError, match="rename one"):
        apply_folder(model, folder, folder.with_name("new"))


def test_sub_folders_keep_their_tree_and_what_is_passed_over_is_said(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply_folder(model, folder, folder.with_name("flat"))
    assert "passed over" not in capsys.readouterr().err
    picture = (folder / "a.png").read_bytes()
    elsewhere = folder.with_name("elsewhere")
    for name in ("one/a.png", "one/two/c d.PNG", ".hidden/e.png", "one/.f.png", "a.jpg", "notes.txt", "g.raw", "h.RAW"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture)
    elsewhere.mkdir()
    (elsewhere / "far.png").write_bytes(picture)
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    out = folder / "made"
    for run in range(2):
        apply_folder(model, folder, out)
        made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        assert made == ["a.jpg.png", "a.png.png", "apply.json", "b.png", "one/a.png", "one/two/c d.png"]
        error = capsys.readouterr().err
        assert f"{folder}: 5 pictures; passed over: " in error
        for part in ("hidden (2)", ".raw (2)", ".txt (1)", "linked folders (1)"):
            assert part in error
        assert ("folders that gancomp apply writes (1)" in error) == (run > 0)
    assert np.array_equal(pixels(out / "one" / "a.png"), pixels(out / "a.png.png"))


def test_a_folder_without_pictures_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").touch()
    with pytest.raises(GancompError, match=r"none: holds no pictures \(.*\); passed over: \.txt \(1\)"):
        apply_folder(model, tmp_path / "none")
    with pytest.raises(GancompError, match=r"nowhere: no such folder"):
        apply_folder(model, tmp_path / "nowhere")


def test_here_is_a_folder_too(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    out = apply_folder(model, Path())
    assert out.samefile(folder.with_name("photos-small"))
    assert (out / "b.png").is_file()


def test_from_picture_to_picture(model: Path, folder: Path) -> None:
    """The five lines of the documentation."""
    generator = gancomp.load_generator(model)
    picture = gancomp.translate(generator, folder / "b.jpg")
    assert picture.size == (22, 35)
    assert np.array_equal(np.asarray(picture), pixels(apply_folder(model, folder) / "b.png"))


def test_label_maps_are_read_as_in_training(finished_gaugan: Workspace, tmp_path: Path) -> None:
    model = finished_gaugan.stage("export") / "model.safetensors"
    pictures = Pictures(finished_gaugan.folder / paths.dataset(DATASET), ("val",), "AtoB")
    name = Path(pictures.names[0]).stem
    source = finished_gaugan.folder / "pictures" / "labels" / f"{name}.png"
    expected = to_uint8(load_generator(model)(pictures.encode(pictures.inputs([0]))))[0]
    assert np.abs(np.asarray(gancomp.translate(load_generator(model), source)).astype(int) - expected).max() <= 1

    folder = tmp_path / "maps"
    folder.mkdir()
    for unknown in (load_generator(model).spec.in_channels - 1, 200):  # the plane after the classes is of edges
        Image.fromarray(np.full((16, 16), unknown, np.uint8)).save(folder / "far.png")
        with pytest.raises(GancompError, match=rf"far\.png: has class {unknown}"):
            apply_folder(model, folder)


@pytest.mark.parametrize("kind", ["int16", "uint16", "float32"])
def test_numbers_come_back_in_their_range_and_type(kind: NumberType, tmp_path: Path) -> None:
    """From a checkpoint and from what was exported; a picture in 8 bits would be another."""
    low, high = (0, 5000) if kind == "uint16" else (-1024, 3072)
    generator = build_generator(GeneratorSpec(widths=2, size=16, in_channels=1, out_channels=1)).eval()
    values = ValueRange(low=low, high=high, type=kind)
    generator.ranges = {"input": values, "target": values}
    model = tmp_path / "ct.safetensors"
    save_generator(model, generator, experiment="mine", stage="export", signature="s")
    slices = np.random.default_rng(0).uniform(low, high, (2, 16, 16)).astype(kind)
    ending = suffix_of(kind)
    for index, numbers in enumerate(slices):
        (tmp_path / "ct").mkdir(exist_ok=True)
        (tmp_path / "ct" / f"{index}{ending}").write_bytes(encode_numbers(numbers))
        assert np.array_equal(read_numbers(tmp_path / "ct" / f"{index}{ending}")[0], numbers)
    with torch.inference_mode():
        x = torch.from_numpy(((slices.astype(np.float64) - low) / (high - low)).astype(np.float32))[:, None] * 2 - 1
        expected = low + (generator(x)[:, 0].double().numpy() + 1) / 2 * (high - low)
    assert np.ptp(expected) > 100
    exports = [export_generator(model, "onnx")] if kind == "int16" else []
    for path in (model, *exports):
        out = apply_folder(path, tmp_path / "ct", tmp_path / f"out {path.name}")
        assert sorted(one.name for one in out.iterdir()) == [f"0{ending}", f"1{ending}", "apply.json"]
        for index in (0, 1):
            found, own = read_numbers(out / f"{index}{ending}")
            assert own == kind
            assert np.abs(found - expected[index]).max() <= 1
    shown = gancomp.translate(gancomp.load_generator(model), tmp_path / "ct" / f"0{ending}")
    assert np.abs(np.asarray(shown).astype(float) - expected[0]).max() <= 1
