"""Pictures through a generator by the folder, and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import DATASET, Workspace

import gancomp
from gancomp import paths
from gancomp.apply import apply_folder
from gancomp.data.datasets import Pictures, to_uint8
from gancomp.data.images import encode_numbers, read_numbers, suffix_of
from gancomp.errors import GancompError
from gancomp.export.formats import export_generator
from gancomp.nets import build_generator, load_generator, save_generator
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
    assert pixels(out / "a.png").shape == pixels(out / "b.png").shape == (16, 16, 3)
    again = pixels(out / "b.png")
    (out / "b.png").unlink()
    untouched = (out / "a.png").stat().st_mtime_ns
    apply_folder(model, folder)
    assert (out / "a.png").stat().st_mtime_ns == untouched
    assert np.array_equal(pixels(out / "b.png"), again)


def test_an_export_gives_the_same_pictures(model: Path, folder: Path) -> None:
    expected = pixels(apply_folder(model, folder, folder.with_name("torch")) / "a.png").astype(int)
    out = apply_folder(export_generator(model, "onnx"), folder, folder.with_name("onnx"))
    assert np.abs(pixels(out / "a.png") - expected).max() <= 1


def test_native_size(model: Path, folder: Path) -> None:
    out = apply_folder(model, folder, native=True)
    assert pixels(out / "b.png").shape == (32, 20, 3)
    with pytest.raises(GancompError, match="16 × 16 only"):
        apply_folder(export_generator(model, "onnx"), folder, native=True)
    Image.new("RGB", (3, 9)).save(folder / "c.png")
    with pytest.raises(GancompError, match=r"c\.png: 9 × 3 pixels; this model needs 4 × 4"):
        apply_folder(model, folder, native=True)


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
    with pytest.raises(GancompError, match="another model or size"):
        apply_folder(model, folder, out, native=True)
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
    assert picture.size == (16, 16)
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
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(folder / "far.png")
    with pytest.raises(GancompError, match=r"far\.png: has class 200"):
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
