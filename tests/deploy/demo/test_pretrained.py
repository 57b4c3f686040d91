"""The compressed generator that comes with gancomp: small, intact, and on its page without training."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from browser import open_page
from PIL import Image

from gancomp.deploy.apply import translate
from gancomp.deploy.demo.pretrained import PRETRAINED, pretrained_page
from gancomp.deploy.demo.serve import server
from gancomp.measure.macs import profile
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_json


def test_it_is_small_and_what_its_card_says() -> None:
    card = read_json(PRETRAINED / "card.json")
    counted = profile(load_generator(PRETRAINED / "compressed.safetensors").spec)
    assert card["compressed"]["params"] == counted.params
    assert card["compressed"]["macs"] == counted.macs
    assert card["original"]["macs"] > 9 * card["compressed"]["macs"]
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) < 1_000_000


def test_it_shades() -> None:
    """Flat areas get a gradient, their colour and the white around them stay."""
    for example in sorted(PRETRAINED.glob("example-*.png")):
        flat = np.asarray(Image.open(example).convert("RGB")).astype(int)
        made = np.asarray(translate(load_generator(PRETRAINED / "compressed.safetensors"), example)).astype(int)
        colours, counts = np.unique(flat.reshape(-1, 3), axis=0, return_counts=True)
        painted = next(colour for colour in colours[np.argsort(-counts)] if np.ptp(colour) > 60)
        area = (flat == painted).all(axis=2)
        assert np.std(made[area].sum(axis=1)) > 9
        assert np.abs(made[area].mean(axis=0) - painted).max() < 90
        assert np.abs(made - 255)[(flat == 255).all(axis=2)].mean() < 40


@pytest.mark.browser
def test_the_page_opens_without_training(web_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths.WEB_RUNTIME.parent.mkdir(parents=True)
    paths.WEB_RUNTIME.symlink_to(web_runtime, target_is_directory=True)
    page = pretrained_page()
    written = page.stat().st_mtime_ns
    assert pretrained_page().stat().st_mtime_ns == written
    with server(page.parent, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with open_page() as browser:
            browser.goto(f"http://127.0.0.1:{running.server_address[1]}/")
            browser.wait_for_selector("html[data-ready=true]", state="attached", timeout=120_000)
            assert not browser.evaluate("gancomp.blank()")
            assert browser.locator("#examples button").count() == 9
            assert browser.locator("#palette button").count() > 5
        running.shutdown()
