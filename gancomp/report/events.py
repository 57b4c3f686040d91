"""Write logs and sample pictures of an experiment's trainings as TensorBoard event files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gancomp.config.settings import Config
from gancomp.extras import extra
from gancomp.pipeline import paths
from gancomp.pipeline.standing import Standing, standings
from gancomp.report.watch import finished

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_events(config: Config, experiment: str, *, follow: bool, every: float) -> Path:
    """Write `results/EXPERIMENT/tensorboard/STAGE/`, replacing it, from the logs so far, and return the folder of all
    stages. With *follow*, keep adding new entries until all stages are done.

    TensorBoard's step is the number of pictures seen. Raises GancompError if TensorBoard is not installed.
    """
    extra("tensorboard")
    root = paths.RESULTS / experiment / "tensorboard"
    shutil.rmtree(root, ignore_errors=True)
    events: dict[str, Events] = {}
    while True:
        found = standings(config, experiment)
        for one in found:
            if one.log.images:
                events.setdefault(one.stage, Events(root / one.stage)).add(one)
        if not follow or finished(found):
            break
        time.sleep(every)
    for stage in events.values():
        stage.close()
    return root


class Events:
    """The event file of one training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._seen = 0
        self._strips: set[str] = set()

    def add(self, one: Standing) -> None:
        """Add the new rows and strips of *one*. Rows that a resumed training repeats replace the earlier ones."""
        from torch.utils.tensorboard import SummaryWriter

        log, folder = one.log, one.folder
        assert folder is not None
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder))
        elif log.images[-1] < self._seen:
            self._writer.close()
            self._writer = SummaryWriter(str(self._folder), purge_step=log.images[-1] + 1)
            self._seen = log.images[-1]
        path = folder / "log.csv"
        began = (path.stat().st_mtime if path.is_file() else time.time()) - log.elapsed[-1]
        for row, images in enumerate(log.images):
            if images > self._seen:
                values = {f"losses/{name}": losses[row] for name, losses in log.losses.items()}
                for tag, value in (values | {"images_per_second": log.rates[row]}).items():
                    self._writer.add_scalar(tag, value, images, walltime=began + log.elapsed[row])
        self._seen = log.images[-1]
        for strip in sorted((folder / paths.SAMPLES).glob("*.png")):
            if strip.name not in self._strips:
                self._strips.add(strip.name)
                with Image.open(strip) as image:
                    pixels = np.asarray(image.convert("RGB"))
                self._writer.add_image("input, generated, truth", pixels, int(strip.stem), dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
