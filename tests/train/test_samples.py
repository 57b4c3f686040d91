"""Sample pictures on the way: the same ones each time, as often as asked for, and of no consequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_run import DATASET, EXPERIMENT, SIDE, Workspace, train

from gancomp.config.loading import merge, parse
from gancomp.data.datasets import Pictures
from gancomp.errors import GancompError
from gancomp.nets import load_generator
from gancomp.pipeline.signatures import signature
from gancomp.train import samples
from gancomp.train.samples import sample_steps, write_strip


@given(st.integers(1, 10_000), st.none() | st.integers(0, 12_000))
def test_moments_are_as_far_apart_as_asked(total: int, every: int | None) -> None:
    steps = list(sample_steps(every, total))
    assert all(0 < step <= total for step in steps)
    if every is None:
        assert min(total, 20) <= len(steps) < 40
    else:
        assert steps == (
            [] if every == 0 else [step for step in range(1, total + 1) if step % every == 0][: total // every]
        )


def sampling(workspace: Workspace, every: int | None, **own: Any) -> Any:
    return parse(merge(workspace.settings(**own), {"samples": {"every": every, "pictures": 3}}))


def rows(strip: Path) -> np.ndarray:
    """A strip as (rows, pictures, height, width, 3)."""
    pixels = np.asarray(Image.open(strip))
    return pixels.reshape(-1, SIDE, pixels.shape[1] // SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)


def test_strips_hold_the_same_pictures_each_time_and_end_as_the_stage_does(workspace: Workspace) -> None:
    train(sampling(workspace, 5), "distill")
    folder = workspace.stage("distill")
    strips = sorted((folder / "samples").iterdir())
    assert [strip.name for strip in strips] == ["000000000020.png", "000000000040.png"], "ten steps of four pictures"
    first, last = map(rows, strips)
    assert first.shape == (3, 3, SIDE, SIDE, 3)
    assert np.array_equal(first[[0, 2]], last[[0, 2]]), "input and truth"
    assert not np.array_equal(first[1], last[1])
    pictures = Pictures(workspace.folder / "data" / DATASET, ("val",), "AtoB")
    generator = load_generator(folder / "model.safetensors")
    made = pictures.decode(generator(pictures.encode(last[0])))
    assert np.array_equal(last[1], made)


def test_they_change_nothing(workspace: Workspace) -> None:
    """Neither the weights nor the signature, also where BatchNorm has statistics."""
    left = []
    for every in (0, 1):
        config = sampling(workspace, every, generator={"norm": "batch"}, calibration={"images": 8, "batch": 4})
        train(config, "original")
        folder = workspace.stage("original")
        assert (folder / "samples").is_dir() == (every == 1)
        left.append((signature(config, EXPERIMENT, "original"), (folder / "model.safetensors").read_bytes()))
    assert left[0] == left[1]


def test_a_full_disk_costs_no_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path) -> Any:
        raise GancompError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(samples, "atomic", full)
    generator = load_generator(workspace.stage("distill") / "model.safetensors")
    pictures = Pictures(workspace.folder / "data" / DATASET, ("val",), "AtoB")
    write_strip(workspace.folder / "strip.png", generator, pictures, [0, 1])
    assert "no sample pictures: " in capsys.readouterr().out
