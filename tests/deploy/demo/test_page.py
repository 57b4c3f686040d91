"""The drawing page in a real browser: it colours as PyTorch does, and asks nobody but its server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import open_page
from playwright.sync_api import Page
from torch import nn

from gancomp.data.datasets import to_uint8
from gancomp.deploy.demo.build import Shown, palette_of, write_page
from gancomp.deploy.demo.serve import server
from gancomp.errors import GancompError
from gancomp.nets import build_generator, load_generator, save_generator
from gancomp.spec import GeneratorSpec

RESNETS = {
    "original": GeneratorSpec(widths=8, size=32),
    "compressed": GeneratorSpec(widths=4, block="separable", size=32, out_channels=1),
}
SPADES = {
    name: GeneratorSpec(family="spade", widths=width, size=64, in_channels=4, upsampling="normal")
    for name, width in (("original", 2), ("compressed", 1))
}
CLASSES = [
    {"name": "sky", "colour": [90, 150, 220]},
    {"name": "sand", "colour": [230, 200, 120]},
    {"name": "sea", "colour": [20, 60, 140]},
]


def checkpoints(folder: Path, specs: dict[str, GeneratorSpec]) -> list[Shown]:
    torch.manual_seed(0)
    shown = []
    for name, spec in specs.items():
        generator = build_generator(spec)
        for module in generator.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight)
        path = folder / f"{name}.safetensors"
        save_generator(path, generator, experiment="mine", stage="export", signature="s")
        shown.append(Shown(name, name.title(), path))
    return shown


def example(seed: int, size: int) -> np.ndarray:
    picture = np.full((size, size, 3), 255, np.uint8)
    for row, column in np.random.default_rng(seed).integers(2, size - 8, (6, 2)):
        picture[row : row + 2, column : column + 6] = 0
    return picture


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory, web_runtime: Path) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    examples = [example(seed, 32) for seed in range(3)]
    return write_page(folder / "demo", "Tiny", checkpoints(folder, RESNETS), examples, web_runtime).parent


@contextmanager
def shown(folder: Path) -> Iterator[Page]:
    """The page when both networks are loaded and the first example is coloured."""
    with server(folder, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            with open_page() as page:
                page.goto(f"http://127.0.0.1:{running.server_address[1]}/")
                page.wait_for_selector("html[data-ready=true]", state="attached", timeout=120_000)
                yield page
        finally:
            running.shutdown()
            thread.join()


def outputs(page: Page) -> dict[str, np.ndarray]:
    """What both networks show for the newest drawing: uint8 (h, w, 4)."""
    page.evaluate("gancomp.settled()")
    found = {}
    for name in ("original", "compressed"):
        values = np.array(page.evaluate(f"Array.from(gancomp.output('{name}'))"), np.uint8)
        side = int((len(values) / 4) ** 0.5)
        found[name] = values.reshape(side, side, 4)
    return found


def draw(page: Page, *points: tuple[float, float]) -> None:
    """A stroke through *points*, in shares of the board's width and height."""
    box = page.locator("#board").bounding_box()
    assert box is not None
    for place, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if place == 0:
            page.mouse.down()
    page.mouse.up()


def of_pytorch(page: Page, checkpoint: Path, spec: GeneratorSpec) -> np.ndarray:
    x = np.array(page.evaluate("Array.from(gancomp.input())"), np.float32).reshape(1, spec.in_channels, *spec.size)
    with torch.inference_mode():
        return to_uint8(load_generator(checkpoint)(torch.from_numpy(x)))[0]


@pytest.mark.browser
def test_one_draws_and_both_networks_colour_it(page_folder: Path) -> None:
    with shown(page_folder) as page:
        before = outputs(page)
        draw(page, (0.2, 0.2), (0.8, 0.3), (0.5, 0.8))
        once = outputs(page)
        draw(page, (0.1, 0.9), (0.9, 0.1))
        twice = outputs(page)
        for name in RESNETS:
            assert not np.array_equal(before[name], once[name])
            assert not np.array_equal(once[name], twice[name])
            expected = of_pytorch(page, page_folder.parent / f"{name}.safetensors", RESNETS[name])
            assert np.ptp(expected) > 50
            assert np.abs(twice[name][..., :3].astype(int) - expected).max() <= 2

        page.keyboard.press("Control+z")
        assert all(np.array_equal(outputs(page)[name], once[name]) for name in RESNETS)
        # An even picture is what no network makes sense of: nothing is shown.
        page.locator("#clear").click()
        assert page.evaluate("gancomp.blank()")
        assert not outputs(page)["compressed"].any()
        assert "Draw something" in page.locator("#message").inner_text()

        assert page.evaluate("crossOriginIsolated")
        assert "WebAssembly" in page.locator("#engine").inner_text()
        assert page.locator("#ratios div").count() == 3
        assert " ms" in page.locator("[data-of=alone]").first.inner_text()


@pytest.mark.browser
def test_keyboard_examples_and_files(page_folder: Path, tmp_path: Path) -> None:
    with shown(page_folder) as page:
        first = outputs(page)
        page.keyboard.press("2")
        page.wait_for_timeout(200)
        second = outputs(page)
        assert not np.array_equal(first["compressed"], second["compressed"])

        page.locator("#board").focus()
        for key in (" ", "ArrowRight", "ArrowRight", "ArrowDown", " "):
            page.keyboard.press(key)
        assert not np.array_equal(outputs(page)["compressed"], second["compressed"])

        (tmp_path / "wrong.png").write_text("no picture")
        page.locator("#file").set_input_files(tmp_path / "wrong.png")
        page.wait_for_selector("#message.error")
        assert "wrong.png is no picture" in page.locator("#message").inner_text()
        # A picture of another size is fitted, and that is said.
        from PIL import Image

        Image.fromarray(example(9, 50)[:, :40]).save(tmp_path / "other.png")
        page.locator("#file").set_input_files(tmp_path / "other.png")
        page.wait_for_selector("#message:not(.error)")
        assert "other.png is 40 × 50; it is drawn at " in page.locator("#message").inner_text()


def test_colours_are_offered_where_the_examples_have_any() -> None:
    """The examples' own, dark to light; of drawings in gray, and of none, no palette."""
    painted = np.full((32, 32, 3), 255, np.uint8)
    painted[4:20, 4:20], painted[20:30, 8:30] = (200, 40, 30), (20, 60, 160)
    found = palette_of([painted, painted[::-1]])
    for colour in ([20, 60, 160], [200, 40, 30], [255, 255, 255]):
        assert min(np.abs(np.array(one) - colour).max() for one in found) <= 8
    assert found == sorted(found, key=sum)
    assert palette_of([example(seed, 32) for seed in range(3)]) == palette_of([]) == []


@pytest.mark.browser
def test_colour_brush(tmp_path: Path, web_runtime: Path) -> None:
    """What is painted in a colour of the palette, or in one's own, is what the networks read."""
    painted = np.full((32, 32, 3), 255, np.uint8)
    painted[4:20, 4:20], painted[20:30, 8:30] = (200, 40, 30), (20, 60, 160)
    folder = write_page(tmp_path / "demo", "Paint", checkpoints(tmp_path, RESNETS), [painted], web_runtime).parent

    def middle(page: Page) -> list[int]:
        x = np.array(page.evaluate("Array.from(gancomp.input())"), np.float32).reshape(3, 32, 32)
        return [round((float(value) + 1) * 127.5) for value in x[:, 16, 16]]

    with shown(folder) as page:
        colours = json.loads((folder / "demo.json").read_text())["palette"]
        assert page.locator("#palette button").count() == len(colours)
        for place, colour in enumerate(colours[:-1]):
            page.locator("#palette button").nth(place).click()
            draw(page, (0.3, 0.5), (0.7, 0.53))
            assert middle(page) == pytest.approx(colour, abs=2)
        page.locator("#palette input").fill("#12e034")
        draw(page, (0.3, 0.5), (0.7, 0.53))
        assert middle(page) == pytest.approx([0x12, 0xE0, 0x34], abs=2)
        assert page.locator("#palette button[aria-checked=true]").count() == 0
        after = outputs(page)
        expected = of_pytorch(page, tmp_path / "original.safetensors", RESNETS["original"])
        assert np.abs(after["original"][..., :3].astype(int) - expected).max() <= 2
        page.locator("#eraser").click()
        draw(page, (0.3, 0.5), (0.7, 0.53))
        assert middle(page) == [255] * 3


@pytest.mark.browser
def test_label_brush(tmp_path: Path, web_runtime: Path) -> None:
    from PIL import Image

    colours = np.array([one["colour"] for one in CLASSES], np.uint8)
    ids = np.zeros((64, 64), int)
    ids[32:] = 1
    ids[50:, 20:] = 2
    folder = write_page(
        tmp_path / "demo", "Labels", checkpoints(tmp_path, SPADES), [colours[ids]], web_runtime, classes=CLASSES
    ).parent
    with shown(folder) as page:
        x = np.array(page.evaluate("Array.from(gancomp.input())"), np.float32).reshape(4, 64, 64)
        assert np.array_equal(x[:3].argmax(0), ids)
        from gancomp.data.palette import borders

        assert np.array_equal(x[3] > 0, borders(ids))
        # A map of other proportions keeps them, on the first class.
        Image.fromarray(colours[ids][:, :32]).save(tmp_path / "tall.png")
        page.locator("#file").set_input_files(tmp_path / "tall.png")
        page.locator("#message", has_text="tall.png is 32 × 64").wait_for()
        x = np.array(page.evaluate("Array.from(gancomp.input())"), np.float32).reshape(4, 64, 64)
        assert np.array_equal(x[:3].argmax(0), np.pad(ids[:, :32], ((0, 0), (16, 16))))
        page.locator("#undo").click()
        before = outputs(page)
        page.locator("#palette button").nth(2).click()
        draw(page, (0.2, 0.2), (0.7, 0.25))
        after = outputs(page)
        for name in SPADES:
            assert not np.array_equal(before[name], after[name])
            expected = of_pytorch(page, tmp_path / f"{name}.safetensors", SPADES[name])
            assert np.abs(after[name][..., :3].astype(int) - expected).max() <= 2


@pytest.mark.browser
def test_a_network_that_is_missing_is_told(page_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(page_folder, folder)
    (folder / "models" / "compressed.onnx").write_bytes(b"broken")
    with server(folder, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with open_page() as page:
            page.goto(f"http://127.0.0.1:{running.server_address[1]}/")
            page.wait_for_selector("#message.error", timeout=60_000)
            assert "The page cannot start: Compressed" in page.locator("#message").inner_text()
        running.shutdown()


@pytest.mark.browser
def test_from_disk_the_page_says_what_to_do(page_folder: Path) -> None:
    with open_page() as page:
        page.goto((page_folder / "index.html").as_uri())
        assert "gancomp demo" in page.locator("#message").inner_text()


def test_what_the_page_cannot_draw_is_refused(tmp_path: Path) -> None:
    specs = {"compressed": GeneratorSpec(widths=2, size=16, in_channels=4)}
    with pytest.raises(GancompError, match="reads 4 channels"):
        write_page(tmp_path / "demo", "Four", checkpoints(tmp_path, specs), [], tmp_path)
    specs = {"compressed": SPADES["compressed"]}
    with pytest.raises(GancompError, match="reads 3 classes, but the data set names 2"):
        write_page(tmp_path / "demo", "Two", checkpoints(tmp_path, specs), [], tmp_path, classes=CLASSES[:2])
    with pytest.raises(GancompError, match="run `gancomp web-runtime` first"):
        write_page(tmp_path / "demo", "None", checkpoints(tmp_path, RESNETS), [], tmp_path)
    assert not (tmp_path / "demo" / "index.html").exists()


@pytest.mark.browser
def test_everything_that_the_page_names_is_there(page_folder: Path) -> None:
    demo = json.loads((page_folder / "demo.json").read_text())
    for file in [*demo["examples"], *(model["file"] for model in demo["models"])]:
        assert (page_folder / file).is_file()
