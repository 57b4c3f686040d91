"""TensorBoard event files: all rows of the logs, all strips, and rows repeated by a resumed training."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.standing import standings
from gancomp.report.events import Events, write_events
from tests.growing import begun, grow


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return begun()


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def strip(images: int) -> None:
    folder = paths.resume("mine", "original") / paths.SAMPLES
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (6, 9), (images, 0, 0)).save(folder / f"{images:012d}.png")


def test_losses_speed_and_pictures_by_pictures_seen(config: Config) -> None:
    grow("original", 3)
    strip(8)
    folder = write_events(config, "mine", follow=False, every=1)
    assert [path.name for path in folder.iterdir()] == ["original"], "what has not begun has no events"
    events = read(folder / "original")
    assert set(events.Tags()["scalars"]) == {"losses/d_loss", "losses/g_recon", "images_per_second"}
    rows = events.Scalars("losses/g_recon")
    assert [row.step for row in rows] == [4, 8, 12]
    assert [row.value for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert rows[2].wall_time - rows[0].wall_time == pytest.approx(4)
    assert [image.step for image in events.Images("input, generated, truth")] == [8]


def test_written_again_nothing_is_there_twice(config: Config) -> None:
    grow("original", 3)
    for _ in range(2):
        folder = write_events(config, "mine", follow=False, every=1)
    assert len(read(folder / "original").Scalars("losses/d_loss")) == 3


def test_what_a_resumed_training_does_again_replaces_what_was_lost(config: Config, tmp_path: Path) -> None:
    events = Events(tmp_path / "events")
    for steps in (2, 5, 3, 6):
        grow("original", steps, pid=os.getpid())
        strip(8)
        events.add(next(one for one in standings(config, "mine") if one.stage == "original"))
    events.close()
    found = read(tmp_path / "events")
    assert [row.step for row in found.Scalars("losses/d_loss")] == [4, 8, 12, 16, 20, 24]
    assert len(found.Images("input, generated, truth")) == 1


def test_without_tensorboard_the_mend_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(GancompError, match=r"pip install 'gancomp\[tensorboard\]'"):
        write_events(config, "mine", follow=False, every=1)
